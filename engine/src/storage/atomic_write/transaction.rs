//! [`WriteTransaction`]: the uploads of one write, completed or aborted together.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::error::{DataFusionError, Result};

use super::local_file::remove_empty_folders;
use super::upload::{StagedUpload, UploadTarget};
use crate::error::Error;
use crate::storage::object_stores::object_store_message;

/// Uploads that are not visible yet, and the first failure.
#[derive(Debug, Default)]
pub(super) struct WriteTransaction {
    state: Mutex<TransactionState>,
}

#[derive(Debug, Default)]
struct TransactionState {
    /// No further upload is accepted: a cancelled query may still have tasks that write.
    is_closed: bool,
    uploads: Vec<Arc<StagedUpload>>,
    /// Folders that were created for local files, parents first.
    created_folders: Vec<PathBuf>,
    failure: Option<Error>,
}

impl TransactionState {
    fn close(&mut self) -> (Vec<Arc<StagedUpload>>, Vec<PathBuf>) {
        self.is_closed = true;
        (std::mem::take(&mut self.uploads), std::mem::take(&mut self.created_folders))
    }
}

impl WriteTransaction {
    fn state(&self) -> MutexGuard<'_, TransactionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an upload. `None` if the transaction has ended; the upload is dropped then.
    pub(super) fn add(
        &self,
        path: String,
        target: UploadTarget,
        created_folders: Vec<PathBuf>,
    ) -> Option<Arc<StagedUpload>> {
        let mut state = self.state();
        if state.is_closed {
            drop((target, state));
            remove_empty_folders(&created_folders);
            return None;
        }
        let upload = Arc::new(StagedUpload::new(path, target));
        state.uploads.push(Arc::clone(&upload));
        state.created_folders.extend(created_folders);
        Some(upload)
    }

    /// Records why a file cannot be written: DataFusion's sinks do not report every cause.
    pub(super) fn fail(&self, path: &str, error: &object_store::Error) {
        self.state().failure.get_or_insert_with(|| unwritable(path, error));
    }

    pub(super) fn rollback_on_drop(self: Arc<Self>) -> TransactionGuard {
        TransactionGuard(self)
    }
}

/// Ends a transaction; dropped before that, it rolls back.
pub(super) struct TransactionGuard(Arc<WriteTransaction>);

impl TransactionGuard {
    /// Makes all files visible, one after another.
    ///
    /// # Errors
    /// When a file cannot be completed; it and those after it are removed.
    pub(super) async fn commit(self) -> Result<()> {
        let (uploads, folders) = self.0.state().close();
        let mut uploads = uploads.into_iter();
        while let Some(staged) = uploads.next() {
            if let Err(error) = staged.complete().await {
                staged.abort().await;
                abort_all(uploads, &folders).await;
                return Err(unwritable(&staged.path, &error).into());
            }
        }
        Ok(())
    }

    /// Removes what was written. Returns the first failure to write, if there was one.
    pub(super) async fn rollback(self) -> Option<DataFusionError> {
        let (uploads, folders) = self.0.state().close();
        abort_all(uploads.into_iter(), &folders).await;
        self.0.state().failure.take().map(DataFusionError::from)
    }
}

impl Drop for TransactionGuard {
    fn drop(&mut self) {
        let (uploads, folders) = self.0.state().close();
        // Staged files are removed at once: the process may be about to exit.
        let remote: Vec<_> = uploads.into_iter().filter(|staged| !staged.remove_local()).collect();
        remove_empty_folders(&folders);
        if !remote.is_empty()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { abort_all(remote.into_iter(), &[]).await });
        }
    }
}

async fn abort_all(uploads: impl Iterator<Item = Arc<StagedUpload>>, folders: &[PathBuf]) {
    for staged in uploads {
        staged.abort().await;
    }
    remove_empty_folders(folders);
}

fn unwritable(path: &str, error: &object_store::Error) -> Error {
    let reason = match error {
        object_store::Error::Generic { source, .. } => source.to_string(),
        other => object_store_message(other),
    };
    Error::UnwritableFile { path: path.to_owned(), reason }
}
