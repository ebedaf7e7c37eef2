//! [`Text`]: what an object says, piece by piece, unpacked when its name ends in `.gz`.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use datafusion::common::runtime::SpawnedTask;
use datafusion::physical_plan::metrics::Time;
use flate2::write::MultiGzDecoder;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::{GetOptions, ObjectMeta, ObjectStore};

use crate::storage::reason;

/// The first piece. Headers are shorter, and so is what a small LIMIT reads.
const FIRST_BYTES: u64 = 64 << 10;
/// Pieces grow up to this: a request of an object store takes as long as a megabyte or so.
const MAX_BYTES: u64 = 4 << 20;
/// Bytes that are unpacked together. They become [`MAX_RATIO`] times as many at worst.
const PACKED_BYTES: usize = 16 << 10;
/// Deflate packs no tighter.
const MAX_RATIO: u64 = 1032;

/// Reads an object from its beginning.
pub(super) struct Text {
    pieces: BoxStream<'static, Result<Vec<u8>, String>>,
    gzip: Option<Gunzip>,
}

impl Text {
    /// With `is_ahead`, the next piece is read while the last one is looked at. Needs the runtime of Tokio then.
    pub(super) fn new(store: Arc<dyn ObjectStore>, object: &ObjectMeta, is_ahead: bool) -> Self {
        let gzip = is_packed(object).then(Gunzip::default);
        let object = object.clone();
        let pieces = stream::iter(ranges(object.size)).map(move |range| {
            let piece = read(Arc::clone(&store), object.clone(), range);
            if !is_ahead {
                return piece.boxed();
            }
            let piece = SpawnedTask::spawn(piece);
            async move { piece.await.unwrap_or_else(|stopped| Err(stopped.to_string())) }.boxed()
        });
        Self { pieces: pieces.buffered(if is_ahead { 2 } else { 1 }).boxed(), gzip }
    }

    /// The next piece. Unpacking it is added to that time.
    ///
    /// # Errors
    /// Half a sentence.
    pub(super) async fn next(&mut self, time: &Time) -> Result<Option<Vec<u8>>, String> {
        let Some(gzip) = &mut self.gzip else { return self.pieces.next().await.transpose() };
        while !gzip.has_more() {
            match self.pieces.next().await.transpose()? {
                Some(piece) => gzip.push(piece),
                None => return gzip.finish(),
            }
        }
        let _timer = time.timer();
        gzip.unpack().map(Some)
    }
}

/// Bytes of text that an object can have.
pub(super) fn max_text(object: &ObjectMeta) -> u64 {
    if is_packed(object) { object.size.saturating_mul(MAX_RATIO) } else { object.size }
}

fn is_packed(object: &ObjectMeta) -> bool {
    object.location.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

/// The pieces of an object of so many bytes, each as long as all before it.
fn ranges(size: u64) -> impl Iterator<Item = Range<u64>> + Send {
    let mut start = 0;
    std::iter::from_fn(move || {
        let piece = start..size.min(start + start.clamp(FIRST_BYTES, MAX_BYTES));
        start = piece.end;
        (!piece.is_empty()).then_some(piece)
    })
}

async fn read(store: Arc<dyn ObjectStore>, object: ObjectMeta, range: Range<u64>) -> Result<Vec<u8>, String> {
    // All pieces are of one object. A weak tag, which the standard marks like this, never matches.
    let tag = object.e_tag.filter(|tag| !tag.starts_with("W/"));
    let options = GetOptions::new().with_range(Some(range)).with_if_match(tag);
    let bytes = async { store.get_opts(&object.location, options).await?.bytes().await };
    match bytes.await {
        Ok(bytes) => Ok(bytes.into()),
        Err(object_store::Error::Precondition { .. }) => Err("it has changed while it was read".to_owned()),
        Err(error) => Err(reason(&error)),
    }
}

/// Unpacks gzip, of one member or several, whatever the pieces.
struct Gunzip {
    /// None when the end has come.
    decoder: Option<MultiGzDecoder<Vec<u8>>>,
    packed: Vec<u8>,
    /// Where in them the rest starts.
    at: usize,
}

impl Default for Gunzip {
    fn default() -> Self {
        Self { decoder: Some(MultiGzDecoder::new(Vec::new())), packed: Vec::new(), at: 0 }
    }
}

impl Gunzip {
    fn has_more(&self) -> bool {
        self.at < self.packed.len()
    }

    fn push(&mut self, packed: Vec<u8>) {
        (self.packed, self.at) = (packed, 0);
    }

    /// Some of what is there, so that a file that becomes a thousand times as long does not fill the memory.
    fn unpack(&mut self) -> Result<Vec<u8>, String> {
        let Some(decoder) = &mut self.decoder else { return Ok(Vec::new()) };
        let end = self.packed.len().min(self.at + PACKED_BYTES);
        decoder.write_all(&self.packed[self.at..end]).map_err(|error| damaged(&error))?;
        self.at = end;
        Ok(std::mem::take(decoder.get_mut()))
    }

    /// What was held back, once; then nothing.
    fn finish(&mut self) -> Result<Option<Vec<u8>>, String> {
        let Some(decoder) = self.decoder.take() else { return Ok(None) };
        let rest = decoder.finish().map_err(|_| "its gzip stream is cut short or damaged".to_owned())?;
        Ok(Some(rest))
    }
}

fn damaged(error: &io::Error) -> String {
    format!("it cannot be unpacked: {error}")
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// All of it, and the longest part that came at once.
    fn unpacked<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<u8>, usize), String> {
        let (mut gzip, mut text, mut longest) = (Gunzip::default(), Vec::new(), 0);
        for piece in pieces {
            gzip.push(piece.to_vec());
            while gzip.has_more() {
                let part = gzip.unpack()?;
                longest = longest.max(part.len());
                text.extend(part);
            }
        }
        text.extend(gzip.finish()?.unwrap());
        assert_eq!(gzip.finish(), Ok(None));
        Ok((text, longest))
    }

    #[test]
    fn gzip_is_unpacked_wherever_it_is_cut() {
        let members = [packed(b"one "), packed(b""), packed(b"two")].concat();
        for length in 1..=members.len() {
            assert_eq!(unpacked(members.chunks(length)).unwrap().0, b"one two", "pieces of {length}");
        }
        for at in 0..=members.len() {
            let (first, second) = members.split_at(at);
            assert_eq!(unpacked([first, second].into_iter()).unwrap().0, b"one two", "cut at {at}");
        }
    }

    #[test]
    fn damaged_gzip_is_refused() {
        let whole = packed(b"some text that is long enough");
        for end in 0..whole.len() {
            let error = unpacked(std::iter::once(&whole[..end])).unwrap_err();
            assert_eq!(error, "its gzip stream is cut short or damaged", "{end} bytes");
        }
        let error = unpacked(std::iter::once(&b"%%MatrixMarket"[..])).unwrap_err();
        assert_eq!(error, "it cannot be unpacked: invalid gzip header");
        let mut wrong_checksum = whole.clone();
        wrong_checksum[whole.len() - 8] ^= 1;
        assert_eq!(unpacked(wrong_checksum.chunks(9)).unwrap_err(), "its gzip stream is cut short or damaged");
    }

    #[test]
    fn what_unpacks_to_much_comes_in_parts() {
        let (text, longest) = unpacked(std::iter::once(&packed(&vec![b'0'; 24 << 20])[..])).unwrap();
        assert_eq!(text.len(), 24 << 20);
        assert!(longest <= 18 << 20, "{longest} bytes at once");
    }

    #[test]
    fn pieces_cover_the_object() {
        assert_eq!(ranges(0).count(), 0);
        assert!(ranges(1).eq(std::iter::once(0..1)));
        let size = 100 << 20;
        let mut end = 0;
        for piece in ranges(size) {
            assert_eq!(piece.start, end);
            assert!(piece.end - piece.start <= MAX_BYTES);
            end = piece.end;
        }
        assert_eq!(end, size);
        assert_eq!(
            ranges(300_000).collect::<Vec<_>>(),
            [0..65_536, 65_536..131_072, 131_072..262_144, 262_144..300_000]
        );
    }
}
