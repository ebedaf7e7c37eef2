//! [`PathPattern`]: the files that a quoted name selects: one file, a folder, or a glob pattern.
//!
//! ```text
//! 'photos.parquet'            the file
//! 'photos/'                   all files in the folder and its subfolders
//! 'photos/*/2024-??.parquet'  one folder level; ? is one character
//! 'photos/**/[a-c]*.parquet'  any number of levels; [a-c] is one of the characters, [!a-c] any other
//! ```
//!
//! Patterns match whole paths: `*` and `?` do not match `/`. They select the same files as `glob()` of DuckDB.

use std::path::Path as LocalPath;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use futures::{StreamExt, TryStreamExt};
use glob::Pattern;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use percent_encoding::percent_decode_str;

use crate::storage::object_stores::remove_dot_segments;

/// A parsed name.
#[derive(Debug)]
pub(super) struct PathPattern {
    /// The store of the files.
    pub(super) store: ObjectStoreUrl,
    /// The path before the first segment with a wildcard.
    pub(super) base: Path,
    /// The segments from there; empty for a file or a folder.
    segments: Vec<Segment>,
    /// The number of leading segments of `base` that the name does not state: those of the working directory.
    pub(super) implied_segments: usize,
    /// The name ends with `/`.
    is_folder: bool,
}

#[derive(Debug)]
enum Segment {
    /// `**`: any number of folders.
    AnyFolders,
    /// Everything else, also without a wildcard.
    Name(Pattern),
}

const WILDCARDS: [char; 3] = ['*', '?', '['];

impl PathPattern {
    /// # Errors
    /// When the name is not a valid path, URL or pattern.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let (store, path, implied_segments) = match name.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                (ObjectStoreUrl::parse(format!("{scheme}://{authority}"))?, path.to_owned(), 0)
            }
            None => {
                let absolute = remove_dot_segments(&std::path::absolute(name)?);
                let implied = std::env::current_dir()
                    .ok()
                    .filter(|folder| LocalPath::new(name).is_relative() && absolute.starts_with(folder));
                let implied = implied.map_or(0, |folder| folder.components().count() - 1);
                let Some(path) = absolute.to_str() else {
                    return Err(DataFusionError::Plan("its path is not valid UTF-8".to_owned()));
                };
                (ObjectStoreUrl::local_filesystem(), path.to_owned(), implied)
            }
        };
        let is_local_path = !name.contains("://");
        // A file may have brackets in its name.
        let is_pattern = name.contains(WILDCARDS) && !(is_local_path && LocalPath::new(name).exists());
        let mut all: Vec<&str> = Vec::new();
        for segment in path.split('/') {
            match segment {
                "" | "." => {}
                ".." => drop(all.pop()),
                segment => all.push(segment),
            }
        }
        let literal = match is_pattern {
            true => all.iter().position(|segment| segment.contains(WILDCARDS)).unwrap_or(all.len()),
            false => all.len(),
        };
        let base = all[..literal].join("/");
        let base = if is_local_path { Path::parse(base) } else { Path::from_url_path(base) };
        let mut segments = Vec::new();
        for segment in &all[literal..] {
            let decoded = percent_decode_str(segment).decode_utf8().ok().filter(|_| !is_local_path);
            segments.push(Segment::parse(decoded.as_deref().unwrap_or(segment))?);
        }
        let is_folder = name.ends_with('/');
        if is_folder && !segments.is_empty() {
            // The files in the folders that match.
            segments.push(Segment::AnyFolders);
        }
        Ok(Self {
            store,
            base: base.map_err(|error| DataFusionError::Plan(error.to_string()))?,
            segments,
            implied_segments,
            is_folder,
        })
    }

    pub(super) fn is_glob(&self) -> bool {
        !self.segments.is_empty()
    }

    /// Whether the name states a folder `key=value`.
    pub(super) fn names_partition(&self) -> bool {
        self.base.parts().skip(self.implied_segments).any(|part| part.as_ref().contains('='))
    }

    /// Whether the pattern selects every file of its folders: names of files are not restricted.
    pub(super) fn selects_all_names(&self) -> bool {
        match self.segments.last() {
            None | Some(Segment::AnyFolders) => true,
            Some(Segment::Name(name)) => name.as_str() == "*",
        }
    }

    /// The selected files, in the order of their paths.
    ///
    /// # Errors
    /// Those of the store; a missing file is no error.
    pub(super) async fn list(&self, store: &dyn ObjectStore) -> Result<Vec<ObjectMeta>> {
        let mut files = if self.is_glob() { self.list_matches(store).await? } else { self.list_base(store).await? };
        files.sort_by(|left, right| left.location.cmp(&right.location));
        Ok(files)
    }

    async fn list_base(&self, store: &dyn ObjectStore) -> Result<Vec<ObjectMeta>> {
        if !self.is_folder && !self.base.as_ref().is_empty() {
            match store.head(&self.base).await {
                Ok(file) => return Ok(vec![file]),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(store.list(Some(&self.base)).try_collect().await?)
    }

    /// Lists one level of folders at a time, so that a pattern without `**` reads no other folder.
    async fn list_matches(&self, store: &dyn ObjectStore) -> Result<Vec<ObjectMeta>> {
        let mut files = Vec::new();
        let mut folders = vec![self.base.clone()];
        for (index, segment) in self.segments.iter().enumerate() {
            let Segment::Name(name) = segment else {
                let rest = &self.segments[index..];
                for folder in &folders {
                    let mut below = store.list(Some(folder));
                    while let Some(file) = below.next().await.transpose()? {
                        let path: Option<Vec<_>> = file.location.prefix_match(folder).map(Iterator::collect);
                        let path: Vec<String> =
                            path.unwrap_or_default().iter().map(|part| part.as_ref().to_owned()).collect();
                        if matches(rest, &path) {
                            files.push(file);
                        }
                    }
                }
                return Ok(files);
            };
            let is_last = index + 1 == self.segments.len();
            let mut next = Vec::new();
            for folder in &folders {
                let listed = store.list_with_delimiter(Some(folder)).await?;
                let is_match = |path: &Path| path.filename().is_some_and(|found| name.matches(found));
                if is_last {
                    files.extend(listed.objects.into_iter().filter(|file| is_match(&file.location)));
                } else {
                    next.extend(listed.common_prefixes.into_iter().filter(is_match));
                }
            }
            folders = next;
        }
        Ok(files)
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self> {
        if text == "**" {
            return Ok(Self::AnyFolders);
        }
        // Within a name, several stars are as one.
        let mut name = text.to_owned();
        while name.contains("**") {
            name = name.replace("**", "*");
        }
        match Pattern::new(&name) {
            Ok(pattern) => Ok(Self::Name(pattern)),
            Err(error) => Err(DataFusionError::Plan(format!("'{text}' is not a valid pattern: {}", error.msg))),
        }
    }
}

/// Whether a path, given by its segments, matches a pattern.
fn matches(pattern: &[Segment], path: &[impl AsRef<str>]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        // A pattern that ends with `**` selects files at all levels.
        ([Segment::AnyFolders], [_, ..]) => true,
        ([Segment::AnyFolders, rest @ ..], _) => (0..path.len()).any(|skipped| matches(rest, &path[skipped..])),
        ([Segment::Name(name), pattern @ ..], [first, path @ ..]) => {
            name.matches(first.as_ref()) && matches(pattern, path)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use object_store::PutPayload;
    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn names_are_split_before_the_first_wildcard() {
        let pattern = PathPattern::parse("s3://bucket/a%20b/k=1/*.csv").unwrap();
        assert_eq!((pattern.store.as_str(), pattern.base.as_ref()), ("s3://bucket/", "a b/k=1"));
        assert!(pattern.is_glob() && !pattern.selects_all_names());
        let file = PathPattern::parse("/a/../b/./c.csv").unwrap();
        assert_eq!((file.base.as_ref(), file.is_glob(), file.implied_segments), ("b/c.csv", false, 0));
        let relative = PathPattern::parse("x/*").unwrap();
        assert_eq!(relative.base.parts().count(), relative.implied_segments + 1);
        assert!(PathPattern::parse("/a/[b").unwrap_err().to_string().contains("'[b' is not a valid pattern"));
    }

    #[tokio::test]
    async fn a_glob_of_a_bucket_lists_its_matches() {
        let store = InMemory::new();
        for path in ["t/a.csv", "t/b.json", "t/x/c.csv", "t/k=1/d.csv", "u/e.csv"] {
            store.put(&path.into(), PutPayload::from_static(b"1")).await.unwrap();
        }
        for (name, expected) in [
            ("mem://b/t/*.csv", vec!["t/a.csv"]),
            ("mem://b/t/*/*.csv", vec!["t/k=1/d.csv", "t/x/c.csv"]),
            ("mem://b/t/k=*/*", vec!["t/k=1/d.csv"]),
            ("mem://b/**/[de].csv", vec!["t/k=1/d.csv", "u/e.csv"]),
            ("mem://b/t/**", vec!["t/a.csv", "t/b.json", "t/k=1/d.csv", "t/x/c.csv"]),
            ("mem://b/*/", vec!["t/a.csv", "t/b.json", "t/k=1/d.csv", "t/x/c.csv", "u/e.csv"]),
            ("mem://b/%74/*/../*.csv", vec!["t/a.csv"]),
            ("mem://b/t/", vec!["t/a.csv", "t/b.json", "t/k=1/d.csv", "t/x/c.csv"]),
            ("mem://b/t/a.csv", vec!["t/a.csv"]),
            ("mem://b/*.csv", vec![]),
            ("mem://b/nope", vec![]),
        ] {
            let files = PathPattern::parse(name).unwrap().list(&store).await.unwrap();
            assert_eq!(files.iter().map(|file| file.location.as_ref()).collect::<Vec<_>>(), expected, "{name}");
        }
    }
}
