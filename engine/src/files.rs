//! [`Files`]: a quoted file name in a query is a table.

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
        let Some(first) = first_file(&url, &state).await.map_err(refuse)? else {
            return Err(nothing_there(name, &url).into());
        };
        match self.factory.try_new(name).await.map_err(refuse)? {
            Some(table) => Ok(Some(table)),
            None => Err(Error::NotATable { path: name.to_owned(), reason: unknown_format(&first) }.into()),
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

/// Whether a table's name can only be meant as a path. A bare word can when there is such a folder.
fn names_a_file(name: &str) -> bool {
    name.contains(['/', '\\', '.', '*']) || Path::new(name).is_dir()
}

/// The path of the first file that `url` lists.
async fn first_file(url: &ListingTableUrl, state: &dyn Session) -> Result<Option<String>> {
    let store = state.runtime_env().object_store(url)?;
    let mut files = url.list_all_files(state, store.as_ref(), "").await?;
    Ok(files.next().await.transpose()?.map(|file| file.location.to_string()))
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
    let directory =
        std::env::current_dir().map_or_else(|_| "the working directory".to_owned(), |at| at.display().to_string());
    Error::NoFile { path, directory }
}

fn unknown_format(file: &str) -> String {
    let file = Path::new(file);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    format!("'{name}' is none of .parquet, .csv, .json (a value a line) and .arrow")
}
