//! [`ModelRegistry`]: the models of a session, by name.

use std::sync::{Arc, PoisonError, RwLock};

use super::{Model, builtin};
use crate::error::Error;
use crate::options::DEFAULT_MODEL;

/// The models of a session. Names are case-insensitive.
#[derive(Debug)]
pub(crate) struct ModelRegistry {
    models: RwLock<Vec<Arc<Model>>>,
}

impl ModelRegistry {
    /// A registry with the built-in model.
    ///
    /// # Errors
    /// When the configuration of the built-in model is invalid.
    pub(crate) fn with_builtin_model() -> Result<Self, Error> {
        Ok(Self { models: RwLock::new(vec![Arc::new(builtin::model()?)]) })
    }

    /// Registers a model, replacing one of the same name. Running queries keep the replaced model.
    ///
    /// # Errors
    /// When the name is that of the built-in model.
    pub(crate) fn register(&self, model: Model) -> Result<(), Error> {
        if model.name().eq_ignore_ascii_case(DEFAULT_MODEL) {
            return Err(Error::BuiltinModel { name: DEFAULT_MODEL });
        }
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        models.retain(|other| !other.name().eq_ignore_ascii_case(model.name()));
        models.push(Arc::new(model));
        Ok(())
    }

    /// Registers a model unless its name is taken; returns whether it did.
    pub(crate) fn register_if_absent(&self, model: Model) -> bool {
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = !models.iter().any(|other| other.name().eq_ignore_ascii_case(model.name()));
        if is_new {
            models.push(Arc::new(model));
        }
        is_new
    }

    /// Removes a model. Running queries keep it.
    ///
    /// # Errors
    /// When no model has the name, or it is the built-in one, which is the default of `ocelli.model`.
    pub(crate) fn deregister(&self, name: &str) -> Result<(), Error> {
        if name.eq_ignore_ascii_case(DEFAULT_MODEL) {
            return Err(Error::BuiltinModel { name: DEFAULT_MODEL });
        }
        self.get(name)?;
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        models.retain(|other| !other.name().eq_ignore_ascii_case(name));
        Ok(())
    }

    /// All models, in order of registration.
    pub(crate) fn list(&self) -> Vec<Arc<Model>> {
        self.models.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The model with this name.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], which lists the registered models.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Model>, Error> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        models.iter().find(|model| model.name().eq_ignore_ascii_case(name)).cloned().ok_or_else(|| {
            let known: Vec<&str> = models.iter().map(|model| model.name()).collect();
            Error::ModelNotFound { name: name.to_owned(), known: known.join(", ") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_insensitive() {
        let models = ModelRegistry::with_builtin_model().unwrap();
        assert_eq!(models.get("ResNet20-CIFAR10").unwrap().name(), "resnet20-cifar10");
    }

    #[test]
    fn unknown_names_list_the_registered_models() {
        let error = ModelRegistry::with_builtin_model().unwrap().get("resnet").unwrap_err();
        assert_eq!(error.to_string(), "model 'resnet' does not exist; known models: resnet20-cifar10");
    }
}
