//! The rows of `DESCRIBE MODEL` and `system.models`.

use super::{ImageTask, Model};
use crate::error::Error;
use crate::onnx::{GraphInfo, TensorInfo};
use crate::options::BackendPreferences;

impl Model {
    /// The properties of the model with their values.
    ///
    /// # Errors
    /// When the graph cannot be parsed, or a requested backend is not available.
    pub(crate) fn description(&self, session: BackendPreferences) -> Result<Vec<(&'static str, String)>, Error> {
        let graph = self.graph()?;
        let selection = self.backend(session)?;
        let mut rows = vec![
            ("name", self.name().to_owned()),
            ("location", self.location().to_owned()),
            ("digest", self.digest().to_owned()),
            ("task", self.task().to_owned()),
            ("backend", selection.kind.name().to_owned()),
            ("backend_reason", selection.reason.clone()),
            ("device", selection.device().to_owned()),
            ("opset", graph.opset.to_string()),
        ];
        rows.extend(graph.inputs.iter().map(|input| ("input", input.to_string())));
        rows.extend(graph.outputs.iter().map(|output| ("output", output.to_string())));
        match &self.image_task {
            Ok(image_task) => rows.extend(image_task.description()),
            Err(reason) => rows.push(("image_input", format!("none: {reason}"))),
        }
        Ok(rows)
    }

    /// The task, as named by the Hugging Face hub.
    pub(crate) fn task(&self) -> &'static str {
        match self.image_task() {
            Ok(image_task) if image_task.labels.is_empty() => "image-feature-extraction",
            Ok(_) => "image-classification",
            Err(_) => "predict",
        }
    }
}

impl ImageTask {
    fn description(&self) -> Vec<(&'static str, String)> {
        const MAX_DISPLAYED_LABELS: usize = 3;
        let first: Vec<&str> = self.labels.iter().take(MAX_DISPLAYED_LABELS).map(String::as_str).collect();
        let ellipsis = if self.labels.len() > MAX_DISPLAYED_LABELS { ", …" } else { "" };
        let mut rows = vec![
            ("preprocessing", self.processor.config.to_string()),
            ("preprocessing_source", self.preprocessing_source.clone()),
            ("labels", format!("{}: {}{ellipsis}", self.labels.len(), first.join(", "))),
            ("labels_source", self.labels_source.clone()),
        ];
        if !self.labels.is_empty() {
            rows.push(("activation", self.activation.to_string()));
            rows.push(("activation_source", self.activation_source.clone()));
        }
        rows.push(match &self.embedding {
            Some(embedding) => ("embedding", format!("{} [{}]", embedding.tensor, embedding.length)),
            None => ("embedding", "unknown; set OPTIONS ('embedding' 'tensor')".to_owned()),
        });
        rows
    }
}

/// The display forms of tensors in one line.
fn join_tensors(tensors: &[TensorInfo]) -> String {
    tensors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl GraphInfo {
    /// `pixel_values float32 [batch, 3, 224, 224]`
    pub(crate) fn display_inputs(&self) -> String {
        join_tensors(&self.inputs)
    }

    pub(crate) fn display_outputs(&self) -> String {
        join_tensors(&self.outputs)
    }
}
