//! [`StagingStore`]: an object store whose writes are postponed until the [`WriteTransaction`] is committed.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::datasource::object_store::ObjectStoreRegistry;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use url::{Position, Url};

use super::local_file::{StagedFile, staging_error};
use super::transaction::WriteTransaction;
use super::upload::{StagedUpload, UploadTarget};

/// The registry of a sink: its stores are staging stores.
#[derive(Debug)]
pub(super) struct StagingRegistry {
    inner: Arc<dyn ObjectStoreRegistry>,
    transaction: Arc<WriteTransaction>,
}

impl StagingRegistry {
    pub(super) fn new(inner: Arc<dyn ObjectStoreRegistry>, transaction: Arc<WriteTransaction>) -> Self {
        Self { inner, transaction }
    }
}

impl ObjectStoreRegistry for StagingRegistry {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.inner.register_store(url, store)
    }

    fn get_store(&self, url: &Url) -> datafusion::error::Result<Arc<dyn ObjectStore>> {
        let inner = self.inner.get_store(url)?;
        let is_local = url.scheme() == "file" && inner.to_string() == LocalFileSystem::new().to_string();
        let base = url[..Position::BeforePath].to_owned();
        let transaction = Arc::clone(&self.transaction);
        Ok(Arc::new(StagingStore { inner, base, is_local, transaction }))
    }
}

#[derive(Debug)]
struct StagingStore {
    inner: Arc<dyn ObjectStore>,
    /// `s3://bucket`, for messages.
    base: String,
    /// The whole local file system, whose files are synchronized to disk.
    is_local: bool,
    transaction: Arc<WriteTransaction>,
}

impl StagingStore {
    async fn start(&self, location: &Path, options: PutMultipartOptions) -> Result<TransactionUpload> {
        let (path, target, folders) = if self.is_local {
            let path = LocalFileSystem::new().path_to_filesystem(location);
            let path = path.map_err(|error| self.failed(&format!("/{location}"), error))?;
            let name = path.display().to_string();
            let (file, folders) =
                StagedFile::create(&path).map_err(|error| self.failed(&name, staging_error(error)))?;
            (name, UploadTarget::Local(file), folders)
        } else {
            let name = format!("{}/{location}", self.base);
            let upload = self.inner.put_multipart_opts(location, options).await;
            let upload = upload.map_err(|error| self.failed(&name, error))?;
            (name, UploadTarget::Remote(upload), Vec::<PathBuf>::new())
        };
        let upload = self.transaction.add(path, target, folders).ok_or_else(|| staging_error("the query has ended"))?;
        Ok(TransactionUpload { upload, transaction: Arc::clone(&self.transaction) })
    }

    fn failed(&self, path: &str, error: object_store::Error) -> object_store::Error {
        self.transaction.fail(path, &error);
        error
    }
}

impl fmt::Display for StagingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for StagingStore {
    /// One part of an upload: a `put` would be visible at once.
    async fn put_opts(&self, location: &Path, payload: PutPayload, _: PutOptions) -> Result<PutResult> {
        let mut upload = self.start(location, PutMultipartOptions::default()).await?;
        upload.put_part(payload).await?;
        upload.complete().await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(self.start(location, options).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// The writer's end of an upload: it is completed by the transaction.
#[derive(Debug)]
struct TransactionUpload {
    upload: Arc<StagedUpload>,
    transaction: Arc<WriteTransaction>,
}

#[async_trait]
impl MultipartUpload for TransactionUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.upload.put_part(data);
        let (upload, transaction) = (Arc::clone(&self.upload), Arc::clone(&self.transaction));
        Box::pin(async move { part.await.inspect_err(|error| transaction.fail(&upload.path, error)) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.upload.finish();
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await;
        Ok(())
    }
}
