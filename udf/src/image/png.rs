//! [`PngFile`] decodes PNG files, whose chunks it reads as Pillow does.

use std::io::{self, Read};

use flate2::bufread::ZlibDecoder;
use image::{ColorType, ImageDecoder, ImageError as DecoderError, ImageFormat, ImageResult, Limits};
use png::{DecodeOptions, Decoder, DecodingError, Limits as PngLimits, Transformations};

pub(super) mod chunks;
mod header;
mod slices;

use super::invalid::{self, truncated};
use super::png_text::TextBudget;
use chunks::{Chunk, Chunks, SIGNATURE};
use header::Header;
use slices::Slices;

/// A PNG file. The crate `png` decodes its pixels, from a file that is reduced to the header, the palette and the pixels.
///
/// ```text
/// checksums        of the chunks before the pixels; of the pixels, that of the chunk or that of the compressed stream is right
/// palette          black where it is missing; the last one counts
/// transparency     not read: alpha is dropped, and the values of the other samples do not depend on it
/// end of the file  may be missing, if all pixels are there
/// texts, profiles  limited to what Pillow accepts
/// ```
pub(super) struct PngFile<'a> {
    header: Header,
    palette: &'a [u8],
    /// The chunks with the pixels.
    data: Vec<Chunk<'a>>,
    /// Whether the file ends in the pixels or directly after them.
    is_cut: bool,
}

impl<'a> PngFile<'a> {
    /// Reads everything but the pixels.
    pub(super) fn try_new(file: &'a [u8]) -> ImageResult<Self> {
        let mut chunks = Chunks::new(file);
        let mut texts = TextBudget::default();
        let (mut header, mut palette, mut is_animated) = (None, None, false);
        let first = loop {
            let chunk = chunks.next().ok_or_else(truncated)?;
            match &chunk.kind {
                b"IDAT" => break chunk,
                b"IEND" => return Err(corrupt("it has no pixels".to_owned())),
                _ => check(&chunk)?,
            }
            match &chunk.kind {
                b"IHDR" => header = Some(Header::parse(chunk.content)?),
                b"PLTE" => palette = Some(chunk.content),
                b"acTL" => is_animated = true,
                _ => texts.add(chunk.kind, chunk.content).map_err(corrupt)?,
            }
        };
        let header = header.ok_or_else(|| corrupt("it has no header".to_owned()))?;
        let palette = palette.filter(|_| header.has_palette()).unwrap_or_default();
        if palette.len() > PALETTE_BYTES {
            return Err(corrupt(format!("its palette has {} colours, more than 256", palette.len() / 3)));
        }
        let mut data = Vec::new();
        let mut next = Some(first);
        while let Some(chunk) = next.filter(|chunk| chunk.kind == *b"IDAT") {
            data.push(chunk);
            next = chunks.next();
        }
        let is_cut = next.is_none();
        for chunk in next.into_iter().chain(chunks) {
            let is_next_frame = is_animated && chunk.kind == *b"fcTL";
            if !chunk.has_name() || chunk.kind == *b"IEND" || is_next_frame {
                break;
            }
            if chunk.is_truncated {
                return Err(truncated());
            }
            texts.add(chunk.kind, chunk.content).map_err(corrupt)?;
        }
        Ok(Self { header, palette, data, is_cut })
    }

    /// The bytes of the compressed pixels.
    fn stored_bytes(&self) -> u64 {
        self.data.iter().map(|chunk| chunk.content.len() as u64).sum()
    }

    /// The compressed pixels, between `head` and `tail`.
    fn slices<'s>(&'s self, head: &'s [u8], tail: &'s [u8]) -> Vec<&'s [u8]> {
        let mut slices = vec![head];
        slices.extend(self.data.iter().map(|chunk| chunk.content));
        slices.push(tail);
        slices
    }

    /// The start of the reduced file, up to the compressed pixels.
    fn head(&self, stored_bytes: u32) -> Vec<u8> {
        let mut head = SIGNATURE.to_vec();
        append_chunk(&mut head, *b"IHDR", &self.header.to_bytes());
        if self.header.has_palette() {
            let mut palette = [0; PALETTE_BYTES];
            // A color that is not complete is black, too.
            let len = self.palette.len() / 3 * 3;
            palette[..len].copy_from_slice(&self.palette[..len]);
            append_chunk(&mut head, *b"PLTE", &palette);
        }
        head.extend(stored_bytes.to_be_bytes());
        head.extend(b"IDAT");
        head
    }

    fn decode(&self, stored_bytes: u32, pixels: &mut [u8]) -> Result<(), DecodingError> {
        // The checksum of the pixels, and the chunk IEND.
        const TAIL: &[u8] = b"\0\0\0\0\0\0\0\0IEND\0\0\0\0";
        let head = self.head(stored_bytes);
        let slices = self.slices(&head, TAIL);
        let mut options = DecodeOptions::default();
        options.set_ignore_crc(true);
        let mut decoder = Decoder::new_with_options(Slices::new(&slices), options);
        // It allocates a few rows of an image whose size has been compared with the limit.
        decoder.set_limits(PngLimits { bytes: usize::MAX });
        decoder.set_transformations(Transformations::EXPAND);
        decoder.read_info()?.next_frame(pixels)?;
        Ok(())
    }

    /// # Errors
    /// The pixels are damaged: neither the checksums of their chunks nor that of the compressed stream, which Pillow verifies, are right.
    fn verify_checksums(&self) -> ImageResult<()> {
        let is_valid = |chunk: &Chunk<'_>| chunk.checksum.is_none() || chunk.has_valid_checksum();
        if self.data.iter().all(is_valid) {
            return Ok(());
        }
        let slices = self.slices(&[], &[]);
        let max_bytes = self.header.max_stream_bytes();
        let mut stream = ZlibDecoder::new(Slices::new(&slices)).take(max_bytes.saturating_add(1));
        match io::copy(&mut stream, &mut io::sink()) {
            Ok(len) if len <= max_bytes => Ok(()),
            _ => Err(wrong_checksum(*b"IDAT")),
        }
    }

    fn to_decoder_error(&self, error: DecodingError) -> DecoderError {
        match error {
            _ if self.is_cut => truncated(),
            DecodingError::IoError(error) => DecoderError::IoError(error),
            other => invalid::corrupt(ImageFormat::Png, other),
        }
    }
}

/// The bytes of the largest palette.
const PALETTE_BYTES: usize = 3 * 256;

/// # Errors
/// A chunk before the pixels is damaged.
fn check(chunk: &Chunk<'_>) -> ImageResult<()> {
    if !chunk.has_name() {
        return Err(corrupt("a chunk has no valid name".to_owned()));
    }
    if chunk.is_truncated || chunk.checksum.is_none() {
        return Err(truncated());
    }
    if chunk.has_valid_checksum() { Ok(()) } else { Err(wrong_checksum(chunk.kind)) }
}

fn wrong_checksum(kind: [u8; 4]) -> DecoderError {
    corrupt(format!("its chunk {} has a wrong checksum", String::from_utf8_lossy(&kind)))
}

fn corrupt(reason: String) -> DecoderError {
    invalid::corrupt(ImageFormat::Png, reason)
}

/// Appends a chunk with a checksum that is not verified.
fn append_chunk(file: &mut Vec<u8>, kind: [u8; 4], content: &[u8]) {
    file.extend((content.len() as u32).to_be_bytes());
    file.extend(kind);
    file.extend(content);
    file.extend([0; 4]);
}

impl ImageDecoder for PngFile<'_> {
    fn dimensions(&self) -> (u32, u32) {
        (self.header.width, self.header.height)
    }

    fn color_type(&self) -> ColorType {
        self.header.color_type
    }

    /// Fails before a buffer for the pixels is allocated, if the file is too short for them.
    fn set_limits(&mut self, limits: Limits) -> ImageResult<()> {
        // Deflate has 2 bits for 258 bytes at best.
        const MAX_RATIO: u64 = 1032;
        limits.check_dimensions(self.header.width, self.header.height)?;
        let min_bytes = self.header.pixel_bytes() / MAX_RATIO;
        match self.stored_bytes() < min_bytes {
            true if self.is_cut => Err(truncated()),
            true => Err(corrupt("its pixels are incomplete".to_owned())),
            false => Ok(()),
        }
    }

    fn read_image(self, pixels: &mut [u8]) -> ImageResult<()> {
        assert_eq!(pixels.len() as u64, self.total_bytes(), "the bytes of the pixels");
        let stored_bytes = self.stored_bytes();
        let stored_bytes = u32::try_from(stored_bytes)
            .map_err(|_| corrupt(format!("its compressed pixels have {stored_bytes} bytes, more than 4 GiB")))?;
        self.verify_checksums()?;
        self.decode(stored_bytes, pixels).map_err(|error| self.to_decoder_error(error))?;
        if self.header.depth == 16 {
            for sample in pixels.as_chunks_mut::<2>().0 {
                *sample = u16::from_be_bytes(*sample).to_ne_bytes();
            }
        }
        Ok(())
    }

    fn read_image_boxed(self: Box<Self>, pixels: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(pixels)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::ZlibEncoder;
    use flate2::{Compression, Crc};

    use crate::image::{ImageError, decode, peak_decode_bytes, probe};

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(content);
        [&(content.len() as u32).to_be_bytes()[..], kind, content, &crc.sum().to_be_bytes()].concat()
    }

    /// A chunk whose checksum is wrong.
    fn damaged(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let mut chunk = chunk(kind, content);
        if let Some(last) = chunk.last_mut() {
            *last ^= 1;
        }
        chunk
    }

    /// The start of a file of `width` x 1 pixels.
    fn start(width: u32, depth: u8, color: u8) -> Vec<u8> {
        let header = [&width.to_be_bytes()[..], &[0, 0, 0, 1, depth, color, 0, 0, 0]].concat();
        [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header)].concat()
    }

    fn end() -> Vec<u8> {
        chunk(b"IEND", b"")
    }

    fn rgb(parts: &[Vec<u8>]) -> Result<Vec<u8>, ImageError> {
        decode(&parts.concat(), 1000).map(|image| image.data)
    }

    fn reason(parts: &[Vec<u8>]) -> String {
        let error = rgb(parts).unwrap_err().to_string();
        error.strip_prefix("the PNG file cannot be decoded: ").unwrap_or(&error).to_owned()
    }

    const TRUNCATED: ImageError = ImageError::Truncated { format: "PNG" };

    /// A row of two pixels after its filter.
    const ROW: &[u8] = &[0, 1, 2, 3, 4, 5, 6];

    /// The two pixels of [`ROW`] in a file with `before` and `after` the chunk of the pixels.
    fn two_pixels(before: Vec<u8>, after: Vec<u8>) -> Vec<Vec<u8>> {
        vec![start(2, 8, 2), before, chunk(b"IDAT", &deflate(ROW)), after]
    }

    #[test]
    fn sixteen_bits_are_clipped_without_alpha_and_shortened_with_it() {
        let row = deflate(&[0, 0, 100, 0, 200, 3, 232, 255, 255]);
        let clipped = vec![100, 100, 100, 200, 200, 200, 255, 255, 255, 255, 255, 255];
        for transparent in [vec![], chunk(b"tRNS", &[0, 0])] {
            assert_eq!(rgb(&[start(4, 16, 0), transparent, chunk(b"IDAT", &row), end()]), Ok(clipped.clone()));
        }
        assert_eq!(rgb(&[start(2, 16, 4), chunk(b"IDAT", &row), end()]), Ok(vec![0, 0, 0, 3, 3, 3]));
    }

    #[test]
    fn the_end_may_be_missing() {
        let file = two_pixels(vec![], vec![]).concat();
        for end in [file.len(), file.len() - 4] {
            assert_eq!(decode(&file[..end], 2).unwrap().data, ROW[1..], "{end} of {} bytes", file.len());
        }
        let text = chunk(b"tEXt", b"a\0b");
        assert_eq!(rgb(&two_pixels(vec![], text[..9].to_vec())), Err(TRUNCATED), "in another chunk");
        assert_eq!(rgb(&two_pixels(vec![], text[..7].to_vec())), Ok(ROW[1..].to_vec()), "in the name of a chunk");
        assert_eq!(rgb(&two_pixels(vec![], [end(), b"other bytes".to_vec()].concat())), Ok(ROW[1..].to_vec()));
        assert_eq!(rgb(&two_pixels(vec![], b"\xff\0\0\0\xff\0\0\0".to_vec())), Ok(ROW[1..].to_vec()));
        let short = chunk(b"IDAT", &deflate(&ROW[..4]));
        assert_eq!(rgb(&[start(2, 8, 2), short.clone()]), Err(TRUNCATED));
        assert!(matches!(rgb(&[start(2, 8, 2), short, end()]), Err(ImageError::Corrupt { .. })), "too few pixels");
        assert_eq!(rgb(&[start(2, 8, 2)]), Err(TRUNCATED));
    }

    #[test]
    fn checksums_are_verified_as_in_pillow() {
        for kind in [b"gAMA", b"abCd", b"ABCD"] {
            let name = String::from_utf8_lossy(kind);
            assert_eq!(
                reason(&two_pixels(damaged(kind, &[0, 0, 0, 1]), end())),
                format!("its chunk {name} has a wrong checksum")
            );
        }
        let after = [damaged(b"gAMA", &[0, 0, 0, 1]), damaged(b"IEND", b"")].concat();
        assert_eq!(rgb(&two_pixels(vec![], after)), Ok(ROW[1..].to_vec()), "after the pixels");
        let mut stream = deflate(ROW);
        assert_eq!(rgb(&[start(2, 8, 2), damaged(b"IDAT", &stream), end()]), Ok(ROW[1..].to_vec()));
        let last = stream.len() - 1;
        stream[last] ^= 1;
        assert_eq!(reason(&[start(2, 8, 2), damaged(b"IDAT", &stream), end()]), "its chunk IDAT has a wrong checksum");
    }

    #[test]
    fn chunks_of_pixels_may_be_empty_and_others_unknown() {
        let stream = deflate(ROW);
        let empty = chunk(b"IDAT", b"");
        let parts = [
            start(2, 8, 2),
            chunk(b"ABCD", b"unknown"),
            empty.clone(),
            chunk(b"IDAT", &stream[..3]),
            empty.clone(),
            chunk(b"IDAT", &stream[3..]),
            empty.clone(),
            end(),
        ];
        assert_eq!(rgb(&parts), Ok(ROW[1..].to_vec()));
        assert!(matches!(rgb(&[start(2, 8, 2), empty, end()]), Err(ImageError::Corrupt { .. })));
        assert_eq!(reason(&[start(2, 8, 2), end()]), "it has no pixels");
        assert_eq!(reason(&two_pixels(chunk(b"a.Cd", b""), end())), "a chunk has no valid name");
        assert_eq!(reason(&[start(2, 8, 2)[..8].to_vec(), chunk(b"IDAT", b"")]), "it has no header");
    }

    #[test]
    fn colours_that_the_palette_lacks_are_black() {
        let pixels = chunk(b"IDAT", &deflate(&[0, 0, 1, 2, 200]));
        let file = |palettes: &[&[u8]]| {
            let palettes: Vec<Vec<u8>> = palettes.iter().map(|palette| chunk(b"PLTE", palette)).collect();
            [start(4, 8, 3), palettes.concat(), pixels.clone(), end()]
        };
        assert_eq!(rgb(&file(&[])), Ok(vec![0; 12]));
        assert_eq!(rgb(&file(&[&[]])), Ok(vec![0; 12]));
        assert_eq!(rgb(&file(&[&[9, 8, 7, 6, 5]])), Ok(vec![9, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(rgb(&file(&[&[9, 8, 7], &[1, 2, 3]])), Ok(vec![1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "the last one");
        assert_eq!(reason(&file(&[&[0; 771]])), "its palette has 257 colours, more than 256");
        let unused = [start(2, 8, 2), chunk(b"PLTE", &[0; 771]), chunk(b"IDAT", &deflate(ROW)), end()];
        assert_eq!(rgb(&unused), Ok(ROW[1..].to_vec()), "RGB has no palette");
    }

    #[test]
    fn profiles_and_texts_that_inflate_to_too_many_bytes_are_rejected() {
        let profile = |len: usize| chunk(b"iCCP", &[b"name\0\0".to_vec(), deflate(&vec![0; len])].concat());
        assert_eq!(rgb(&two_pixels(profile(1 << 20), end())), Ok(ROW[1..].to_vec()));
        let expected = "its chunk iCCP inflates to more than 1 MiB; write the file without it";
        assert_eq!(reason(&two_pixels(profile(4 << 20), end())), expected);
        assert_eq!(reason(&two_pixels(vec![], [profile(2 << 20), end()].concat())), expected, "after the pixels");
        assert!(probe(&two_pixels(profile(2 << 20), end()).concat()).is_err());
    }

    #[test]
    fn large_sizes_are_compared_with_the_limit() {
        let (width, height, max_pixels) = ((1 << 31) - 1, 1, 64_000_000);
        let file = [start(width, 8, 2), chunk(b"IDAT", &deflate(ROW)), end()].concat();
        let header = probe(&file).unwrap();
        assert_eq!((header.width, header.height), (width, height));
        let error = ImageError::TooLarge { width, height, max_pixels };
        assert_eq!(decode(&file, max_pixels), Err(error.clone()));
        assert_eq!(peak_decode_bytes(&file, max_pixels), Err(error));
        // Before memory is allocated for the pixels.
        let reason = "its pixels are incomplete".to_owned();
        assert_eq!(decode(&file, u64::MAX), Err(ImageError::Corrupt { format: "PNG", reason }));
        assert_eq!(decode(&file[..file.len() - 12], u64::MAX), Err(TRUNCATED));
    }
}
