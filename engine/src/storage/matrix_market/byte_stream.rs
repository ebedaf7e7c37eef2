//! [`ByteStream`]: the bytes of an object in chunks, decompressed if its name ends in `.gz`.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use datafusion::common::runtime::SpawnedTask;
use datafusion::physical_plan::metrics::Time;
use flate2::write::MultiGzDecoder;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::{GetOptions, ObjectMeta, ObjectStore};

use crate::storage::object_store_message;

/// Size of the first chunk: enough for headers and for a small LIMIT.
const FIRST_BYTES: u64 = 64 << 10;
/// Largest chunk: the latency of an object store request equals the transfer of about a megabyte.
const MAX_BYTES: u64 = 4 << 20;
/// Compressed bytes per decompression step. They grow by a factor of at most [`MAX_RATIO`].
const COMPRESSED_CHUNK_BYTES: usize = 16 << 10;
/// The largest compression ratio of Deflate.
const MAX_RATIO: u64 = 1032;

/// Streams an object from its start.
pub(super) struct ByteStream {
    chunks: BoxStream<'static, Result<Vec<u8>, String>>,
    gzip: Option<GzipDecoder>,
}

impl ByteStream {
    /// With `prefetch`, the next chunk is read while the current one is parsed; this needs a Tokio runtime.
    pub(super) fn new(store: Arc<dyn ObjectStore>, object: &ObjectMeta, prefetch: bool) -> Self {
        let gzip = is_gzip(object).then(GzipDecoder::default);
        let object = object.clone();
        let chunks = stream::iter(ranges(object.size)).map(move |range| {
            let chunk = read(Arc::clone(&store), object.clone(), range);
            if !prefetch {
                return chunk.boxed();
            }
            let chunk = SpawnedTask::spawn(chunk);
            async move { chunk.await.unwrap_or_else(|stopped| Err(stopped.to_string())) }.boxed()
        });
        Self { chunks: chunks.buffered(if prefetch { 2 } else { 1 }).boxed(), gzip }
    }

    /// The next chunk. Decompression is added to `time`.
    ///
    /// # Errors
    /// A message if the object cannot be read or decompressed.
    pub(super) async fn next(&mut self, time: &Time) -> Result<Option<Vec<u8>>, String> {
        let Some(gzip) = &mut self.gzip else { return self.chunks.next().await.transpose() };
        while !gzip.has_more() {
            match self.chunks.next().await.transpose()? {
                Some(chunk) => gzip.push(chunk),
                None => return gzip.finish(),
            }
        }
        let _timer = time.timer();
        gzip.inflate().map(Some)
    }
}

/// An upper bound of the uncompressed size of an object.
pub(super) fn max_uncompressed_bytes(object: &ObjectMeta) -> u64 {
    if is_gzip(object) { object.size.saturating_mul(MAX_RATIO) } else { object.size }
}

fn is_gzip(object: &ObjectMeta) -> bool {
    object.location.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

/// The byte ranges of an object of `size` bytes, each as long as all ranges before it.
fn ranges(size: u64) -> impl Iterator<Item = Range<u64>> + Send {
    let mut start = 0;
    std::iter::from_fn(move || {
        let chunk = start..size.min(start + start.clamp(FIRST_BYTES, MAX_BYTES));
        start = chunk.end;
        (!chunk.is_empty()).then_some(chunk)
    })
}

async fn read(store: Arc<dyn ObjectStore>, object: ObjectMeta, range: Range<u64>) -> Result<Vec<u8>, String> {
    // All chunks have to come from one version of the object. Weak entity tags (RFC 9110) never match and are omitted.
    let tag = object.e_tag.filter(|tag| !tag.starts_with("W/"));
    let options = GetOptions::new().with_range(Some(range)).with_if_match(tag);
    let bytes = async { store.get_opts(&object.location, options).await?.bytes().await };
    match bytes.await {
        Ok(bytes) => Ok(bytes.into()),
        Err(object_store::Error::Precondition { .. }) => Err("it changed while it was read".to_owned()),
        Err(error) => Err(object_store_message(&error)),
    }
}

/// A streaming gzip decoder for one or several members.
struct GzipDecoder {
    /// `None` after the end.
    decoder: Option<MultiGzDecoder<Vec<u8>>>,
    compressed: Vec<u8>,
    /// Offset of the remaining bytes.
    at: usize,
}

impl Default for GzipDecoder {
    fn default() -> Self {
        Self { decoder: Some(MultiGzDecoder::new(Vec::new())), compressed: Vec::new(), at: 0 }
    }
}

impl GzipDecoder {
    fn has_more(&self) -> bool {
        self.at < self.compressed.len()
    }

    fn push(&mut self, compressed: Vec<u8>) {
        (self.compressed, self.at) = (compressed, 0);
    }

    /// Decompresses one step, so that highly compressed files do not fill the memory.
    fn inflate(&mut self) -> Result<Vec<u8>, String> {
        let Some(decoder) = &mut self.decoder else { return Ok(Vec::new()) };
        let end = self.compressed.len().min(self.at + COMPRESSED_CHUNK_BYTES);
        decoder.write_all(&self.compressed[self.at..end]).map_err(|error| damaged(&error))?;
        self.at = end;
        Ok(std::mem::take(decoder.get_mut()))
    }

    /// The last buffered bytes; `None` afterwards.
    fn finish(&mut self) -> Result<Option<Vec<u8>>, String> {
        let Some(decoder) = self.decoder.take() else { return Ok(None) };
        let rest = decoder.finish().map_err(|_| "its gzip stream is truncated or corrupt".to_owned())?;
        Ok(Some(rest))
    }
}

fn damaged(error: &io::Error) -> String {
    format!("it cannot be decompressed: {error}")
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn compressed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// The whole text, and the length of the longest part.
    fn inflated<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<u8>, usize), String> {
        let (mut gzip, mut text, mut longest) = (GzipDecoder::default(), Vec::new(), 0);
        for chunk in chunks {
            gzip.push(chunk.to_vec());
            while gzip.has_more() {
                let part = gzip.inflate()?;
                longest = longest.max(part.len());
                text.extend(part);
            }
        }
        text.extend(gzip.finish()?.unwrap());
        assert_eq!(gzip.finish(), Ok(None));
        Ok((text, longest))
    }

    #[test]
    fn gzip_is_decompressed_from_chunks_of_any_size() {
        let members = [compressed(b"one "), compressed(b""), compressed(b"two")].concat();
        for length in 1..=members.len() {
            assert_eq!(inflated(members.chunks(length)).unwrap().0, b"one two", "chunks of {length}");
        }
        for at in 0..=members.len() {
            let (first, second) = members.split_at(at);
            assert_eq!(inflated([first, second].into_iter()).unwrap().0, b"one two", "cut at {at}");
        }
    }

    #[test]
    fn corrupt_gzip_is_rejected() {
        let whole = compressed(b"some text that is long enough");
        for end in 0..whole.len() {
            let error = inflated(std::iter::once(&whole[..end])).unwrap_err();
            assert_eq!(error, "its gzip stream is truncated or corrupt", "{end} bytes");
        }
        let error = inflated(std::iter::once(&b"%%MatrixMarket"[..])).unwrap_err();
        assert_eq!(error, "it cannot be decompressed: invalid gzip header");
        let mut wrong_checksum = whole.clone();
        wrong_checksum[whole.len() - 8] ^= 1;
        assert_eq!(inflated(wrong_checksum.chunks(9)).unwrap_err(), "its gzip stream is truncated or corrupt");
    }

    #[test]
    fn highly_compressed_data_comes_in_parts() {
        let (text, longest) = inflated(std::iter::once(&compressed(&vec![b'0'; 24 << 20])[..])).unwrap();
        assert_eq!(text.len(), 24 << 20);
        assert!(longest <= 18 << 20, "{longest} bytes at once");
    }

    #[test]
    fn ranges_cover_the_object() {
        assert_eq!(ranges(0).count(), 0);
        assert!(ranges(1).eq(std::iter::once(0..1)));
        let size = 100 << 20;
        let mut end = 0;
        for chunk in ranges(size) {
            assert_eq!(chunk.start, end);
            assert!(chunk.end - chunk.start <= MAX_BYTES);
            end = chunk.end;
        }
        assert_eq!(end, size);
        assert_eq!(
            ranges(300_000).collect::<Vec<_>>(),
            [0..65_536, 65_536..131_072, 131_072..262_144, 262_144..300_000]
        );
    }
}
