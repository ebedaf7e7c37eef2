//! What `DESCRIBE MODEL` and `system.models` say.

use super::{Model, Vision};
use crate::error::Error;
use crate::onnx::{Graph, TensorInfo};
use crate::options::BackendPreferences;

impl Model {
    /// Pairs of a property and its value.
    ///
    /// # Errors
    /// When the graph cannot be read, or the backend that was asked for is not there.
    pub(crate) fn description(&self, session: BackendPreferences) -> Result<Vec<(&'static str, String)>, Error> {
        let graph = self.graph()?;
        let decided = self.backend(session)?;
        let mut rows = vec![
            ("name", self.name().to_owned()),
            ("location", self.location().to_owned()),
            ("digest", self.digest().to_owned()),
            ("task", self.task().to_owned()),
            ("backend", decided.kind.name().to_owned()),
            ("backend is chosen because", decided.why.clone()),
            ("device", decided.device().to_owned()),
            ("opset", graph.opset.to_string()),
        ];
        rows.extend(graph.inputs.iter().map(|input| ("input", input.to_string())));
        rows.extend(graph.outputs.iter().map(|output| ("output", output.to_string())));
        match &self.vision {
            Ok(vision) => rows.extend(vision.description()),
            Err(reason) => rows.push(("looks at pictures", format!("no: {reason}"))),
        }
        Ok(rows)
    }

    /// In the words of the Hugging Face hub.
    pub(crate) fn task(&self) -> &'static str {
        match self.vision() {
            Ok(vision) if vision.labels.is_empty() => "image-feature-extraction",
            Ok(_) => "image-classification",
            Err(_) => "predict",
        }
    }
}

impl Vision {
    fn description(&self) -> Vec<(&'static str, String)> {
        const SHOWN: usize = 3;
        let first: Vec<&str> = self.labels.iter().take(SHOWN).map(String::as_str).collect();
        let rest = if self.labels.len() > SHOWN { ", …" } else { "" };
        let mut rows = vec![
            ("preprocessing", self.preprocess.recipe.to_string()),
            ("preprocessing is from", self.preprocess_origin.clone()),
            ("labels", format!("{}: {}{rest}", self.labels.len(), first.join(", "))),
            ("labels are from", self.labels_origin.clone()),
        ];
        if !self.labels.is_empty() {
            let scores = if self.is_softmaxed { "probabilities" } else { "logits, softmax is added" };
            rows.push(("scores", scores.to_owned()));
        }
        rows.push(match &self.embedding {
            Some(embedding) => ("embedding", format!("{} [{}]", embedding.tensor, embedding.length)),
            None => ("embedding", "not known; OPTIONS ('embedding' 'tensor') says it".to_owned()),
        });
        rows
    }
}

/// Several tensors for a line.
fn joined(tensors: &[TensorInfo]) -> String {
    tensors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Graph {
    /// `pixel_values float32 [batch, 3, 224, 224]`
    pub(crate) fn shown_inputs(&self) -> String {
        joined(&self.inputs)
    }

    pub(crate) fn shown_outputs(&self) -> String {
        joined(&self.outputs)
    }
}
