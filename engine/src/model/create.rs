//! [`Model::create`]: loads a model from a location and validates it with a probe run.

use std::sync::{Arc, Mutex, OnceLock};

use super::activation::ActivationHints;
use super::config_json::{CONFIG, SET_LABELS};
use super::folder::ModelFolder;
use super::image_task::{Embedding, ImageTask, image_input, image_processor};
use super::{LoadedModel, Model, ModelOptions, digest, extra_outputs, weights_hash};
use crate::backend::{BackendSelection, ModelBytes, OutputRef};
use crate::error::Error;
use crate::onnx::{GraphInfo, TensorInfo};
use crate::options::{BackendKind, BackendPreferences};
use crate::runtime::WorkerPool;
use crate::storage::ObjectStoreResolver;

impl Model {
    /// Reads, loads and probes the model at a location.
    ///
    /// # Errors
    /// A message that names the invalid file or setting.
    pub(crate) async fn create(
        name: &str,
        location: &str,
        options: ModelOptions,
        session: BackendPreferences,
        mut stores: ObjectStoreResolver,
        workers: Arc<WorkerPool>,
    ) -> Result<Self, Error> {
        let (name, location) = (name.to_owned(), location.to_owned());
        let invalid = |reason: String| Error::CreateModel { model: name.clone(), location: location.clone(), reason };
        let folder = ModelFolder::read(&location, options.labels.as_deref(), &mut stores).await.map_err(invalid)?;
        let owned = (name.clone(), location.clone());
        let built = tokio::task::spawn_blocking(move || Self::from_folder(owned, folder, &options, session, &workers));
        built.await.unwrap_or_else(|_| Err("loading it panicked".to_owned())).map_err(invalid)
    }

    fn from_folder(
        (name, location): (String, String),
        folder: ModelFolder,
        options: &ModelOptions,
        session: BackendPreferences,
        workers: &WorkerPool,
    ) -> Result<Self, String> {
        let selection = options.backend.select(session, folder.graph.is_float16)?;
        let image_task = match image_input(&folder.graph) {
            Ok(input) => Ok(Self::read_image_task(input, &folder, options)?),
            // Options that apply to image models only are an error for other models.
            Err(reason) if options.has_image_options() => return Err(reason),
            Err(reason) => Err(reason),
        };
        let ModelFolder { graph, file, .. } = folder;
        if let Some(unknown) = options.embedding.as_ref().filter(|tensor| !graph.tensors.contains(*tensor)) {
            return Err(format!("embedding: the graph has no tensor '{unknown}'"));
        }
        let weights = weights_hash(&file);
        let built = BuiltModel::build_with_fallback(selection, file, graph, image_task, options, session, workers)?;
        let loaded: [OnceLock<_>; BackendSelection::CACHE_SLOTS] = Default::default();
        let slot = built.selection.cache_slot();
        let _ = loaded[slot].set(built.loaded);
        let digest = OnceLock::from(digest(weights, built.image_task.as_ref().ok()));
        let (image_task, selection, parsed) = (built.image_task.map(Arc::new), Some(built.selection), OnceLock::new());
        let loading = Mutex::new(());
        Ok(Self { name, location, file: &[], image_task, digest, selection, loaded, loading, parsed })
    }

    /// The image task, from the files and options.
    fn read_image_task(input: &TensorInfo, folder: &ModelFolder, options: &ModelOptions) -> Result<ImageTask, String> {
        let config = folder.config()?;
        let configured = folder.preprocessing(&config, &options.preprocess)?;
        let is_assumed = configured.is_none() && !options.preprocess.is_complete();
        let (processor, mut preprocessing_source) = image_processor(input, configured, &options.preprocess)?;
        if let Some(reason) = config.unreadable.as_ref().filter(|_| is_assumed) {
            preprocessing_source.push_str(&format!(" ({CONFIG} cannot be read: {reason})"));
        }
        let (labels, labels_source) = match folder.labels(&config)? {
            Some((labels, source)) if labels.is_empty() => {
                return Err(format!("{source} contains no labels; {SET_LABELS}"));
            }
            Some((labels, source)) => (labels, source),
            None => (Vec::new(), String::new()),
        };
        let activation_hints = ActivationHints {
            option: options.activation,
            problem_type: config.problem_type(),
            unreadable_config: config.unreadable.clone(),
        };
        // Selected again once the number of scores is known.
        let (activation, activation_source) = activation_hints.select(folder.graph.output_activation, labels.len());
        Ok(ImageTask {
            processor,
            labels,
            activation,
            activation_hints,
            embedding: None,
            preprocessing_source,
            labels_source,
            activation_source,
        })
    }
}

/// A loaded and probed model.
struct BuiltModel {
    selection: BackendSelection,
    loaded: LoadedModel,
    image_task: Result<ImageTask, String>,
}

impl BuiltModel {
    /// Builds the model on the selected backend. If the GPU was only preferred (not requested) and rejects the graph, falls back to the
    /// CPU and records the reason.
    fn build_with_fallback(
        selection: BackendSelection,
        file: ModelBytes,
        graph: GraphInfo,
        image_task: Result<ImageTask, String>,
        options: &ModelOptions,
        session: BackendPreferences,
        workers: &WorkerPool,
    ) -> Result<Self, String> {
        let reason = match (&selection.gpu, &image_task) {
            (Some(gpu), Err(_)) if gpu.allows_fallback => "it is not an image model".to_owned(),
            (Some(gpu), Ok(_)) if gpu.allows_fallback => {
                match Self::build_on(&selection, file.clone(), graph.clone(), image_task.clone(), options, workers) {
                    Ok((loaded, image_task)) => return Ok(Self { selection, loaded, image_task }),
                    Err(reason) => reason,
                }
            }
            _ => {
                let invalid = |reason: String| match selection.kind {
                    BackendKind::Gpu => {
                        format!("{reason}; to run it on the CPU, set neither device nor backend to 'gpu'")
                    }
                    BackendKind::Ort | BackendKind::Rten => reason,
                };
                let (loaded, image_task) =
                    Self::build_on(&selection, file, graph, image_task, options, workers).map_err(invalid)?;
                return Ok(Self { selection, loaded, image_task });
            }
        };
        let selection = options.backend.select_cpu(session, Some(&reason))?;
        let (loaded, image_task) = Self::build_on(&selection, file, graph, image_task, options, workers)?;
        Ok(Self { selection, loaded, image_task })
    }

    /// Loads and probes the model on one backend.
    fn build_on(
        selection: &BackendSelection,
        file: ModelBytes,
        graph: GraphInfo,
        mut image_task: Result<ImageTask, String>,
        options: &ModelOptions,
        workers: &WorkerPool,
    ) -> Result<(LoadedModel, Result<ImageTask, String>), String> {
        let is_configured = image_task.as_ref().is_ok_and(ImageTask::is_configured);
        let candidate = graph.embedding_candidate.clone().filter(|_| image_task.is_ok());
        let tensor = options.embedding.clone().or(candidate);
        let loaded = load(file, graph, selection, tensor.as_deref())?;
        let mut probed = Ok(());
        if let Ok(image_task) = &mut image_task {
            probed = match (loaded.probe(image_task, tensor, workers), &options.embedding) {
                // The embedding tensor is only a candidate, and the backend may have fused it into another operator.
                (Err(_), None) => loaded.probe(image_task, None, workers),
                (probed, _) => probed,
            };
        }
        let has_channels = loaded.graph.inputs.iter().any(TensorInfo::has_three_channels);
        let may_be_gpu_error = selection.gpu.as_ref().is_some_and(|gpu| gpu.allows_fallback);
        match probed {
            // An unconfigured 4-D input is not necessarily an image.
            Err(reason) if !is_configured && !has_channels && !may_be_gpu_error => image_task = Err(reason),
            probed => probed?,
        }
        Ok((loaded, image_task))
    }
}

/// Loads the model. If a CPU backend rejects it, the message suggests the other one.
fn load(
    file: ModelBytes,
    graph: GraphInfo,
    selection: &BackendSelection,
    tensor: Option<&str>,
) -> Result<LoadedModel, String> {
    let invalid = |reason: String| {
        let other = match selection.kind {
            BackendKind::Gpu => "",
            BackendKind::Ort => "; try OPTIONS ('backend' 'rten')",
            BackendKind::Rten => "; try OPTIONS ('backend' 'ort')",
        };
        format!("backend {} cannot load it: {reason}{other}", selection.kind.name())
    };
    let backend = selection.load(file, &graph, &extra_outputs(&graph, tensor)).map_err(invalid)?;
    Ok(LoadedModel { graph, backend })
}

impl LoadedModel {
    /// Probe run on one black image: determines the number of classes and the length of the embedding.
    fn probe(&self, image_task: &mut ImageTask, tensor: Option<String>, workers: &WorkerPool) -> Result<(), String> {
        let mut outputs = vec![OutputRef::Index(0)];
        outputs.extend(tensor.as_deref().map(OutputRef::Name));
        let zeros = vec![0.0; image_task.processor.len()];
        let results = self.run_images(image_task, zeros, 1, &outputs, workers);
        let results = results.map_err(|reason| format!("it fails on a test image: {reason}"))?;
        let classes = results.first().map_or(0, Vec::len);
        if classes == 0 {
            return Err("its output for a test image is empty".to_owned());
        }
        let is_scores = self.graph.outputs.first().is_none_or(|output| output.non_unit_rank() <= 1);
        // The labels in a configuration may belong to a removed classification head.
        if !is_scores && (image_task.labels.is_empty() || image_task.labels_source == CONFIG) {
            image_task.labels.clear();
            "none: its output is not one score per class".clone_into(&mut image_task.labels_source);
        } else if image_task.labels.is_empty() {
            image_task.labels = (0..classes).map(|class| class.to_string()).collect();
            "assumed: class indices".clone_into(&mut image_task.labels_source);
        } else if image_task.labels.len() != classes {
            let (count, source) = (image_task.labels.len(), &image_task.labels_source);
            let remedy = if source == CONFIG { format!("; {SET_LABELS}") } else { String::new() };
            return Err(format!("{source} has {count} labels, but the output has {classes} scores{remedy}"));
        }
        (image_task.activation, image_task.activation_source) =
            image_task.activation_hints.select(self.graph.output_activation, classes);
        image_task.embedding =
            tensor.zip(results.get(1)).map(|(tensor, result)| Embedding { tensor, length: result.len() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Bytes, GpuTarget};
    use crate::model::activation::Activation;
    use crate::model::preprocess::PreprocessOverrides;

    const BUILTIN: &[u8] = include_bytes!("../models/resnet20-cifar10/model.onnx");

    /// Builds on an adapter that does not exist, as an example of all errors of a GPU.
    fn built(allows_fallback: bool) -> Result<BuiltModel, String> {
        let gpu = GpuTarget { name: "no such adapter".to_owned(), is_float16: false, allows_fallback };
        let selection =
            BackendSelection { kind: BackendKind::Gpu, summary: String::new(), reason: String::new(), gpu: Some(gpu) };
        let file = ModelBytes { graph: Bytes::Static(BUILTIN), external: Vec::new() };
        let graph = GraphInfo::parse(BUILTIN).unwrap();
        let (processor, preprocessing_source) =
            image_processor(&graph.inputs[0], None, &PreprocessOverrides::default()).unwrap();
        let image_task = ImageTask {
            processor,
            labels: Vec::new(),
            activation: Activation::Softmax,
            activation_hints: ActivationHints::default(),
            embedding: None,
            preprocessing_source,
            labels_source: String::new(),
            activation_source: String::new(),
        };
        let (options, session) = (ModelOptions::default(), BackendPreferences::default());
        BuiltModel::build_with_fallback(selection, file, graph, Ok(image_task), &options, session, &WorkerPool::new(1))
    }

    #[test]
    fn a_preferred_gpu_falls_back_to_the_cpu() {
        let built = built(true).unwrap();
        assert!(built.selection.gpu.is_none() && built.image_task.is_ok());
        assert!(built.selection.summary.ends_with(", not on a GPU"), "{:?}", built.selection);
        assert!(
            built.selection.reason.contains("; not on a GPU: backend gpu cannot load it: "),
            "{:?}",
            built.selection
        );
    }

    #[test]
    fn a_requested_gpu_does_not_fall_back() {
        let error = built(false).err().unwrap();
        assert!(error.starts_with("backend gpu cannot load it: "), "{error}");
        assert!(error.ends_with("; to run it on the CPU, set neither device nor backend to 'gpu'"), "{error}");
    }
}
