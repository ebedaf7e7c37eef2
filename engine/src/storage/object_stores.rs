//! [`Stores`]: from a URI, or a path of this machine, to an object store and the object in it.

use std::collections::HashMap;
use std::path::{Component, PathBuf};
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
            Some(Ok(url)) if url.query().is_some() || url.fragment().is_some() => {
                return Err(
                    "it has a ? or a #, which object stores do not know; in the name of an object they are %3F and %23"
                        .to_owned(),
                );
            }
            Some(Ok(url)) => {
                let path = Path::from_url_path(url.path()).map_err(|error| error.to_string())?;
                (format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort]), path)
            }
            Some(Err(error)) => return Err(format!("it is no URI ({error})")),
            None => {
                let absolute = std::path::absolute(uri).map_err(|error| error.to_string())?;
                let path = Path::from_absolute_path(without_parents(&absolute)).map_err(|error| error.to_string())?;
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

/// The same path without its `..`, which object stores do not know.
fn without_parents(path: &std::path::Path) -> PathBuf {
    let mut folded = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(folded.pop()),
            part => folded.push(part),
        }
    }
    folded
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(uri: &str) -> Result<String, String> {
        Stores::new(Arc::default()).find(uri).map(|(_, path)| path.to_string())
    }

    #[test]
    fn paths_and_uris_lead_to_objects() {
        assert_eq!(found("/a/b/../c d/x#1.jpg"), Ok("a/c d/x#1.jpg".to_owned()));
        assert_eq!(found("file:///a/b/../c%20d/x.jpg"), Ok("a/c d/x.jpg".to_owned()));
        assert_eq!(found("s3://bucket/a.jpg"), Err("there is no object store for s3://bucket".to_owned()));
        assert!(found("file:///a#1.jpg").unwrap_err().starts_with("it has a ? or a #"));
        assert!(found("http://[").unwrap_err().starts_with("it is no URI ("));
    }
}
