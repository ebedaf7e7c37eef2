//! [`Models`]: the models that a session knows by name.

use std::sync::Arc;

use super::{Model, bundled};
use crate::error::Error;

/// Models by name.
#[derive(Debug)]
pub(crate) struct Models {
    all: Vec<Arc<Model>>,
}

impl Models {
    /// The bundled model alone.
    pub(crate) fn bundled() -> Result<Self, Error> {
        Ok(Self { all: vec![Arc::new(bundled::model()?)] })
    }

    /// The model of that name, whatever the case of its letters.
    ///
    /// # Errors
    /// Names the models that there are.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Model>, Error> {
        self.all.iter().find(|model| model.name().eq_ignore_ascii_case(name)).cloned().ok_or_else(|| {
            let known: Vec<&str> = self.all.iter().map(|model| model.name()).collect();
            Error::UnknownModel { name: name.to_owned(), known: known.join(", ") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case() {
        let models = Models::bundled().unwrap();
        assert_eq!(models.get("ResNet20-CIFAR10").unwrap().name(), "resnet20-cifar10");
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let error = Models::bundled().unwrap().get("resnet").unwrap_err();
        assert_eq!(error.to_string(), "model 'resnet' does not exist; known models: resnet20-cifar10");
    }
}
