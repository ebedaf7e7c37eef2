//! [`StagedUpload`]: the parts of one file, which is not visible until it is completed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use object_store::{Error, MultipartUpload, PutPayload, Result, UploadPart};

use super::local_file::{StagedFile, staging_error};

/// Where the parts are written.
#[derive(Debug)]
pub(super) enum UploadTarget {
    Local(StagedFile),
    Remote(Box<dyn MultipartUpload>),
}

/// An upload, shared by the writer, which writes its parts, and the transaction, which completes or aborts it.
#[derive(Debug)]
pub(super) struct StagedUpload {
    /// For messages.
    pub(super) path: String,
    state: Mutex<UploadState>,
}

#[derive(Debug)]
struct UploadState {
    /// `None` once it is completed or aborted.
    target: Option<UploadTarget>,
    /// The last part has been written.
    is_finished: bool,
}

impl StagedUpload {
    pub(super) fn new(path: String, target: UploadTarget) -> Self {
        Self { path, state: Mutex::new(UploadState { target: Some(target), is_finished: false }) }
    }

    fn state(&self) -> MutexGuard<'_, UploadState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a part.
    pub(super) fn put_part(&self, data: PutPayload) -> UploadPart {
        match &mut self.state().target {
            Some(UploadTarget::Local(file)) => file.put_part(data),
            Some(UploadTarget::Remote(upload)) => upload.put_part(data),
            None => async { Err(ended()) }.boxed(),
        }
    }

    /// Marks the upload as ready to be completed.
    pub(super) fn finish(&self) {
        self.state().is_finished = true;
    }

    /// Makes the file visible.
    pub(super) async fn complete(&self) -> Result<()> {
        let target = {
            let mut state = self.state();
            if !state.is_finished {
                return Err(staging_error("the writer has not finished the file"));
            }
            state.target.take()
        };
        match target {
            Some(UploadTarget::Local(file)) => file.complete().await,
            Some(UploadTarget::Remote(mut upload)) => match upload.complete().await {
                Ok(_) => Ok(()),
                Err(error) => {
                    self.state().target = Some(UploadTarget::Remote(upload));
                    Err(error)
                }
            },
            None => Err(ended()),
        }
    }

    /// Removes what was written. Failures are ignored: the error of the query is reported.
    pub(super) async fn abort(&self) {
        let target = self.state().target.take();
        if let Some(UploadTarget::Remote(mut upload)) = target
            && let Err(error) = upload.abort().await
        {
            log::warn!("the multipart upload of '{}' is not aborted: {error}", self.path);
        }
    }

    /// Removes a staged local file; false if the upload is to another store.
    pub(super) fn remove_local(&self) -> bool {
        let mut state = self.state();
        let is_local = !matches!(state.target, Some(UploadTarget::Remote(_)));
        if is_local {
            state.target = None;
        }
        is_local
    }
}

fn ended() -> Error {
    staging_error("the query has ended")
}
