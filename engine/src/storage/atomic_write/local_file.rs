//! [`StagedFile`]: a local file under a temporary name in the folder of its target.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use object_store::{Error, PutPayload, Result, UploadPart};

/// A file that is renamed to its target when it is complete, and removed when it is dropped before.
#[derive(Debug)]
pub(super) struct StagedFile {
    file: Arc<Mutex<File>>,
    /// `out.parquet#1`, which listings of `object_store` omit.
    path: StagedPath,
    target: PathBuf,
    /// Where the next part begins, in bytes.
    offset: u64,
}

/// Removes the file when dropped.
#[derive(Debug)]
struct StagedPath(PathBuf);

impl Drop for StagedPath {
    fn drop(&mut self) {
        // It does not exist after the rename.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl StagedFile {
    /// Creates the file, and the folders that lack; these are returned, parents first.
    ///
    /// # Errors
    /// When the target exists and is no regular file, or the file system refuses.
    pub(super) fn create(target: &Path) -> io::Result<(Self, Vec<PathBuf>)> {
        // The file that a symbolic link names is replaced, not the link.
        let target = match target.canonicalize() {
            Ok(target) if target.is_dir() => return Err(io::Error::other("it is a folder")),
            Ok(target) if !target.is_file() => return Err(io::Error::other("it exists and is not a regular file")),
            Ok(target) => target,
            Err(error) if error.kind() == ErrorKind::NotFound => target.to_owned(),
            Err(error) => return Err(error),
        };
        let created_folders = create_folders(target.parent())?;
        match Self::create_in_folder(target) {
            Ok(file) => Ok((file, created_folders)),
            Err(error) => {
                remove_empty_folders(&created_folders);
                Err(error)
            }
        }
    }

    fn create_in_folder(target: PathBuf) -> io::Result<Self> {
        let existing = std::fs::metadata(&target).ok();
        if existing.as_ref().is_some_and(|metadata| metadata.permissions().readonly()) {
            return Err(io::Error::new(ErrorKind::PermissionDenied, "it is read-only"));
        }
        for suffix in 1..=u16::MAX {
            let mut path = target.clone().into_os_string();
            path.push(format!("#{suffix}"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let path = StagedPath(path.into());
                    if let Some(existing) = existing {
                        file.set_permissions(existing.permissions())?;
                    }
                    return Ok(Self { file: Arc::new(Mutex::new(file)), path, target, offset: 0 });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("no temporary name is free"))
    }

    /// Writes a part after those before it.
    pub(super) fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let offset = self.offset;
        self.offset += data.content_length() as u64;
        let file = Arc::clone(&self.file);
        blocking(move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(offset))?;
            data.iter().try_for_each(|bytes| file.write_all(bytes))
        })
        .boxed()
    }

    /// Replaces the target. After a power loss there is the former file or the new one, complete.
    pub(super) async fn complete(self) -> Result<()> {
        blocking(move || {
            self.file.lock().unwrap_or_else(PoisonError::into_inner).sync_all()?;
            std::fs::rename(&self.path.0, &self.target)?;
            match self.target.parent() {
                // A rename is durable when its folder is; Windows has no such call.
                Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
                _ => Ok(()),
            }
        })
        .await
    }
}

async fn blocking(write: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<()> {
    match tokio::task::spawn_blocking(write).await {
        Ok(result) => result.map_err(staging_error),
        Err(error) => Err(staging_error(error)),
    }
}

/// Creates missing folders, and returns them, parents first.
fn create_folders(folder: Option<&Path>) -> io::Result<Vec<PathBuf>> {
    let mut missing: Vec<PathBuf> = Vec::new();
    for folder in folder.into_iter().flat_map(Path::ancestors) {
        if folder.as_os_str().is_empty() || folder.is_dir() {
            break;
        }
        missing.push(folder.to_owned());
    }
    missing.reverse();
    for (index, folder) in missing.iter().enumerate() {
        match std::fs::create_dir(folder) {
            Ok(()) => {}
            // Another file of the same write has created it.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(error) => {
                remove_empty_folders(&missing[..index]);
                return Err(error);
            }
        }
    }
    Ok(missing)
}

/// Removes folders, given parents first, unless something is in them.
pub(super) fn remove_empty_folders(folders: &[PathBuf]) {
    for folder in folders.iter().rev() {
        let _ = std::fs::remove_dir(folder);
    }
}

/// An error of the staging store.
pub(super) fn staging_error(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "staging", source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_files_and_their_folders_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("a/b/out.csv");
        let (file, folders) = StagedFile::create(&target).unwrap();
        assert!(root.path().join("a/b/out.csv#1").is_file());
        let (second, none) = StagedFile::create(&target).unwrap();
        assert!(root.path().join("a/b/out.csv#2").is_file() && none.is_empty());
        drop((file, second));
        remove_empty_folders(&folders);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn targets_that_are_not_regular_files_are_rejected() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(StagedFile::create(root.path()).unwrap_err().to_string(), "it is a folder");
        #[cfg(unix)]
        assert_eq!(
            StagedFile::create(Path::new("/dev/null")).unwrap_err().to_string(),
            "it exists and is not a regular file"
        );
        let below_file = root.path().join("file");
        std::fs::write(&below_file, "x").unwrap();
        assert!(StagedFile::create(&below_file.join("out.csv")).is_err());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_and_permissions_are_kept() {
        use std::os::unix::fs::PermissionsExt;

        let root = tempfile::tempdir().unwrap();
        let (target, link) = (root.path().join("data.csv"), root.path().join("link.csv"));
        std::fs::write(&target, "former").unwrap();
        std::fs::set_permissions(&target, PermissionsExt::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let (mut file, _) = StagedFile::create(&link).unwrap();
        file.put_part(PutPayload::from_static(b"new")).await.unwrap();
        assert_eq!(std::fs::read_to_string(&link).unwrap(), "former");
        file.complete().await.unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "new");
        assert!(link.is_symlink());
        assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    }
}
