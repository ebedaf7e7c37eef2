//! The model that is compiled in: a ResNet-20 for the ten classes of CIFAR-10. Its card is in `models/resnet20-cifar10`.

use std::sync::{Arc, OnceLock};

use super::folder::Config;
use super::{Embedding, Model, Preprocess, Vision};
use crate::error::Error;
use crate::options::DEFAULT_MODEL;

/// The mean of each of the last layer's channels.
const EMBEDDING: (&str, usize) = ("/ReduceMean_output_0", 128);

const GRAPH: &[u8] = include_bytes!("../models/resnet20-cifar10/model.onnx");
const CONFIG: &str = include_str!("../models/resnet20-cifar10/config.json");
const PREPROCESSOR: &str = include_str!("../models/resnet20-cifar10/preprocessor_config.json");

/// Reads the two small files; the graph waits until it is run.
pub(crate) fn model() -> Result<Model, Error> {
    let refuse = |reason: String| Error::Model { model: DEFAULT_MODEL.to_owned(), reason };
    let labels = Config::parse(CONFIG).and_then(|config| config.labels()).map_err(refuse)?.unwrap_or_default();
    let vision = Vision {
        preprocess: Preprocess::parse(PREPROCESSOR).map_err(refuse)?,
        labels,
        is_softmaxed: false,
        embedding: Some(Embedding { tensor: EMBEDDING.0.to_owned(), length: EMBEDDING.1 }),
        preprocess_origin: "preprocessor_config.json".to_owned(),
        labels_origin: "config.json".to_owned(),
    };
    Ok(Model {
        name: DEFAULT_MODEL.to_owned(),
        location: "compiled in".to_owned(),
        file: GRAPH,
        vision: Ok(Arc::new(vision)),
        digest: OnceLock::new(),
        decided: None,
        loaded: Default::default(),
        loading: Default::default(),
        parsed: OnceLock::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_in_the_order_of_their_numbers() {
        let model = model().unwrap();
        let labels = &model.vision().unwrap().labels;
        assert_eq!((labels.len(), labels[0].as_str(), labels[9].as_str()), (10, "airplane", "truck"));
    }
}
