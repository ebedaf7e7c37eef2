//! The model that is compiled in: a ResNet-20 for the ten classes of CIFAR-10. Its card is in `models/resnet20-cifar10`.

use super::folder::Config;
use super::{Embedding, Model, Preprocess};
use crate::error::Error;

/// Its name in SQL.
pub(crate) const NAME: &str = "resnet20-cifar10";

/// The mean of each of the last layer's channels.
const EMBEDDING: (&str, usize) = ("/ReduceMean_output_0", 128);

const GRAPH: &[u8] = include_bytes!("../models/resnet20-cifar10/model.onnx");
const CONFIG: &str = include_str!("../models/resnet20-cifar10/config.json");
const PREPROCESSOR: &str = include_str!("../models/resnet20-cifar10/preprocessor_config.json");

/// Reads the two small files; the graph waits until it is run.
pub(crate) fn model() -> Result<Model, Error> {
    let refuse = |reason: String| Error::Model { model: NAME.to_owned(), reason };
    let labels = Config::parse(CONFIG).map_err(|error| refuse(format!("config.json: {error}")))?.into_labels();
    let preprocess =
        Preprocess::parse(PREPROCESSOR).map_err(|error| refuse(format!("preprocessor_config.json: {error}")))?;
    let (tensor, length) = (EMBEDDING.0.to_owned(), EMBEDDING.1);
    Ok(Model::new(NAME, GRAPH, preprocess, labels).with_embedding(Embedding { tensor, length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_in_the_order_of_their_numbers() {
        let model = model().unwrap();
        assert_eq!(model.labels.len(), 10);
        assert_eq!((model.labels[0].as_str(), model.labels[9].as_str()), ("airplane", "truck"));
    }
}
