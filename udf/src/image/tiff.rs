//! [`TiffDecoder`] decodes TIFF files to the pixels of Pillow.

use std::borrow::Cow;

use image::error::{LimitError, LimitErrorKind};
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError as DecoderError, ImageFormat, ImageResult, Limits};

mod ccitt;
mod chunks;
mod compression;
mod directory;
mod format;
mod jpeg;
mod lab;
mod predictor;
mod rows;
mod ycbcr;

use super::invalid::{corrupt, truncated};
use super::jpeg::Tables as JpegTables;
use chunks::{ChunkSize, Chunks, Region};
use compression::{Compression, MAX_LZMA_BYTES, in_bit_order};
pub(super) use directory::ByteOrder;
use directory::{Directory, tag};
use format::{Format, Meaning};
use predictor::Predictor;
use rows::RowConverter;

/// Decodes the first image of a TIFF or BigTIFF file to 8-bit gray or RGB.
///
/// ```text
/// Directory      the fields                     Compression  a chunk, decompressed
/// Format         what the samples mean          Predictor    sums of differences
/// Chunks         where strips and tiles are     RowConverter pixels, as Pillow converts them
/// ```
///
/// It reads what Pillow reads, but for old JPEG (compression 6). Where Pillow takes samples for something else than the file says, they
/// are decoded as the file says: planes of 16 bits that are not compressed, planes of LAB, and big-endian numbers with sign or of
/// 32 bits that are compressed.
pub(super) struct TiffDecoder<'a> {
    size: (u32, u32),
    orientation: Orientation,
    compression: Compression,
    format: Format,
    predictor: Predictor,
    converter: RowConverter,
    chunks: Chunks<'a>,
    /// The field JPEGTables.
    jpeg_tables: Option<&'a [u8]>,
    file_bytes: u64,
}

/// Tiles may have pixels outside of the image, which are decompressed with the others: up to this many times the bytes of the image, or
/// [`MAX_UNUSED_BYTES`].
const MAX_UNUSED_PER_USED: u64 = 3;

const MAX_UNUSED_BYTES: u64 = 256 << 20;

/// Why a file is not decoded.
#[derive(Debug)]
enum TiffError {
    /// The file ends before something that it declares.
    Truncated,
    /// The reason.
    Invalid(String),
}

impl TiffError {
    fn invalid(reason: &str) -> Self {
        Self::Invalid(reason.to_owned())
    }
}

impl From<TiffError> for DecoderError {
    fn from(error: TiffError) -> Self {
        match error {
            TiffError::Truncated => truncated(),
            TiffError::Invalid(reason) => corrupt(ImageFormat::Tiff, reason),
        }
    }
}

impl<'a> TiffDecoder<'a> {
    /// Whether the file is a BigTIFF file, which [`image::guess_format`] does not know.
    pub(super) fn is_big_tiff(file: &[u8]) -> bool {
        file.starts_with(b"II\x2b\0") || file.starts_with(b"MM\0\x2b")
    }

    /// Reads the fields.
    ///
    /// # Errors
    /// If they are invalid, or the pixels of a kind that Pillow does not read.
    pub(super) fn try_new(file: &'a [u8]) -> ImageResult<Self> {
        Ok(Self::try_from_directory(&Directory::try_new(file)?)?)
    }

    fn try_from_directory(directory: &Directory<'a>) -> Result<Self, TiffError> {
        let side = |tag| {
            let side = directory.first(tag)?.ok_or_else(|| TiffError::invalid("it has no size"))?;
            u32::try_from(side).map_err(|_| TiffError::Invalid(format!("its side of {side} pixels is not supported")))
        };
        let size = (side(tag::IMAGE_WIDTH)?, side(tag::IMAGE_LENGTH)?);
        let orientation = directory.number(tag::ORIENTATION, 1)?;
        let orientation = u8::try_from(orientation).ok().and_then(Orientation::from_exif);
        let compression = Compression::try_new(directory)?;
        let format = Format::try_new(directory, compression)?;
        let is_bilevel = format.bits == 1 && format.samples == 1;
        if matches!(compression, Compression::Ccitt(_)) && !is_bilevel {
            return Err(TiffError::invalid("CCITT compression is for pixels of one bit"));
        }
        if compression == Compression::Jpeg && format.bits != 8 {
            return Err(TiffError::invalid("JPEG compression is for samples of 8 bits"));
        }
        Ok(Self {
            size,
            orientation: orientation.unwrap_or(Orientation::NoTransforms),
            compression,
            format,
            predictor: Predictor::try_new(directory, compression, &format)?,
            converter: RowConverter::try_new(directory, compression, format)?,
            chunks: Chunks::try_new(directory, compression, size)?,
            jpeg_tables: jpeg_tables(directory)?,
            file_bytes: directory.file.len() as u64,
        })
    }

    /// The peak memory of [`ImageDecoder::read_image`] in bytes, without that of the pixels.
    pub(super) fn working_bytes(&self) -> u64 {
        let chunks = self.chunk_bytes();
        match self.compression {
            // Coefficients of progressive JPEG have two bytes each.
            Compression::Jpeg => chunks.saturating_add(self.chunks.jpeg_samples(&self.format).saturating_mul(3)),
            Compression::Lzma => chunks.saturating_add(self.file_bytes).saturating_add(MAX_LZMA_BYTES),
            _ => chunks.saturating_add(if self.is_reversed() { self.file_bytes } else { 0 }),
        }
    }

    /// Whether the bits of each byte are reversed before it is decompressed. In JPEG they are not, as in libtiff.
    fn is_reversed(&self) -> bool {
        self.format.is_bit_reversed && self.compression != Compression::Jpeg
    }

    /// The bytes of the decompressed chunks that are in memory at once, and of a row that is joined from planes.
    fn chunk_bytes(&self) -> u64 {
        let planes = u64::from(self.format.planes());
        let chunk = match self.compression {
            Compression::None => 0,
            compression => self.chunks.max_bytes(compression, &self.format),
        };
        let row = if self.format.is_separate { self.chunks.row_bytes(&self.format) } else { 0 };
        chunk.saturating_add(row).saturating_mul(planes)
    }

    /// A small file may have many tiles that are far larger than the image, each of which is decompressed.
    fn check_unused_bytes(&self) -> Result<(), TiffError> {
        if self.compression == Compression::None {
            return Ok(());
        }
        let total = self.chunks.total_bytes(self.compression, &self.format);
        let used = self.chunks.image_bytes(&self.format);
        if total.saturating_sub(used) > used.saturating_mul(MAX_UNUSED_PER_USED).max(MAX_UNUSED_BYTES) {
            return Err(TiffError::Invalid(format!(
                "its tiles decompress to {total} bytes, of which the image has {used}; write it with smaller tiles"
            )));
        }
        Ok(())
    }

    fn read(&self, pixels: &mut [u8]) -> Result<(), TiffError> {
        // Reversed once: the size of each strip may be stated as that of the file.
        let file = in_bit_order(self.chunks.file, self.is_reversed());
        let jpeg_tables = match self.compression {
            Compression::Jpeg => jpeg::tables(self.jpeg_tables)?,
            _ => JpegTables::default(),
        };
        for region in self.chunks.regions() {
            let size = self.chunks.size(region.height, self.compression, &self.format)?;
            let max_len = size.max_stored_bytes(self.compression);
            let planes: Vec<Cow<'_, [u8]>> = (0..self.format.planes())
                .map(|plane| {
                    let data = self.chunks.data(&file, &region, plane, max_len)?;
                    self.decompress(data, &size, region.height, &jpeg_tables)
                })
                .collect::<Result<_, TiffError>>()?;
            self.convert(&planes, &region, &size, pixels);
        }
        Ok(())
    }

    /// The rows of a chunk, whose data is in the order of bits.
    fn decompress<'d>(
        &self,
        data: &'d [u8],
        size: &ChunkSize,
        height: usize,
        jpeg_tables: &JpegTables,
    ) -> Result<Cow<'d, [u8]>, TiffError> {
        let bytes = size.row_bytes * size.rows;
        if self.compression == Compression::None {
            return data.get(..bytes).map(Cow::Borrowed).ok_or(TiffError::Truncated);
        }
        if self.compression == Compression::Jpeg {
            let expected = jpeg::Expected {
                width: size.width,
                min_rows: height,
                max_rows: size.max_height,
                samples: self.format.chunk_samples(),
                is_ycbcr: self.format.meaning == Meaning::YCbCr && !self.format.is_separate,
            };
            return jpeg::decode(data, jpeg_tables, &expected).map(Cow::Owned);
        }
        let mut rows = vec![0; bytes];
        self.compression.decompress(data, size.width, &mut rows)?;
        for row in rows.chunks_exact_mut(size.row_bytes.max(1)) {
            self.predictor.restore(row, &self.format);
        }
        Ok(Cow::Owned(rows))
    }

    /// Writes the pixels of a region.
    fn convert(&self, planes: &[Cow<'_, [u8]>], region: &Region, size: &ChunkSize, pixels: &mut [u8]) {
        let channels = self.converter.channels();
        let vertical = usize::from(self.format.subsampling.1);
        let mut joined = Vec::new();
        for y in 0..region.height {
            let start = ((region.y + y) * self.chunks.image_width + region.x) * channels;
            let out = &mut pixels[start..start + region.width * channels];
            let row = y / vertical;
            if let [plane] = planes {
                self.converter.convert(row_at(plane, row, size.row_bytes), y, out);
            } else {
                join(planes, row, size.row_bytes, self.format.sample_bytes(), &mut joined);
                self.converter.convert(&joined, y, out);
            }
        }
    }
}

/// The tables that all strips or tiles share, which are read with each of them.
fn jpeg_tables<'a>(directory: &Directory<'a>) -> Result<Option<&'a [u8]>, TiffError> {
    // All tables that a JPEG file can have at once take less than 4 KiB.
    const MAX_BYTES: usize = 1 << 14;
    match directory.field(tag::JPEG_TABLES)? {
        Some(field) if field.bytes.len() > MAX_BYTES => {
            Err(TiffError::Invalid(format!("its JPEG tables have {} bytes, more than {MAX_BYTES}", field.bytes.len())))
        }
        field => Ok(field.map(|field| field.bytes)),
    }
}

fn row_at(plane: &[u8], row: usize, row_bytes: usize) -> &[u8] {
    plane.chunks(row_bytes.max(1)).nth(row).unwrap_or_default()
}

/// Interleaves a row of samples of several planes.
fn join(planes: &[Cow<'_, [u8]>], row: usize, row_bytes: usize, sample_bytes: usize, joined: &mut Vec<u8>) {
    let pixel_bytes = (planes.len() * sample_bytes).max(1);
    joined.resize(planes.len() * row_bytes, 0);
    for (index, plane) in planes.iter().enumerate() {
        let samples = row_at(plane, row, row_bytes).chunks_exact(sample_bytes.max(1));
        for (pixel, sample) in joined.chunks_exact_mut(pixel_bytes).zip(samples) {
            pixel[index * sample_bytes..][..sample_bytes].copy_from_slice(sample);
        }
    }
}

impl ImageDecoder for TiffDecoder<'_> {
    fn dimensions(&self) -> (u32, u32) {
        self.size
    }

    fn color_type(&self) -> ColorType {
        if self.converter.channels() == 1 { ColorType::L8 } else { ColorType::Rgb8 }
    }

    fn orientation(&mut self) -> ImageResult<Orientation> {
        Ok(self.orientation)
    }

    fn set_limits(&mut self, limits: Limits) -> ImageResult<()> {
        let (width, height) = self.size;
        limits.check_dimensions(width, height)?;
        self.check_unused_bytes()?;
        if limits.max_alloc.is_some_and(|max_bytes| self.chunk_bytes() > max_bytes) {
            return Err(DecoderError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory)));
        }
        Ok(())
    }

    fn read_image(self, pixels: &mut [u8]) -> ImageResult<()> {
        assert_eq!(pixels.len() as u64, self.total_bytes(), "the bytes of the pixels");
        Ok(self.read(pixels)?)
    }

    fn read_image_boxed(self: Box<Self>, pixels: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(pixels)
    }
}

#[cfg(test)]
mod tests {
    use crate::image::{ImageError, decode, peak_decode_bytes, probe};

    /// A file with fields of one LONG each, and 12 bytes of data at offset 8.
    fn file(fields: &[(u16, u32)]) -> Vec<u8> {
        let mut file = b"II\x2a\0\x14\0\0\0abcdefghijkl".to_vec();
        file.extend((fields.len() as u16).to_le_bytes());
        for (tag, value) in fields {
            file.extend(tag.to_le_bytes());
            file.extend([4, 0, 1, 0, 0, 0]);
            file.extend(value.to_le_bytes());
        }
        file.extend([0; 4]);
        file
    }

    /// 2 x 2 pixels of RGB, with other values of some fields.
    fn rgb(changes: &[(u16, u32)]) -> Vec<u8> {
        let mut fields =
            vec![(256, 2), (257, 2), (258, 8), (259, 1), (262, 2), (273, 8), (277, 3), (278, 2), (279, 12)];
        for &(tag, value) in changes {
            fields.retain(|&(other, _)| other != tag);
            fields.push((tag, value));
        }
        file(&fields)
    }

    fn error(file: &[u8]) -> String {
        decode(file, 1_000_000).unwrap_err().to_string()
    }

    #[test]
    fn pixels_are_read() {
        assert_eq!(decode(&rgb(&[]), 4).unwrap().data, b"abcdefghijkl");
        assert_eq!(decode(&rgb(&[(274, 3)]), 4).unwrap().data, b"jklghidefabc");
        assert_eq!(decode(&rgb(&[(284, 2), (273, 8), (278, 1)]), 4), Err(corrupt("it has no strip or tile 2")));
    }

    fn corrupt(reason: &str) -> ImageError {
        ImageError::Corrupt { format: "TIFF", reason: reason.to_owned() }
    }

    #[test]
    fn strips_beyond_the_end_are_truncated() {
        let truncated = "the TIFF file is truncated";
        assert_eq!(error(&rgb(&[(273, 1 << 20)])), truncated);
        assert_eq!(error(&rgb(&[(273, u32::MAX)])), truncated);
        assert_eq!(error(&rgb(&[(256, 200), (257, 200), (278, 200)])), truncated);
        assert_eq!(error(&rgb(&[(259, 32773), (273, 140)])), truncated);
        assert_eq!(error(&rgb(&[])[..100]), truncated);
    }

    #[test]
    fn large_sizes_are_compared_with_the_limit() {
        let large = rgb(&[(256, 1 << 31), (257, 1 << 31), (278, 1 << 31)]);
        assert_eq!(probe(&large).unwrap().width, 1 << 31);
        let error = ImageError::TooLarge { width: 1 << 31, height: 1 << 31, max_pixels: 64_000_000 };
        assert_eq!(decode(&large, 64_000_000), Err(error.clone()));
        assert_eq!(peak_decode_bytes(&large, 64_000_000), Err(error));
    }

    #[test]
    fn chunks_without_pixels_are_rejected() {
        let tiles = |width, height| rgb(&[(322, width), (323, height), (324, 8), (325, 12), (259, 32773)]);
        let tiled = |width, height| {
            let mut file = tiles(width, height);
            // The field StripOffsets becomes an unknown one.
            let strips = file.windows(2).position(|bytes| bytes == 273_u16.to_le_bytes()).unwrap();
            file[strips + 1] = 0xff;
            file
        };
        let no_pixels = "the TIFF file cannot be decoded: its strips or tiles have no pixels";
        assert_eq!(error(&rgb(&[(278, 0)])), no_pixels);
        assert_eq!(error(&tiled(0, 16)), no_pixels);
        assert_eq!(error(&tiled(16, 0)), no_pixels);
        let unused = error(&tiled(1 << 31, 1 << 31));
        assert!(unused.ends_with("of which the image has 12; write it with smaller tiles"), "{unused}");
    }

    #[test]
    fn tiles_that_are_far_larger_than_the_image_are_rejected() {
        // The field StripOffsets becomes TileOffsets.
        let tiled = |width: u32, tiles: u32| {
            let changes = [(256, 1), (257, 1024 * tiles), (259, 8), (273, 8), (322, width), (323, 1024), (325, 12)];
            let mut file = rgb(&changes);
            let strips = file.windows(2).position(|bytes| bytes == 273_u16.to_le_bytes()).unwrap();
            file[strips..strips + 2].copy_from_slice(&324_u16.to_le_bytes());
            decode(&file, 64_000_000).unwrap_err()
        };
        let reason =
            "its tiles decompress to 4026531840 bytes, of which the image has 61440; write it with smaller tiles";
        assert_eq!(tiled(1 << 16, 20), corrupt(reason));
        // One tile of the same size is decompressed, of which the data is not valid.
        let ImageError::Corrupt { reason, .. } = tiled(1 << 16, 1) else { panic!("not corrupt") };
        assert!(!reason.contains("smaller tiles"), "{reason}");
    }

    #[test]
    fn bits_are_reversed_before_data_is_decompressed() {
        let reversed: Vec<u8> = b"abcdefghijkl".iter().map(|byte| byte.reverse_bits()).collect();
        assert_eq!(decode(&rgb(&[(266, 2)]), 4).unwrap().data, reversed);
        // The reversed letter `a` is the count of a run of 123 bytes, each the reversed letter `b`.
        let run = rgb(&[(266, 2), (259, 32773), (279, u32::MAX)]);
        assert_eq!(decode(&run, 4).unwrap().data, [b'b'.reverse_bits(); 12]);
    }

    #[test]
    fn data_without_pixels_is_read_up_to_a_limit() {
        let with_padding = |len: usize| {
            let start = rgb(&[]).len() as u32;
            let mut file = rgb(&[(259, 32773), (273, start), (279, u32::MAX)]);
            file.extend(vec![128; len]);
            file.extend([11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
            file
        };
        assert_eq!(decode(&with_padding(4000), 4).unwrap().data, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(error(&with_padding(5000)), "the TIFF file is truncated");
    }

    #[test]
    fn jpeg_tables_are_limited() {
        let mut file = rgb(&[(259, 7), (347, 0)]);
        let entry = file.windows(2).position(|bytes| bytes == 347_u16.to_le_bytes()).unwrap();
        file[entry + 4..entry + 8].copy_from_slice(&5000_u32.to_le_bytes());
        file.resize(20_000, 0);
        let reason = "its JPEG tables have 20000 bytes, more than 16384";
        assert_eq!(decode(&file, 4), Err(corrupt(reason)));
    }

    #[test]
    fn unsupported_kinds_are_named() {
        let reason = |changes: &[(u16, u32)]| {
            let error = error(&rgb(changes));
            error.strip_prefix("the TIFF file cannot be decoded: ").unwrap_or(&error).to_owned()
        };
        assert_eq!(reason(&[(259, 50001)]), "compression 50001 is not supported");
        assert_eq!(reason(&[(262, 9)]), "photometric interpretation 9 pixels of 3 samples of 8 bits are not supported");
        assert_eq!(reason(&[(258, 5)]), "RGB pixels of 3 samples of 5 bits are not supported");
        assert_eq!(reason(&[(277, 9)]), "pixels of 9 samples are not supported");
        assert_eq!(reason(&[(339, 3)]), "RGB pixels of 3 samples of 8 bits are not supported");
        assert_eq!(reason(&[(262, 3), (277, 1)]), "it has no colour map");
        assert_eq!(reason(&[(262, 6), (530, 2)]), "chroma subsampling of 2 x 1 is not supported here");
        assert_eq!(reason(&[(259, 4)]), "CCITT compression is for pixels of one bit");
        assert_eq!(reason(&[(259, 5), (317, 3)]), "predictor 3 of samples of 8 bits is not supported");
        assert_eq!(
            reason(&[(262, 1), (277, 2), (338, 1)]),
            "gray pixels of 2 samples of 8 bits and extra samples [1] are not supported"
        );
    }
}
