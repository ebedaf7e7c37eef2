//! [`Stores`]: from a URI, or a path of this machine, to an object store and the object in it.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectStore;
use object_store::path::Path;
use url::{Position, Url};

/// The object stores of a session, by the beginnings of their URIs.
pub(crate) struct Stores {
    runtime: Arc<RuntimeEnv>,
    known: HashMap<String, Arc<dyn ObjectStore>>,
}

impl Stores {
    pub(crate) fn new(runtime: Arc<RuntimeEnv>) -> Self {
        Self { runtime, known: HashMap::new() }
    }

    /// The store of a URI, and where the object is in it.
    ///
    /// # Errors
    /// Half a sentence when it is no URI, or no store is registered for it.
    pub(crate) fn find(&mut self, uri: &str) -> Result<(Arc<dyn ObjectStore>, Path), String> {
        let (store, path) = match uri.contains("://").then(|| Url::parse(uri)) {
            Some(Ok(url)) => {
                let path = Path::from_url_path(url.path()).map_err(|error| error.to_string())?;
                (format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort]), path)
            }
            Some(Err(error)) => return Err(format!("it is no URI ({error})")),
            None => {
                let absolute = std::path::absolute(uri).map_err(|error| error.to_string())?;
                let path = Path::from_absolute_path(absolute).map_err(|error| error.to_string())?;
                ("file://".to_owned(), path)
            }
        };
        if let Some(known) = self.known.get(&store) {
            return Ok((Arc::clone(known), path));
        }
        let no_store = |_| format!("there is no object store for {store}");
        let url = ObjectStoreUrl::parse(&store).map_err(no_store)?;
        let found = self.runtime.object_store(&url).map_err(no_store)?;
        self.known.insert(store, Arc::clone(&found));
        Ok((found, path))
    }
}

/// Why an object cannot be had, without the names of the types that the error went through.
pub(crate) fn reason(error: &object_store::Error) -> String {
    match error {
        object_store::Error::NotFound { .. } => "there is no such file".to_owned(),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            "access is denied".to_owned()
        }
        other => other.to_string(),
    }
}
