//! [`ModelFolder`]: the files of a model, laid out as the Hugging Face hub, timm or an exporter leaves them.

use std::collections::BTreeMap;

use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::Deserialize;

use super::preprocess::{PretrainedCfg, Recipe, hugging_face, timm};
use crate::backend::{Bytes, GraphFile};
use crate::onnx::Graph;
use crate::storage::{ObjectStoreResolver, object_store_message};

/// What was read.
pub(crate) struct ModelFolder {
    pub(crate) file: GraphFile,
    pub(crate) graph: Graph,
    /// Of the configurations that are there, by their names.
    texts: BTreeMap<&'static str, String>,
    /// The file of labels that OPTIONS names.
    labels: Option<(String, String)>,
}

pub(super) const CONFIG: &str = "config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
const LABELS: &str = "labels.txt";
/// Larger ones are no configuration.
const LARGEST_TEXT: u64 = 16 << 20;

/// The part of a `config.json` that we read.
#[derive(Deserialize)]
pub(super) struct Config {
    id2label: Option<BTreeMap<usize, String>>,
    /// What timm calls them.
    label_names: Option<Vec<String>>,
    pretrained_cfg: Option<PretrainedCfg>,
}

impl Config {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// In the order of their numbers.
    ///
    /// # Errors
    /// When a number is missing.
    pub(super) fn labels(&self) -> Result<Option<Vec<String>>, String> {
        let Some(names) = &self.id2label else { return Ok(self.label_names.clone()) };
        if let Some(missing) = (0..names.len()).find(|number| !names.contains_key(number)) {
            return Err(format!("id2label has {} labels, and none for class {missing}", names.len()));
        }
        Ok(Some(names.values().cloned().collect()))
    }
}

impl ModelFolder {
    /// Reads a folder, or a file and what is beside it.
    ///
    /// # Errors
    /// One sentence that names the file.
    pub(crate) async fn read(
        location: &str,
        labels: Option<&str>,
        stores: &mut ObjectStoreResolver,
    ) -> Result<Self, String> {
        let (store, path) = stores.resolve(location)?;
        let graph_path = find_graph(&*store, location, &path).await?;
        let folder = parent(&graph_path);
        let graph_name = shown(location, &path, &graph_path);
        let graph_bytes = read(&*store, &graph_path).await.map_err(|reason| format!("{graph_name}: {reason}"))?;
        let graph = Graph::parse(&graph_bytes).map_err(|reason| format!("{graph_name}: {reason}"))?;
        let mut external = Vec::new();
        for name in &graph.external_files {
            if name.split('/').any(|part| part == "..") || name.starts_with('/') {
                return Err(format!("{graph_name}: its weights are in '{name}', outside of its folder"));
            }
            let refuse = |reason| format!("{graph_name}: its weights are in '{name}' beside it: {reason}");
            external.push((name.clone(), read(&*store, &join(&folder, name)).await.map_err(refuse)?));
        }
        let mut texts = BTreeMap::new();
        // The hub keeps ONNX files in a folder of their own, below the configurations.
        let folders = [folder.clone(), parent(&folder)];
        let folders = if folder.filename() == Some("onnx") { &folders[..] } else { &folders[..1] };
        for name in [CONFIG, PREPROCESSOR, LABELS] {
            for folder in folders {
                let path = join(folder, name);
                if !texts.contains_key(name)
                    && let Some(found) = there(&*store, &path).await.map_err(|reason| format!("{name}: {reason}"))?
                {
                    texts.insert(
                        name,
                        text(&*store, &path, found.size).await.map_err(|reason| format!("{name}: {reason}"))?,
                    );
                }
            }
        }
        let labels = match labels {
            None => None,
            Some(named) => Some((named.to_owned(), labels_of(named, &*store, &folder, stores).await?)),
        };
        let file = GraphFile { graph: Bytes::Owned(graph_bytes), external };
        Ok(Self { file, graph, texts, labels })
    }

    /// The names of the classes and where they are from, when a file has them.
    ///
    /// # Errors
    /// One sentence that names the file.
    pub(crate) fn labels(&self) -> Result<Option<(Vec<String>, String)>, String> {
        let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
        if let Some((name, text)) = &self.labels {
            return Ok(Some((lines(text), name.clone())));
        }
        if let Some(text) = self.texts.get(LABELS) {
            return Ok(Some((lines(text), LABELS.to_owned())));
        }
        let Some(config) = self.config()? else { return Ok(None) };
        let labels = config.labels().map_err(|reason| format!("{CONFIG}: {reason}"))?;
        Ok(labels.map(|labels| (labels, CONFIG.to_owned())))
    }

    /// How pictures are prepared and where that is from, when a file says so.
    ///
    /// # Errors
    /// One sentence that names the file.
    pub(crate) fn recipe(&self) -> Result<Option<(Recipe, String)>, String> {
        if let Some(text) = self.texts.get(PREPROCESSOR) {
            let recipe = hugging_face::parse(text).map_err(|reason| format!("{PREPROCESSOR}: {reason}"))?;
            let origin = match hugging_face::unknown_processor(text) {
                Some(name) => format!("{PREPROCESSOR}, whose processor '{name}' is not known and read as a plain one"),
                None => PREPROCESSOR.to_owned(),
            };
            return Ok(Some((recipe, origin)));
        }
        let Some(cfg) = self.config()?.and_then(|config| config.pretrained_cfg) else { return Ok(None) };
        let recipe = timm::recipe(&cfg).map_err(|reason| format!("{CONFIG}: pretrained_cfg: {reason}"))?;
        Ok(Some((recipe, format!("{CONFIG}, pretrained_cfg"))))
    }

    fn config(&self) -> Result<Option<Config>, String> {
        let parse = |text: &String| Config::parse(text).map_err(|reason| format!("{CONFIG}: {reason}"));
        self.texts.get(CONFIG).map(parse).transpose()
    }
}

/// An object, when there is one; that it cannot be looked at is an error.
async fn there(store: &dyn ObjectStore, path: &Path) -> Result<Option<ObjectMeta>, String> {
    match store.head(path).await {
        Ok(found) => Ok(Some(found)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(object_store_message(&error)),
    }
}

async fn read(store: &dyn ObjectStore, path: &Path) -> Result<Vec<u8>, String> {
    let bytes = async { store.get(path).await?.bytes().await };
    bytes.await.map(Vec::from).map_err(|error| object_store_message(&error))
}

/// The ONNX file that a location means.
async fn find_graph(store: &dyn ObjectStore, location: &str, path: &Path) -> Result<Path, String> {
    if !location.ends_with('/') && there(store, path).await?.is_some() {
        return Ok(path.clone());
    }
    for name in ["model.onnx", "onnx/model.onnx"] {
        let usual = join(path, name);
        if there(store, &usual).await?.is_some() {
            return Ok(usual);
        }
    }
    let mut several = Vec::new();
    let mut is_empty = true;
    for folder in [path.clone(), join(path, "onnx")] {
        let listed = store.list_with_delimiter(Some(&folder)).await.map_err(|error| object_store_message(&error))?;
        is_empty &= listed.objects.is_empty() && listed.common_prefixes.is_empty();
        several.extend(listed.objects.into_iter().map(|object| object.location).filter(is_onnx));
    }
    several.sort();
    match several.as_slice() {
        [one] => Ok(one.clone()),
        [] if is_empty => Err("there is no such file or folder".to_owned()),
        [] => Err("the folder has no ONNX file (model.onnx, onnx/model.onnx, or one *.onnx)".to_owned()),
        [first, second, ..] => {
            let names = [first, second].map(|path| path.filename().unwrap_or_default());
            Err(format!("the folder has several ONNX files ({}, …); LOCATION can name one", names.join(", ")))
        }
    }
}

fn is_onnx(path: &Path) -> bool {
    path.filename().is_some_and(|name| name.to_ascii_lowercase().ends_with(".onnx"))
}

/// The text of a file of labels: beside the model, or anywhere.
async fn labels_of(
    named: &str,
    store: &dyn ObjectStore,
    folder: &Path,
    stores: &mut ObjectStoreResolver,
) -> Result<String, String> {
    let refuse = |reason: String| format!("labels '{named}': {reason}");
    let beside = join(folder, named);
    if let Some(found) = there(store, &beside).await.map_err(refuse)? {
        return text(store, &beside, found.size).await.map_err(refuse);
    }
    let (store, path) = stores.resolve(named).map_err(refuse)?;
    let found = store.head(&path).await.map_err(|error| refuse(object_store_message(&error)))?;
    text(&*store, &path, found.size).await.map_err(refuse)
}

async fn text(store: &dyn ObjectStore, path: &Path, size: u64) -> Result<String, String> {
    if size > LARGEST_TEXT {
        return Err(format!("it has {size} bytes, which is too much for a configuration"));
    }
    String::from_utf8(read(store, path).await?).map_err(|_| "it is no text in UTF-8".to_owned())
}

fn parent(path: &Path) -> Path {
    let mut parts: Vec<_> = path.parts().collect();
    parts.pop();
    parts.into_iter().collect()
}

/// `name` may have several parts.
fn join(folder: &Path, name: &str) -> Path {
    name.split('/').filter(|part| !part.is_empty() && *part != ".").fold(folder.clone(), |path, part| path.join(part))
}

/// `models/resnet/onnx/model.onnx` for a file that was found at `models/resnet`.
fn shown(location: &str, from: &Path, path: &Path) -> String {
    let rest: Vec<_> = path.prefix_match(from).into_iter().flatten().map(|part| part.as_ref().to_owned()).collect();
    match rest.is_empty() {
        true => location.to_owned(),
        false => format!("{}/{}", location.trim_end_matches('/'), rest.join("/")),
    }
}
