//! [`FileTableFactory`]: opens quoted file names in queries as tables.
//!
//! ```text
//! 'photos/**/*.parquet' ─ [`PathPattern`] ─▶ files ─ extension ─▶ [`TableFormat`] ─ headers ─▶ schema
//!                                              └─ folders key=value ─▶ [`HivePartitions`] ──────┴──▶ [`FileTable`]
//! ```

mod common_type;
mod file_table;
mod hive_partitions;
mod path_pattern;
mod schema_union;
mod table_format;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{TableProvider, UrlTableFactory};
use datafusion::common::{internal_datafusion_err, plan_err};
use datafusion::datasource::dynamic_file::DynamicListTableFactory;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::session_state::SessionState;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore};
use url::Url;

use file_table::FileTable;
use hive_partitions::{HivePartitions, MixedKeys};
use path_pattern::PathPattern;
use schema_union::{FileSchema, own_schemas, union_schema};
use table_format::files_by_extension;
pub(crate) use table_format::{TableFormat, file_extension};

use super::matrix_market::MatrixMarketTable;
use crate::error::{Error, TABLE_EXTENSIONS, user_message};

/// Opens `'photos.parquet'`, `'photos/*.parquet'` and, with a registered store, `'s3://bucket/photos/'`.
///
/// DataFusion's own factory reports every failure as "table not found"; this one reports the cause.
#[derive(Debug, Default)]
pub(crate) struct FileTableFactory {
    /// DataFusion's factory, for its reference to the session, which is set after the session is built.
    pub(crate) factory: DynamicListTableFactory,
}

#[async_trait]
impl UrlTableFactory for FileTableFactory {
    async fn try_new(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if !looks_like_path(name) {
            return Ok(None);
        }
        match self.open(name).await {
            // A registered table may share its name with an unrelated folder.
            Err(Error::UnreadableTable { .. } | Error::FileNotFound { .. }) if !name.contains(PATH_CHARS) => Ok(None),
            Err(error) => Err(error.into()),
            Ok(table) => Ok(Some(table)),
        }
    }
}

impl FileTableFactory {
    async fn open(&self, name: &str) -> Result<Arc<dyn TableProvider>, Error> {
        let unreadable = |reason: String| Error::UnreadableTable { path: name.to_owned(), reason };
        let failed = |error: DataFusionError| unreadable(user_message(&error));
        let state = self.state().map_err(failed)?;
        let pattern = PathPattern::parse(name).map_err(failed)?;
        let Ok(store) = state.runtime_env().object_store(&pattern.store) else {
            return Err(unreadable(format!("there is no object store for {}", pattern.store.as_str())));
        };
        let files = pattern.list(store.as_ref()).await.map_err(failed)?;
        if files.is_empty() {
            return Err(not_found(name, &pattern));
        }
        if MatrixMarketTable::has_extension(name) {
            if pattern.is_glob() {
                return Err(unreadable("several matrices cannot be one table; name a single file".to_owned()));
            }
            return Ok(Arc::new(MatrixMarketTable::open(name, store, &pattern.base).await?));
        }
        let is_file = files.len() == 1 && files[0].location == pattern.base;
        let mut by_extension = files_by_extension(files, is_file || !pattern.selects_all_names());
        if by_extension.len() > 1 {
            let extensions: Vec<String> = by_extension.keys().map(|extension| display_extension(extension)).collect();
            return Err(unreadable(format!(
                "it contains files of several formats ({}); select one, as in '…/*.parquet'",
                extensions.join(", ")
            )));
        }
        let Some((extension, files)) = by_extension.pop_first() else {
            if pattern.is_glob() {
                return Err(not_found(name, &pattern));
            }
            return Err(unreadable("it contains marker and temporary files only".to_owned()));
        };
        if MatrixMarketTable::has_extension(&format!(".{extension}")) {
            return Err(unreadable("a matrix is one file; name it, as in '…/x.mtx'".to_owned()));
        }
        let Some(format) = TableFormat::from_extension(&extension) else {
            let problem = match extension.as_str() {
                "" => "its name has no extension".to_owned(),
                extension => format!(".{extension} is not supported"),
            };
            return Err(unreadable(format!("{problem}; expected {TABLE_EXTENSIONS}")));
        };
        let reader = format.reader(&state);
        let schemas = infer_schemas(&state, &store, &reader, format, &files).await.map_err(failed)?;
        let schema = union_schema(format, &schemas).map_err(failed)?;
        let own_schemas = own_schemas(&schema, schemas);
        if schema.fields().is_empty() {
            return Err(unreadable("it has no columns".to_owned()));
        }
        let partitions = match is_file {
            true => HivePartitions::none(files.len()),
            false => match HivePartitions::parse(&files, pattern.implied_segments, &schema).map_err(failed)? {
                Ok(partitions) => partitions,
                // A pattern selects files; a folder is a table, whose columns would be ambiguous.
                Err(_) if pattern.is_glob() => HivePartitions::none(files.len()),
                Err(MixedKeys(some, others)) => {
                    let list = |keys: Vec<String>| if keys.is_empty() { "none".to_owned() } else { keys.join("/") };
                    let extension = files[0].location.filename().map(file_extension).unwrap_or_default();
                    return Err(unreadable(format!(
                        "its files have different partition keys ({} and {}); a pattern, as in '…/**/*.{extension}', reads them without \
                         partition columns",
                        list(some),
                        list(others)
                    )));
                }
            },
        };
        // DataFusion writes files with the extension of their format, below the folders of all keys.
        let is_insertable =
            matches!(extension.as_str(), "parquet" | "csv" | "json" | "arrow") && !pattern.names_partition();
        let folder = match pattern.is_glob() || is_file || !is_insertable {
            true => None,
            false => Some(Arc::new(listing_table(name, &reader, &schema, &partitions).map_err(failed)?)),
        };
        Ok(Arc::new(FileTable::new(pattern.store, files, reader, schema, own_schemas, partitions, folder)))
    }

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

/// The number of JSON files that are read for the columns, as by DuckDB: a file of a remote store is read as a whole.
const MAX_JSON_FILES: usize = 32;

/// The columns of each file that has any.
async fn infer_schemas(
    state: &SessionState,
    store: &Arc<dyn ObjectStore>,
    reader: &Arc<dyn FileFormat>,
    format: TableFormat,
    files: &[ObjectMeta],
) -> Result<Vec<FileSchema>> {
    // A file without a byte has no columns, and is an error for most formats.
    let mut read: Vec<ObjectMeta> = files.iter().filter(|file| file.size > 0).cloned().collect();
    if let TableFormat::Json(_) = format {
        read.truncate(MAX_JSON_FILES);
    }
    let is_one = files.len() == 1;
    let infer = |file: ObjectMeta| async move {
        match reader.infer_schema(state, store, std::slice::from_ref(&file)).await {
            Ok(schema) => Ok(FileSchema { location: file.location, schema }),
            Err(error) if is_one => Err(error),
            Err(error) => {
                plan_err!("'{}': {}", file.location.filename().unwrap_or_default(), user_message(&error))
            }
        }
    };
    let concurrency = state.config_options().execution.meta_fetch_concurrency.get();
    stream::iter(read).map(infer).buffered(concurrency).try_collect().await
}

/// The folder as a table of DataFusion, which `INSERT INTO` writes to.
fn listing_table(
    name: &str,
    reader: &Arc<dyn FileFormat>,
    schema: &SchemaRef,
    partitions: &HivePartitions,
) -> Result<ListingTable> {
    let columns = partitions.columns.iter().map(|column| (column.name().clone(), column.data_type().clone())).collect();
    let options = ListingOptions::new(Arc::clone(reader)).with_file_extension("").with_table_partition_cols(columns);
    // `ListingTableUrl::parse` would read brackets in the name of a folder as a pattern.
    let url = match std::path::absolute(name).ok().and_then(|folder| Url::from_directory_path(folder).ok()) {
        Some(folder) if !name.contains("://") => ListingTableUrl::try_new(folder, None)?,
        _ => ListingTableUrl::parse(name)?,
    };
    ListingTable::try_new(ListingTableConfig::new(url).with_listing_options(options).with_schema(Arc::clone(schema)))
}

fn display_extension(extension: &str) -> String {
    if extension.is_empty() { "no extension".to_owned() } else { format!(".{extension}") }
}

fn not_found(name: &str, pattern: &PathPattern) -> Error {
    let path = name.to_owned();
    if pattern.is_glob() {
        return Error::UnreadableTable { path, reason: "no file matches the pattern".to_owned() };
    }
    if pattern.store != ObjectStoreUrl::local_filesystem() {
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
