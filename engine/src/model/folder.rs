//! A model's folder, as the Hugging Face hub lays it out: `model.onnx`, `config.json`, `preprocessor_config.json`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use serde::Deserialize;

use super::{Model, Preprocess, hexadecimal_digest};
use crate::backend::{Backend, Rten};
use crate::error::Error;

/// The part of a `config.json` that names the classes.
#[derive(Deserialize)]
pub(super) struct Config {
    id2label: BTreeMap<usize, String>,
}

impl Config {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// In the order of their numbers.
    pub(super) fn into_labels(self) -> Vec<String> {
        self.id2label.into_values().collect()
    }
}

impl Model {
    /// Reads and loads the model in a folder.
    ///
    /// # Errors
    /// One sentence that names the file.
    pub(crate) fn open(name: &str, folder: &Path) -> Result<Self, Error> {
        let refuse = |file: &str, reason: String| Error::Model {
            model: name.to_owned(),
            reason: format!("{}: {reason}", folder.join(file).display()),
        };
        let read = |file: &str| std::fs::read(folder.join(file)).map_err(|error| refuse(file, error.to_string()));
        let text =
            |file: &str| String::from_utf8(read(file)?).map_err(|_| refuse(file, "it is no text in UTF-8".to_owned()));
        let labels =
            Config::parse(&text("config.json")?).map_err(|reason| refuse("config.json", reason))?.into_labels();
        let preprocess = Preprocess::parse(&text("preprocessor_config.json")?)
            .map_err(|reason| refuse("preprocessor_config.json", reason))?;
        let graph = read("model.onnx")?;
        let digest = hexadecimal_digest(&graph);
        let backend = Rten::load_owned(graph).map_err(|reason| refuse("model.onnx", reason))?;
        let backend = OnceLock::from(Ok(Box::new(backend) as Box<dyn Backend>));
        Ok(Self { digest: OnceLock::from(digest), backend, ..Self::new(name, &[], preprocess, labels) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundled() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/models/resnet20-cifar10")
    }

    #[test]
    fn a_folder_is_a_model() {
        let model = Model::open("mine", &bundled()).unwrap();
        let same = super::super::bundled::model().unwrap();
        assert_eq!((model.name(), model.digest(), &model.labels), ("mine", same.digest(), &same.labels));
        assert!(model.is_loaded());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Model::open("mine", Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.starts_with("model 'mine' cannot be used: /nowhere/config.json: "), "{error}");
    }
}
