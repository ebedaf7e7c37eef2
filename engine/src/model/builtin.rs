//! The built-in model: a ResNet-20 for the ten classes of CIFAR-10. Its model card is in `models/resnet20-cifar10`.

use std::sync::{Arc, OnceLock};

use super::activation::ActivationHints;
use super::config_json::Config;
use super::{Embedding, ImageProcessor, ImageTask, Model};
use crate::error::Error;
use crate::options::DEFAULT_MODEL;

/// The output of the global average pool before the last layer, and its length in elements.
const EMBEDDING: (&str, usize) = ("/ReduceMean_output_0", 128);

const GRAPH: &[u8] = include_bytes!("../models/resnet20-cifar10/model.onnx");
const CONFIG: &str = include_str!("../models/resnet20-cifar10/config.json");
const PREPROCESSOR: &str = include_str!("../models/resnet20-cifar10/preprocessor_config.json");

/// The built-in model. Its configuration is parsed here; the graph is loaded on first use.
///
/// # Errors
/// When a configuration file is invalid.
pub(crate) fn model() -> Result<Model, Error> {
    let invalid = |reason: String| Error::Model { model: DEFAULT_MODEL.to_owned(), reason };
    let labels = Config::parse(CONFIG).and_then(|config| config.labels()).map_err(invalid)?.unwrap_or_default();
    let activation_hints = ActivationHints::default();
    let (activation, activation_source) = activation_hints.select(None, labels.len());
    let image_task = ImageTask {
        processor: ImageProcessor::parse(PREPROCESSOR).map_err(invalid)?,
        labels,
        activation,
        activation_hints,
        embedding: Some(Embedding { tensor: EMBEDDING.0.to_owned(), length: EMBEDDING.1 }),
        preprocessing_source: "preprocessor_config.json".to_owned(),
        labels_source: "config.json".to_owned(),
        activation_source,
    };
    Ok(Model {
        name: DEFAULT_MODEL.to_owned(),
        location: "built in".to_owned(),
        file: GRAPH,
        image_task: Ok(Arc::new(image_task)),
        digest: OnceLock::new(),
        selection: None,
        loaded: Default::default(),
        loading: Default::default(),
        parsed: OnceLock::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_ordered_by_class() {
        let model = model().unwrap();
        let labels = &model.image_task().unwrap().labels;
        assert_eq!((labels.len(), labels[0].as_str(), labels[9].as_str()), (10, "airplane", "truck"));
    }
}
