//! [`Chunks`]: the strips or tiles of a TIFF file.

use super::TiffError;
use super::compression::Compression;
use super::directory::{Directory, Field, tag};
use super::format::Format;

/// Where the chunks, which are strips or tiles, are in the image and in the file.
pub(super) struct Chunks<'a> {
    pub(super) file: &'a [u8],
    offsets: Field<'a>,
    /// The compressed sizes; `None` if they follow from the number of pixels.
    byte_counts: Option<Field<'a>>,
    is_tiled: bool,
    pub(super) image_width: usize,
    pub(super) image_height: usize,
    /// The pixels of a chunk. Strips end at the last row of the image, tiles are complete.
    width: usize,
    height: usize,
}

/// A region of the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region {
    /// The index of its chunk, in the first plane.
    index: u64,
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// The size of a decompressed chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChunkSize {
    /// The pixels of a row.
    pub(super) width: usize,
    /// The rows that a chunk has at most.
    pub(super) max_height: usize,
    pub(super) row_bytes: usize,
    /// The rows of samples that are decompressed; of subsampled YCbCr, those of blocks.
    pub(super) rows: usize,
}

impl ChunkSize {
    /// The bytes of a chunk in the file that are read at most; its size in the file's fields may be that of the whole file. libtiff has
    /// the same limit, but for the margin of JPEG, whose headers may be long.
    pub(super) fn max_stored_bytes(&self, compression: Compression) -> usize {
        const MARGIN: usize = 4096;
        const JPEG_MARGIN: usize = 1 << 16;
        let (rows, margin) = match compression {
            Compression::Jpeg => (self.max_height.max(self.rows), JPEG_MARGIN),
            _ => (self.rows, MARGIN),
        };
        self.row_bytes.saturating_mul(rows).saturating_mul(10).saturating_add(margin)
    }
}

impl<'a> Chunks<'a> {
    pub(super) fn try_new(
        directory: &Directory<'a>,
        compression: Compression,
        (image_width, image_height): (u32, u32),
    ) -> Result<Self, TiffError> {
        let (image_width, image_height) = (image_width as usize, image_height as usize);
        let strips = directory.field(tag::STRIP_OFFSETS)?;
        let tiles = directory.field(tag::TILE_OFFSETS)?;
        let (offsets, is_tiled) = match (strips, tiles) {
            (Some(strips), _) => (strips, false),
            (None, Some(tiles)) => (tiles, true),
            (None, None) => return Err(TiffError::invalid("it has neither strips nor tiles")),
        };
        let (width, height) = if is_tiled {
            (directory.number(tag::TILE_WIDTH, 0)?, directory.number(tag::TILE_LENGTH, 0)?)
        } else {
            let height = image_height as u64;
            (image_width as u64, directory.number(tag::ROWS_PER_STRIP, height)?.min(height))
        };
        let (Ok(width), Ok(height)) = (u32::try_from(width), u32::try_from(height)) else {
            return Err(TiffError::Invalid(format!("its tiles have {width} x {height} pixels")));
        };
        if (width == 0 || height == 0) && image_width > 0 && image_height > 0 {
            return Err(TiffError::invalid("its strips or tiles have no pixels"));
        }
        // Pillow reads uncompressed rows without the sizes of strips, which may be wrong.
        let byte_counts = match compression {
            Compression::None => None,
            _ => {
                let tag = if is_tiled { tag::TILE_BYTE_COUNTS } else { tag::STRIP_BYTE_COUNTS };
                let counts = directory.field(tag)?;
                Some(counts.ok_or_else(|| TiffError::invalid("it lacks the sizes of its strips or tiles"))?)
            }
        };
        let (width, height) = (width as usize, height as usize);
        Ok(Self { file: directory.file, offsets, byte_counts, is_tiled, image_width, image_height, width, height })
    }

    /// The regions of the chunks, row by row.
    pub(super) fn regions(&self) -> impl Iterator<Item = Region> {
        let (across, down) = self.counts();
        (0..down).flat_map(move |row| {
            (0..across).map(move |column| {
                let (x, y) = (column * self.width, row * self.height);
                Region {
                    index: row as u64 * across as u64 + column as u64,
                    x,
                    y,
                    width: self.width.min(self.image_width - x),
                    height: self.height.min(self.image_height - y),
                }
            })
        })
    }

    /// The numbers of chunks in a row and in a column of the image.
    fn counts(&self) -> (usize, usize) {
        (self.image_width.div_ceil(self.width.max(1)), self.image_height.div_ceil(self.height.max(1)))
    }

    /// The size of the chunk of a region.
    ///
    /// # Errors
    /// If it is beyond the address space.
    pub(super) fn size(
        &self,
        region_height: usize,
        compression: Compression,
        format: &Format,
    ) -> Result<ChunkSize, TiffError> {
        let (row_bytes, rows) = (self.row_bytes(format), self.rows(region_height, compression, format));
        let bytes = row_bytes.checked_mul(rows).and_then(|bytes| usize::try_from(bytes).ok());
        match (usize::try_from(row_bytes), bytes) {
            (Ok(row_bytes), Some(_)) => {
                Ok(ChunkSize { width: self.width, max_height: self.height, row_bytes, rows: rows as usize })
            }
            _ => Err(TiffError::Invalid(format!("its tiles have {} x {} pixels", self.width, self.height))),
        }
    }

    /// The bytes of the largest decompressed chunk.
    pub(super) fn max_bytes(&self, compression: Compression, format: &Format) -> u64 {
        // A JPEG decoder returns all rows.
        let height = if compression == Compression::Jpeg { self.height } else { self.height.min(self.image_height) };
        self.row_bytes(format).saturating_mul(self.rows(height, compression, format))
    }

    /// The bytes that are decompressed of all chunks, also outside of the image.
    pub(super) fn total_bytes(&self, compression: Compression, format: &Format) -> u64 {
        let (across, down) = self.counts();
        let full_rows = down.saturating_sub(1);
        let last_height = match compression {
            Compression::Jpeg => self.height,
            _ => self.image_height - full_rows * self.height,
        };
        let rows = self.rows(self.height, compression, format).saturating_mul(full_rows as u64);
        let rows = rows.saturating_add(self.rows(last_height, compression, format));
        let planes = u64::from(format.planes());
        self.row_bytes(format).saturating_mul(rows).saturating_mul(across as u64).saturating_mul(planes)
    }

    /// The bytes of the samples of the image.
    pub(super) fn image_bytes(&self, format: &Format) -> u64 {
        let rows = (self.image_height as u64).div_ceil(u64::from(format.subsampling.1));
        let planes = u64::from(format.planes());
        row_bytes(self.image_width, format).saturating_mul(rows).saturating_mul(planes)
    }

    /// The samples of a chunk of JPEG data at most, with the padding to the largest minimum coded unit.
    pub(super) fn jpeg_samples(&self, format: &Format) -> u64 {
        const MAX_UNIT_SIDE: u64 = 32;
        let padded = |side: usize| (side as u64).next_multiple_of(MAX_UNIT_SIDE);
        padded(self.width).saturating_mul(padded(self.height)).saturating_mul(u64::from(format.chunk_samples()))
    }

    /// The bytes of a decompressed row.
    pub(super) fn row_bytes(&self, format: &Format) -> u64 {
        row_bytes(self.width, format)
    }

    fn rows(&self, region_height: usize, compression: Compression, format: &Format) -> u64 {
        let has_all_rows = self.is_tiled && compression.needs_all_rows();
        let height = if has_all_rows { self.height } else { region_height };
        (height as u64).div_ceil(u64::from(format.subsampling.1))
    }

    /// The bytes of a chunk in `file`, which is that of the chunks, perhaps with reversed bits; at most `max_len` if it is compressed, and
    /// up to the end of the file if it is not.
    pub(super) fn data<'d>(
        &self,
        file: &'d [u8],
        region: &Region,
        plane: u8,
        max_len: usize,
    ) -> Result<&'d [u8], TiffError> {
        let (across, down) = self.counts();
        let first = (across as u64).saturating_mul(down as u64).saturating_mul(u64::from(plane));
        let index = first.saturating_add(region.index);
        let missing = || TiffError::Invalid(format!("it has no strip or tile {index}"));
        let index = usize::try_from(index).map_err(|_| missing())?;
        let offset = usize::try_from(self.offsets.get(index).ok_or_else(missing)?).map_err(|_| TiffError::Truncated)?;
        let data = file.get(offset..).filter(|data| !data.is_empty()).ok_or(TiffError::Truncated)?;
        let Some(byte_counts) = self.byte_counts else { return Ok(data) };
        let len = usize::try_from(byte_counts.get(index).ok_or_else(missing)?).unwrap_or(usize::MAX);
        Ok(&data[..data.len().min(len).min(max_len)])
    }
}

/// The bytes of a row of `width` pixels; of subsampled YCbCr, of a row of blocks.
fn row_bytes(width: usize, format: &Format) -> u64 {
    let (horizontal, vertical) = format.subsampling;
    if format.subsampling == (1, 1) {
        let bits = u64::from(format.bits) * u64::from(format.chunk_samples());
        return (width as u64).saturating_mul(bits).div_ceil(8);
    }
    let block = u64::from(horizontal) * u64::from(vertical) + 2;
    (width as u64).div_ceil(u64::from(horizontal)).saturating_mul(block)
}
