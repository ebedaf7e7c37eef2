//! [`Models`]: the models that a session knows by name.

use std::sync::{Arc, PoisonError, RwLock};

use super::{Model, builtin};
use crate::error::Error;
use crate::options::DEFAULT_MODEL;

/// Models by name.
#[derive(Debug)]
pub(crate) struct Models {
    all: RwLock<Vec<Arc<Model>>>,
}

impl Models {
    /// The bundled model alone.
    pub(crate) fn bundled() -> Result<Self, Error> {
        Ok(Self { all: RwLock::new(vec![Arc::new(builtin::model()?)]) })
    }

    /// Adds a model, or puts it in the place of the one that has its name. Queries that run keep that.
    ///
    /// # Errors
    /// When that is the bundled one.
    pub(crate) fn register(&self, model: Model) -> Result<(), Error> {
        if model.name().eq_ignore_ascii_case(DEFAULT_MODEL) {
            return Err(Error::BuiltinModel { name: DEFAULT_MODEL });
        }
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| !known.name().eq_ignore_ascii_case(model.name()));
        all.push(Arc::new(model));
        Ok(())
    }

    /// Adds a model unless its name is taken, and says whether it did.
    pub(crate) fn register_new(&self, model: Model) -> bool {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = !all.iter().any(|known| known.name().eq_ignore_ascii_case(model.name()));
        if is_new {
            all.push(Arc::new(model));
        }
        is_new
    }

    /// Forgets a model. Queries that run keep it.
    ///
    /// # Errors
    /// When there is none of that name, or it is the bundled one, without which `ocelli.model` would name nothing.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        if name.eq_ignore_ascii_case(DEFAULT_MODEL) {
            return Err(Error::BuiltinModel { name: DEFAULT_MODEL });
        }
        self.get(name)?;
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| !known.name().eq_ignore_ascii_case(name));
        Ok(())
    }

    /// All of them, in the order in which they came.
    pub(crate) fn all(&self) -> Vec<Arc<Model>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The model of that name, whatever the case of its letters.
    ///
    /// # Errors
    /// Names the models that there are.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Model>, Error> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|model| model.name().eq_ignore_ascii_case(name)).cloned().ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|model| model.name()).collect();
            Error::ModelNotFound { name: name.to_owned(), known: known.join(", ") }
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
