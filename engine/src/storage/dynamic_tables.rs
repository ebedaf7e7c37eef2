//! [`Files`]: a quoted file name in a query is a table.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider, UrlTableFactory};
use datafusion::common::internal_datafusion_err;
use datafusion::datasource::dynamic_file::DynamicListTableFactory;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;
use futures::StreamExt;

use super::matrix_market::MatrixMarket;
use crate::error::{Error, explain};

/// Opens `'photos.parquet'`, `'photos/*.parquet'` and, where such a store is registered, `'s3://bucket/photos/'`.
///
/// DataFusion's own factory answers "table not found" to whatever goes wrong; this one says what did.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Opens what can be opened. Knows the session, which is set once there is one.
    pub(crate) factory: DynamicListTableFactory,
}

#[async_trait]
impl UrlTableFactory for Files {
    async fn try_new(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if !names_a_file(name) {
            return Ok(None);
        }
        let state = self.state()?;
        let refuse = |error: DataFusionError| Error::NotATable { path: name.to_owned(), reason: explain(&error) };
        let url = ListingTableUrl::parse(name).map_err(refuse)?;
        if state.runtime_env().object_store(&url).is_err() {
            let reason = format!("there is no object store for {}", url.object_store().as_str());
            return Err(Error::NotATable { path: name.to_owned(), reason }.into());
        }
        let kinds = kinds(&url, &state).await.map_err(refuse)?;
        let is_path = name.contains(PATH_MARKS);
        if is_path && !kinds.is_empty() && MatrixMarket::has_name(name) {
            if url.get_glob().is_some() {
                let reason = "several matrices are no table; name one of the files".to_owned();
                return Err(Error::NotATable { path: name.to_owned(), reason }.into());
            }
            let store = state.runtime_env().object_store(&url)?;
            return Ok(Some(Arc::new(MatrixMarket::open(name, store, url.prefix()).await?)));
        }
        let reason = match kinds.as_slice() {
            [] if !is_path => return Ok(None),
            [] => return Err(nothing_there(name, &url).into()),
            [kind] if EXTENSIONS.contains(&kind.as_str()) => None,
            [kind] => {
                Some(format!("{} is none of .parquet, .csv, .json (a value a line), .arrow and .mtx", shown(kind)))
            }
            several => {
                let several = several.iter().map(|kind| shown(kind)).collect::<Vec<_>>().join(", ");
                Some(format!("it holds files of several kinds ({several}); name one, as in '…/*.parquet'"))
            }
        };
        if let Some(reason) = reason {
            // A table may have the name of a folder that has nothing to do with it.
            if !is_path {
                return Ok(None);
            }
            return Err(Error::NotATable { path: name.to_owned(), reason }.into());
        }
        match self.factory.try_new(name).await.map_err(refuse)? {
            Some(table) if !table.schema().fields().is_empty() => Ok(Some(table)),
            Some(_) => Err(Error::NotATable { path: name.to_owned(), reason: "it has no columns".to_owned() }.into()),
            None => {
                Err(Error::NotATable { path: name.to_owned(), reason: "its format is not known".to_owned() }.into())
            }
        }
    }
}

impl Files {
    fn state(&self) -> Result<SessionState> {
        let session = self.factory.session_store().get_session().upgrade();
        let state = session.and_then(|session| session.read().as_any().downcast_ref::<SessionState>().cloned());
        state.ok_or_else(|| internal_datafusion_err!("the session of this table is gone"))
    }
}

const PATH_MARKS: [char; 4] = ['/', '\\', '.', '*'];

/// Whether a table's name can only be meant as a path. A bare word can when there is such a folder.
fn names_a_file(name: &str) -> bool {
    name.contains(PATH_MARKS) || Path::new(name).is_dir()
}

/// The extensions of tables.
const EXTENSIONS: [&str; 4] = ["parquet", "csv", "json", "arrow"];

/// The extensions of the files that `url` lists. DataFusion takes the first file's format and leaves out the others.
async fn kinds(url: &ListingTableUrl, state: &dyn Session) -> Result<Vec<String>> {
    let store = state.runtime_env().object_store(url)?;
    let mut files = url.list_all_files(state, store.as_ref(), "").await?;
    let mut kinds = BTreeSet::new();
    while let Some(file) = files.next().await.transpose()? {
        let name = file.location.filename().unwrap_or_default();
        // Marks and temporary files of other programs, such as `_SUCCESS`.
        if !name.starts_with(['_', '.']) {
            let extension = Path::new(name).extension().unwrap_or_default();
            kinds.insert(extension.to_string_lossy().to_lowercase());
        }
    }
    Ok(kinds.into_iter().collect())
}

fn shown(kind: &str) -> String {
    if kind.is_empty() { "no extension".to_owned() } else { format!(".{kind}") }
}

fn nothing_there(name: &str, url: &ListingTableUrl) -> Error {
    let path = name.to_owned();
    if url.get_glob().is_some() {
        return Error::NotATable { path, reason: "no file matches it".to_owned() };
    }
    if url.scheme() != "file" {
        return Error::NotATable { path, reason: "there is no such object, and none below it".to_owned() };
    }
    if Path::new(name).is_dir() {
        return Error::NotATable { path, reason: "the folder has no files".to_owned() };
    }
    let hint = match std::env::current_dir() {
        Ok(directory) if Path::new(name).is_relative() => format!("; relative paths start at {}", directory.display()),
        _ => String::new(),
    };
    Error::NoFile { path, hint }
}
