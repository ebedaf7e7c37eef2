//! [`ModelFolder`]: the files of a model, in the layout of the Hugging Face hub, timm or an exporter.

use std::collections::BTreeMap;

use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::config_json::{CONFIG, Config, SET_LABELS};
use super::preprocess::{PreprocessConfig, PreprocessOverrides, hugging_face, timm};
use crate::backend::{Bytes, ModelBytes};
use crate::onnx::{GraphInfo, replace_zip_maps};
use crate::storage::{ObjectStoreResolver, object_store_message};

/// The contents of the files of a model.
pub(crate) struct ModelFolder {
    pub(crate) file: ModelBytes,
    pub(crate) graph: GraphInfo,
    /// The configuration files that exist, by name.
    configs: BTreeMap<&'static str, String>,
    /// The labels file named in OPTIONS, and its contents.
    labels: Option<(String, String)>,
}

const PREPROCESSOR: &str = "preprocessor_config.json";
const LABELS: &str = "labels.txt";
/// The maximum size of a configuration or labels file, in bytes.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

impl ModelFolder {
    /// Reads a folder, or an ONNX file and the configuration files next to it.
    ///
    /// # Errors
    /// A message that names the file.
    pub(crate) async fn read(
        location: &str,
        labels: Option<&str>,
        stores: &mut ObjectStoreResolver,
    ) -> Result<Self, String> {
        let (store, path) = stores.resolve(location)?;
        let graph_path = find_graph(&*store, location, &path).await?;
        let folder = parent(&graph_path);
        let graph_name = display_path(location, &path, &graph_path);
        let mut graph_bytes = read(&*store, &graph_path).await.map_err(|reason| format!("{graph_name}: {reason}"))?;
        let graph = GraphInfo::parse(&graph_bytes).map_err(|reason| format!("{graph_name}: {reason}"))?;
        if !graph.zip_maps.is_empty() {
            graph_bytes = replace_zip_maps(&graph_bytes, &graph.zip_maps, graph.opset);
        }
        let mut external = Vec::new();
        for name in &graph.external_files {
            if name.split('/').any(|part| part == "..") || name.starts_with('/') {
                return Err(format!("{graph_name}: its external data '{name}' is outside its folder"));
            }
            let invalid = |reason| format!("{graph_name}: its external data '{name}': {reason}");
            external.push((name.clone(), read(&*store, &join(&folder, name)).await.map_err(invalid)?));
        }
        let mut configs = BTreeMap::new();
        // The hub keeps ONNX files in a subfolder `onnx` of the configurations.
        let folders = [folder.clone(), parent(&folder)];
        let folders = if folder.filename() == Some("onnx") { &folders[..] } else { &folders[..1] };
        for name in [CONFIG, PREPROCESSOR, LABELS] {
            for folder in folders {
                let path = join(folder, name);
                if !configs.contains_key(name)
                    && let Some(metadata) =
                        head_opt(&*store, &path).await.map_err(|reason| format!("{name}: {reason}"))?
                {
                    configs.insert(
                        name,
                        read_text(&*store, &path, metadata.size).await.map_err(|reason| format!("{name}: {reason}"))?,
                    );
                }
            }
        }
        let labels = match labels {
            None => None,
            Some(name) => Some((name.to_owned(), read_labels_file(name, &*store, &folder, stores).await?)),
        };
        let file = ModelBytes { graph: Bytes::Owned(graph_bytes), external };
        Ok(Self { file, graph, configs, labels })
    }

    /// `config.json`; empty if there is none. The labels are what the file is needed for: if another file has them, an unreadable
    /// `config.json` counts as empty, and the sources in DESCRIBE MODEL say so.
    ///
    /// # Errors
    /// A message that names the file.
    pub(super) fn config(&self) -> Result<Config, String> {
        let Some(text) = self.configs.get(CONFIG) else { return Ok(Config::default()) };
        let has_labels = self.labels.is_some() || self.configs.contains_key(LABELS);
        match Config::parse(text) {
            Ok(config) => Ok(config),
            Err(reason) if has_labels => Ok(Config::from_error(reason)),
            Err(reason) => Err(format!("{CONFIG}: {reason}; correct it, or {SET_LABELS}")),
        }
    }

    /// The labels and their source, if a file has them.
    ///
    /// # Errors
    /// A message that names the file.
    pub(super) fn labels(&self, config: &Config) -> Result<Option<(Vec<String>, String)>, String> {
        // Without empty lines at the end.
        let lines = |text: &str| text.trim_end().lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
        if let Some((name, text)) = &self.labels {
            return Ok(Some((lines(text), name.clone())));
        }
        if let Some(text) = self.configs.get(LABELS) {
            return Ok(Some((lines(text), LABELS.to_owned())));
        }
        let labels = config.labels().map_err(|reason| format!("{CONFIG}: {reason}"))?;
        Ok(labels.map(|labels| (labels, CONFIG.to_owned())))
    }

    /// The preprocessing and its source, if a file configures it. Settings that options replace are not read.
    ///
    /// # Errors
    /// A message that names the file.
    pub(super) fn preprocessing(
        &self,
        config: &Config,
        overrides: &PreprocessOverrides,
    ) -> Result<Option<(PreprocessConfig, String)>, String> {
        if overrides.is_complete() {
            return Ok(None);
        }
        if let Some(text) = self.configs.get(PREPROCESSOR) {
            let (config, remarks) =
                hugging_face::parse(text, overrides).map_err(|reason| format!("{PREPROCESSOR}: {reason}"))?;
            return Ok(Some((config, format!("{PREPROCESSOR}{remarks}"))));
        }
        let Some(cfg) = config.pretrained_cfg() else { return Ok(None) };
        let config = timm::parse(cfg, overrides).map_err(|reason| format!("{CONFIG}: pretrained_cfg: {reason}"))?;
        Ok(Some((config, format!("{CONFIG}, pretrained_cfg"))))
    }
}

/// The metadata of an object, `None` if it does not exist.
async fn head_opt(store: &dyn ObjectStore, path: &Path) -> Result<Option<ObjectMeta>, String> {
    match store.head(path).await {
        Ok(metadata) => Ok(Some(metadata)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(object_store_message(&error)),
    }
}

async fn read(store: &dyn ObjectStore, path: &Path) -> Result<Vec<u8>, String> {
    let bytes = async { store.get(path).await?.bytes().await };
    bytes.await.map(Vec::from).map_err(|error| object_store_message(&error))
}

/// Resolves a location to an ONNX file.
async fn find_graph(store: &dyn ObjectStore, location: &str, path: &Path) -> Result<Path, String> {
    if !location.ends_with('/') && head_opt(store, path).await?.is_some() {
        return Ok(path.clone());
    }
    for name in ["model.onnx", "onnx/model.onnx"] {
        let default_path = join(path, name);
        if head_opt(store, &default_path).await?.is_some() {
            return Ok(default_path);
        }
    }
    let mut candidates = Vec::new();
    let mut is_empty = true;
    for folder in [path.clone(), join(path, "onnx")] {
        let listed = store.list_with_delimiter(Some(&folder)).await.map_err(|error| object_store_message(&error))?;
        is_empty &= listed.objects.is_empty() && listed.common_prefixes.is_empty();
        candidates.extend(listed.objects.into_iter().map(|object| object.location).filter(is_onnx));
    }
    candidates.sort();
    match candidates.as_slice() {
        [one] => Ok(one.clone()),
        [] if is_empty => Err("there is no such file or folder".to_owned()),
        [] => Err("the folder contains no ONNX file (model.onnx, onnx/model.onnx, or a single *.onnx)".to_owned()),
        [first, second, ..] => {
            let names = [first, second].map(|path| path.filename().unwrap_or_default());
            Err(format!("the folder contains several ONNX files ({}, …); name one in LOCATION", names.join(", ")))
        }
    }
}

fn is_onnx(path: &Path) -> bool {
    path.filename().is_some_and(|name| name.to_ascii_lowercase().ends_with(".onnx"))
}

/// Reads a labels file, relative to the model or at any location.
async fn read_labels_file(
    name: &str,
    store: &dyn ObjectStore,
    folder: &Path,
    stores: &mut ObjectStoreResolver,
) -> Result<String, String> {
    let invalid = |reason: String| format!("labels '{name}': {reason}");
    let sibling = join(folder, name);
    if let Some(metadata) = head_opt(store, &sibling).await.map_err(invalid)? {
        return read_text(store, &sibling, metadata.size).await.map_err(invalid);
    }
    let (store, path) = stores.resolve(name).map_err(invalid)?;
    let metadata = store.head(&path).await.map_err(|error| invalid(object_store_message(&error)))?;
    read_text(&*store, &path, metadata.size).await.map_err(invalid)
}

/// Reads a UTF-8 file of at most [`MAX_CONFIG_BYTES`], without its byte order mark.
async fn read_text(store: &dyn ObjectStore, path: &Path, size: u64) -> Result<String, String> {
    if size > MAX_CONFIG_BYTES {
        return Err(format!("it has {size} bytes, more than the maximum of {MAX_CONFIG_BYTES}"));
    }
    let text = String::from_utf8(read(store, path).await?).map_err(|_| "it is not UTF-8 text".to_owned())?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

fn parent(path: &Path) -> Path {
    let mut parts: Vec<_> = path.parts().collect();
    parts.pop();
    parts.into_iter().collect()
}

/// Joins a folder and a relative path.
fn join(folder: &Path, name: &str) -> Path {
    name.split('/').filter(|part| !part.is_empty() && *part != ".").fold(folder.clone(), |path, part| path.join(part))
}

/// The display form of a file in a location, such as `models/resnet/onnx/model.onnx`.
fn display_path(location: &str, root: &Path, path: &Path) -> String {
    let relative: Vec<_> = path.prefix_match(root).into_iter().flatten().map(|part| part.as_ref().to_owned()).collect();
    match relative.is_empty() {
        true => location.to_owned(),
        false => format!("{}/{}", location.trim_end_matches('/'), relative.join("/")),
    }
}
