//! [`FileTableFactory`]: opens quoted file names in queries as tables.

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

use super::matrix_market::MatrixMarketTable;
use crate::error::{Error, user_message};

/// Opens `'photos.parquet'`, `'photos/*.parquet'` and, with a registered store, `'s3://bucket/photos/'`.
///
/// DataFusion's own factory reports every failure as "table not found"; this one reports the cause.
#[derive(Debug, Default)]
pub(crate) struct FileTableFactory {
    /// DataFusion's factory, which opens the file. Its session is set after the session is built.
    pub(crate) factory: DynamicListTableFactory,
}

#[async_trait]
impl UrlTableFactory for FileTableFactory {
    async fn try_new(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if !looks_like_path(name) {
            return Ok(None);
        }
        let state = self.state()?;
        let unreadable =
            |error: DataFusionError| Error::UnreadableTable { path: name.to_owned(), reason: user_message(&error) };
        let url = ListingTableUrl::parse(name).map_err(unreadable)?;
        if state.runtime_env().object_store(&url).is_err() {
            let reason = format!("there is no object store for {}", url.object_store().as_str());
            return Err(Error::UnreadableTable { path: name.to_owned(), reason }.into());
        }
        let extensions = file_extensions(&url, &state).await.map_err(unreadable)?;
        let is_path = name.contains(PATH_CHARS);
        if is_path && !extensions.is_empty() && MatrixMarketTable::has_extension(name) {
            if url.get_glob().is_some() {
                let reason = "several matrices cannot be one table; name a single file".to_owned();
                return Err(Error::UnreadableTable { path: name.to_owned(), reason }.into());
            }
            let store = state.runtime_env().object_store(&url)?;
            return Ok(Some(Arc::new(MatrixMarketTable::open(name, store, url.prefix()).await?)));
        }
        let reason = match extensions.as_slice() {
            [] if !is_path => return Ok(None),
            [] => return Err(not_found(name, &url).into()),
            [extension] if SUPPORTED_EXTENSIONS.contains(&extension.as_str()) => None,
            [extension] if extension.is_empty() && !url.is_collection() => Some(
                "its name has no extension; expected .parquet, .csv, .json (newline-delimited), .arrow or .mtx"
                    .to_owned(),
            ),
            [extension] => Some(format!(
                "{} is not supported; expected .parquet, .csv, .json (newline-delimited), .arrow or .mtx",
                display_extension(extension)
            )),
            several => {
                let several =
                    several.iter().map(|extension| display_extension(extension)).collect::<Vec<_>>().join(", ");
                Some(format!("it contains files of several formats ({several}); select one, as in '…/*.parquet'"))
            }
        };
        if let Some(reason) = reason {
            // A registered table may share its name with an unrelated folder.
            if !is_path {
                return Ok(None);
            }
            return Err(Error::UnreadableTable { path: name.to_owned(), reason }.into());
        }
        match self.factory.try_new(name).await.map_err(unreadable)? {
            Some(table) if !table.schema().fields().is_empty() => Ok(Some(table)),
            Some(_) => {
                Err(Error::UnreadableTable { path: name.to_owned(), reason: "it has no columns".to_owned() }.into())
            }
            None => {
                Err(Error::UnreadableTable { path: name.to_owned(), reason: "its format is unknown".to_owned() }.into())
            }
        }
    }
}

impl FileTableFactory {
    fn state(&self) -> Result<SessionState> {
        let session = self.factory.session_store().get_session().upgrade();
        let state = session.and_then(|session| session.read().as_any().downcast_ref::<SessionState>().cloned());
        state.ok_or_else(|| internal_datafusion_err!("the session of this table is gone"))
    }
}

const PATH_CHARS: [char; 4] = ['/', '\\', '.', '*'];

/// Whether a table name has to be a path. A bare word is one if a folder of that name exists.
fn looks_like_path(name: &str) -> bool {
    name.contains(PATH_CHARS) || Path::new(name).is_dir()
}

/// Extensions that can be read as tables.
const SUPPORTED_EXTENSIONS: [&str; 4] = ["parquet", "csv", "json", "arrow"];

/// The extensions of the files that `url` lists. DataFusion would take the format of the first file and skip the others.
async fn file_extensions(url: &ListingTableUrl, state: &dyn Session) -> Result<Vec<String>> {
    let store = state.runtime_env().object_store(url)?;
    let mut files = url.list_all_files(state, store.as_ref(), "").await?;
    let mut extensions = BTreeSet::new();
    while let Some(file) = files.next().await.transpose()? {
        let name = file.location.filename().unwrap_or_default();
        // Marker and temporary files of other programs, such as `_SUCCESS`.
        if !name.starts_with(['_', '.']) {
            let extension = Path::new(name).extension().unwrap_or_default();
            extensions.insert(extension.to_string_lossy().to_lowercase());
        }
    }
    Ok(extensions.into_iter().collect())
}

fn display_extension(extension: &str) -> String {
    if extension.is_empty() { "no extension".to_owned() } else { format!(".{extension}") }
}

fn not_found(name: &str, url: &ListingTableUrl) -> Error {
    let path = name.to_owned();
    if url.get_glob().is_some() {
        return Error::UnreadableTable { path, reason: "no file matches the pattern".to_owned() };
    }
    if url.scheme() != "file" {
        return Error::UnreadableTable { path, reason: "no object has this name or prefix".to_owned() };
    }
    if Path::new(name).is_dir() {
        return Error::UnreadableTable { path, reason: "the folder contains no files".to_owned() };
    }
    let hint = match std::env::current_dir() {
        Ok(directory) if Path::new(name).is_relative() => format!("; relative paths start at {}", directory.display()),
        _ => String::new(),
    };
    Error::FileNotFound { path, hint }
}
