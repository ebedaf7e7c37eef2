//! [`ObjectStoreResolver`]: resolves URIs and local paths to object stores.

use std::collections::HashMap;
use std::path::{Component, PathBuf};
use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectStore;
use object_store::path::Path;
use url::{Position, Url};

/// Resolves URIs against the object stores of a session, and caches the stores by scheme and authority.
pub(crate) struct ObjectStoreResolver {
    runtime: Arc<RuntimeEnv>,
    cache: HashMap<String, Arc<dyn ObjectStore>>,
}

impl ObjectStoreResolver {
    pub(crate) fn new(runtime: Arc<RuntimeEnv>) -> Self {
        Self { runtime, cache: HashMap::new() }
    }

    /// The store of a URI, and the path of the object in it.
    ///
    /// # Errors
    /// A message if the URI is invalid or no store is registered for it.
    pub(crate) fn resolve(&mut self, uri: &str) -> Result<(Arc<dyn ObjectStore>, Path), String> {
        let (store, path) = match uri.contains("://").then(|| Url::parse(uri)) {
            Some(Ok(url)) if url.query().is_some() || url.fragment().is_some() => {
                return Err("it contains ? or #, which object stores do not support; write %3F or %23 in object names"
                    .to_owned());
            }
            Some(Ok(url)) => {
                let path = Path::from_url_path(url.path()).map_err(|error| error.to_string())?;
                (format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort]), path)
            }
            Some(Err(error)) => return Err(format!("it is not a valid URI ({error})")),
            None => {
                let absolute = std::path::absolute(uri).map_err(|error| error.to_string())?;
                let path =
                    Path::from_absolute_path(remove_dot_segments(&absolute)).map_err(|error| error.to_string())?;
                ("file://".to_owned(), path)
            }
        };
        if let Some(store) = self.cache.get(&store) {
            return Ok((Arc::clone(store), path));
        }
        let no_store = |_| format!("there is no object store for {store}");
        let url = ObjectStoreUrl::parse(&store).map_err(no_store)?;
        let found = self.runtime.object_store(&url).map_err(no_store)?;
        self.cache.insert(store, Arc::clone(&found));
        Ok((found, path))
    }
}

/// Removes `..` segments, which object stores do not support (RFC 3986, section 5.2.4).
pub(super) fn remove_dot_segments(path: &std::path::Path) -> PathBuf {
    let mut normalized = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normalized.pop()),
            part => normalized.push(part),
        }
    }
    normalized
}

/// The message of an object store error, without the names of wrapping error types.
pub(crate) fn object_store_message(error: &object_store::Error) -> String {
    match error {
        object_store::Error::NotFound { .. } => "there is no such file".to_owned(),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            "access is denied".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(uri: &str) -> Result<String, String> {
        ObjectStoreResolver::new(Arc::default()).resolve(uri).map(|(_, path)| path.to_string())
    }

    #[test]
    fn paths_and_uris_are_resolved() {
        assert_eq!(found("/a/b/../c d/x#1.jpg"), Ok("a/c d/x#1.jpg".to_owned()));
        assert_eq!(found("file:///a/b/../c%20d/x.jpg"), Ok("a/c d/x.jpg".to_owned()));
        assert_eq!(found("s3://bucket/a.jpg"), Err("there is no object store for s3://bucket".to_owned()));
        assert!(found("file:///a#1.jpg").unwrap_err().starts_with("it contains ? or #"));
        assert!(found("http://[").unwrap_err().starts_with("it is not a valid URI ("));
    }
}
