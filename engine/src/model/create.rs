//! [`Model::create`]: from a location to a model that works, or one sentence.

use std::sync::{Arc, Mutex, OnceLock};

use super::folder::{CONFIG, ModelFolder};
use super::vision::{Embedding, Vision, looks_at_pictures, preprocess};
use super::{Loaded, Model, ModelOptions, digest, extra, weights_hash};
use crate::backend::{Decided, GraphFile, Kind, Output};
use crate::error::Error;
use crate::onnx::Graph;
use crate::onnx::TensorInfo;
use crate::options::BackendPreferences;
use crate::runtime::WorkerPool;
use crate::storage::ObjectStoreResolver;

impl Model {
    /// Reads, loads and tries the model at a location.
    ///
    /// # Errors
    /// One sentence that names the file, or what of it does not fit.
    pub(crate) async fn create(
        name: &str,
        location: &str,
        options: ModelOptions,
        session: BackendPreferences,
        mut stores: ObjectStoreResolver,
        workers: Arc<WorkerPool>,
    ) -> Result<Self, Error> {
        let (name, location) = (name.to_owned(), location.to_owned());
        let refuse = |reason: String| Error::CreateModel { model: name.clone(), location: location.clone(), reason };
        let folder = ModelFolder::read(&location, options.labels.as_deref(), &mut stores).await.map_err(refuse)?;
        let named = (name.clone(), location.clone());
        let made = tokio::task::spawn_blocking(move || Self::from_folder(named, folder, &options, session, &workers));
        made.await.unwrap_or_else(|_| Err("loading it panicked".to_owned())).map_err(refuse)
    }

    fn from_folder(
        (name, location): (String, String),
        folder: ModelFolder,
        options: &ModelOptions,
        session: BackendPreferences,
        workers: &WorkerPool,
    ) -> Result<Self, String> {
        let decided = options.backend.decide(session, folder.graph.is_half)?;
        let vision = match looks_at_pictures(&folder.graph) {
            Ok(input) => Ok(Self::vision_of(input, &folder, options)?),
            // What was said about pictures is not for nothing.
            Err(reason) if options.are_about_pictures() => return Err(reason),
            Err(reason) => Err(reason),
        };
        let ModelFolder { graph, file, .. } = folder;
        if let Some(unknown) = options.embedding.as_ref().filter(|tensor| !graph.tensors.contains(*tensor)) {
            return Err(format!("embedding: it has no tensor '{unknown}'"));
        }
        let weights = weights_hash(&file);
        let made = Made::on_any(decided, file, graph, vision, options, session, workers)?;
        let cells: [OnceLock<_>; Decided::COUNT] = Default::default();
        let number = made.decided.number();
        let _ = cells[number].set(made.loaded);
        let digest = OnceLock::from(digest(weights, made.vision.as_ref().ok()));
        let (vision, decided, parsed) = (made.vision.map(Arc::new), Some(made.decided), OnceLock::new());
        let loading = Mutex::new(());
        Ok(Self { name, location, file: &[], vision, digest, decided, loaded: cells, loading, parsed })
    }

    /// How it looks at pictures, as far as the files say.
    fn vision_of(input: &TensorInfo, folder: &ModelFolder, options: &ModelOptions) -> Result<Vision, String> {
        let (preprocess, preprocess_origin) = preprocess(input, folder.recipe()?, options)?;
        let (labels, labels_origin) = match folder.labels()? {
            Some((labels, origin)) if labels.is_empty() => return Err(format!("{origin} has no labels")),
            Some((labels, origin)) => (labels, origin),
            None => (Vec::new(), String::new()),
        };
        let is_softmaxed = folder.graph.ends_in_softmax;
        Ok(Vision { preprocess, labels, is_softmaxed, embedding: None, preprocess_origin, labels_origin })
    }
}

/// A graph that has been loaded and tried.
struct Made {
    decided: Decided,
    loaded: Loaded,
    vision: Result<Vision, String>,
}

impl Made {
    /// On the backend that was decided for. What a GPU does not run that nobody asked for, the CPU runs, and says so.
    fn on_any(
        decided: Decided,
        file: GraphFile,
        graph: Graph,
        vision: Result<Vision, String>,
        options: &ModelOptions,
        session: BackendPreferences,
        workers: &WorkerPool,
    ) -> Result<Self, String> {
        let reason = match (&decided.gpu, &vision) {
            (Some(gpu), Err(_)) if gpu.is_optional => "it does not look at pictures".to_owned(),
            (Some(gpu), Ok(_)) if gpu.is_optional => {
                match Self::on(&decided, file.clone(), graph.clone(), vision.clone(), options, workers) {
                    Ok((loaded, vision)) => return Ok(Self { decided, loaded, vision }),
                    Err(reason) => reason,
                }
            }
            _ => {
                let refuse = |reason: String| match decided.kind {
                    Kind::Gpu => format!("{reason}; the CPU runs it where neither device nor backend is 'gpu'"),
                    Kind::Ort | Kind::Rten => reason,
                };
                let (loaded, vision) = Self::on(&decided, file, graph, vision, options, workers).map_err(refuse)?;
                return Ok(Self { decided, loaded, vision });
            }
        };
        let decided = options.backend.cpu(session, Some(&reason))?;
        let (loaded, vision) = Self::on(&decided, file, graph, vision, options, workers)?;
        Ok(Self { decided, loaded, vision })
    }

    fn on(
        decided: &Decided,
        file: GraphFile,
        graph: Graph,
        mut vision: Result<Vision, String>,
        options: &ModelOptions,
        workers: &WorkerPool,
    ) -> Result<(Loaded, Result<Vision, String>), String> {
        let is_configured = vision.as_ref().is_ok_and(Vision::is_configured);
        let found = graph.features.clone().filter(|_| vision.is_ok());
        let tensor = options.embedding.clone().or(found);
        let loaded = load(file, graph, decided, tensor.as_deref())?;
        let mut tried = Ok(());
        if let Ok(vision) = &mut vision {
            tried = match (loaded.try_out(vision, tensor, workers), &options.embedding) {
                // Nobody asked for the tensor that was found, and the backend may have made one of several.
                (Err(_), None) => loaded.try_out(vision, None, workers),
                (tried, _) => tried,
            };
        }
        let has_channels = loaded.graph.inputs.iter().any(TensorInfo::has_three_channels);
        let may_be_gpus_fault = decided.gpu.as_ref().is_some_and(|gpu| gpu.is_optional);
        match tried {
            // Nothing says that its input of four axes is a picture.
            Err(reason) if !is_configured && !has_channels && !may_be_gpus_fault => vision = Err(reason),
            tried => tried?,
        }
        Ok((loaded, vision))
    }
}

/// With a word about the other backend of the CPU when this one does not take it.
fn load(file: GraphFile, graph: Graph, decided: &Decided, tensor: Option<&str>) -> Result<Loaded, String> {
    let refuse = |reason: String| {
        let other = match decided.kind {
            Kind::Gpu => "",
            Kind::Ort => "; OPTIONS ('backend' 'rten') tries the other",
            Kind::Rten => "; OPTIONS ('backend' 'ort') tries the other",
        };
        format!("backend {} cannot load it: {reason}{other}", decided.kind.name())
    };
    let backend = decided.load(file, &graph, &extra(&graph, tensor)).map_err(refuse)?;
    Ok(Loaded { graph, backend })
}

impl Loaded {
    /// Runs one black picture: what comes out says how many classes there are, and how long the embedding is.
    fn try_out(&self, vision: &mut Vision, tensor: Option<String>, workers: &WorkerPool) -> Result<(), String> {
        let mut outputs = vec![Output::Number(0)];
        outputs.extend(tensor.as_deref().map(Output::Named));
        let black = vec![0.0; vision.preprocess.len()];
        let results = self.run_images(vision, black, 1, &outputs, workers);
        let results = results.map_err(|reason| format!("it does not run on a picture: {reason}"))?;
        let classes = results.first().map_or(0, Vec::len);
        if classes == 0 {
            return Err("it gives nothing for a picture".to_owned());
        }
        let is_scores = self.graph.outputs.first().is_none_or(|output| output.axes() <= 1);
        // The labels of a configuration may be those of a head that was cut off.
        if !is_scores && (vision.labels.is_empty() || vision.labels_origin == CONFIG) {
            vision.labels.clear();
            "none: its output is not one score for each class".clone_into(&mut vision.labels_origin);
        } else if vision.labels.is_empty() {
            vision.labels = (0..classes).map(|class| class.to_string()).collect();
            "assumed: the numbers of the classes".clone_into(&mut vision.labels_origin);
        } else if vision.labels.len() != classes {
            let (count, origin) = (vision.labels.len(), &vision.labels_origin);
            return Err(format!("{origin} has {count} labels, and it gives {classes} scores for a picture"));
        }
        vision.embedding =
            tensor.zip(results.get(1)).map(|(tensor, result)| Embedding { tensor, length: result.len() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Bytes, GpuTarget};

    const BUNDLED: &[u8] = include_bytes!("../models/resnet20-cifar10/model.onnx");

    /// A card that is gone when the model is loaded stands for all that a GPU may refuse.
    fn made(is_optional: bool) -> Result<Made, String> {
        let gpu = GpuTarget { name: "no such card".to_owned(), is_half: false, is_optional };
        let decided = Decided { kind: Kind::Gpu, short: String::new(), why: String::new(), gpu: Some(gpu) };
        let file = GraphFile { graph: Bytes::Static(BUNDLED), external: Vec::new() };
        let graph = Graph::parse(BUNDLED).unwrap();
        let (preprocess, preprocess_origin) = preprocess(&graph.inputs[0], None, &ModelOptions::default()).unwrap();
        let labels_origin = String::new();
        let vision = Vision {
            preprocess,
            labels: Vec::new(),
            is_softmaxed: false,
            embedding: None,
            preprocess_origin,
            labels_origin,
        };
        let (options, session) = (ModelOptions::default(), BackendPreferences::default());
        Made::on_any(decided, file, graph, Ok(vision), &options, session, &WorkerPool::new(1))
    }

    #[test]
    fn what_a_gpu_refuses_that_nobody_asked_for_runs_on_the_cpu() {
        let made = made(true).unwrap();
        assert!(made.decided.gpu.is_none() && made.vision.is_ok());
        assert!(made.decided.short.ends_with(", not on a GPU"), "{:?}", made.decided);
        assert!(made.decided.why.contains("; not on a GPU: backend gpu cannot load it: "), "{:?}", made.decided);
    }

    #[test]
    fn what_a_gpu_refuses_that_was_asked_for_is_an_error() {
        let error = made(false).err().unwrap();
        assert!(error.starts_with("backend gpu cannot load it: "), "{error}");
        assert!(error.ends_with("; the CPU runs it where neither device nor backend is 'gpu'"), "{error}");
    }
}
