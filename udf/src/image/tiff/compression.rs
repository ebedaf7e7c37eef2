//! [`Compression`]: decompresses a strip or tile of a TIFF file.

use std::borrow::Cow;
use std::io::{ErrorKind, Read};

use flate2::bufread::ZlibDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;
use weezl::BitOrder;
use weezl::decode::Configuration;
use zstd::bulk::Decompressor;

use super::TiffError;
use super::ccitt::{self, Encoding};
use super::directory::{Directory, tag};

/// The compressions that are read; those of libtiff in Pillow, without the outdated JPEG (6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Ccitt(Encoding),
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
    Lzma,
    Zstd,
}

/// The limit of the memory of an LZMA decoder, whose size is in the stream. Preset 9 of `xz` needs 65 MiB.
pub(super) const MAX_LZMA_BYTES: u64 = 70 << 20;

impl Compression {
    pub(super) fn try_new(directory: &Directory<'_>) -> Result<Self, TiffError> {
        Ok(match directory.number(tag::COMPRESSION, 1)? {
            1 => Self::None,
            2 => Self::Ccitt(Encoding::RunLength),
            3 => Self::Ccitt(Encoding::Group3 { is_2d: directory.number(tag::T4_OPTIONS, 0)? & 1 == 1 }),
            4 => Self::Ccitt(Encoding::Group4),
            5 => Self::Lzw,
            7 => Self::Jpeg,
            8 | 32946 => Self::Deflate,
            32773 => Self::PackBits,
            34925 => Self::Lzma,
            50000 => Self::Zstd,
            other => return Err(TiffError::Invalid(format!("compression {other} is not supported"))),
        })
    }

    /// Whether the differences of neighbouring samples may be stored.
    pub(super) fn has_predictor(self) -> bool {
        matches!(self, Self::Lzw | Self::Deflate | Self::Lzma | Self::Zstd)
    }

    /// Whether a tile is decompressed with the rows below the image, too.
    pub(super) fn needs_all_rows(self) -> bool {
        self == Self::Zstd
    }

    /// Decompresses all but JPEG into rows of equal length. `width` is that of the strip or tile, in pixels.
    pub(super) fn decompress(self, data: &[u8], width: usize, rows: &mut [u8]) -> Result<(), TiffError> {
        match self {
            Self::None | Self::Jpeg => {
                let data = data.get(..rows.len()).ok_or(TiffError::Truncated)?;
                rows.copy_from_slice(data);
                Ok(())
            }
            Self::Ccitt(encoding) => ccitt::decode(data, encoding, width, rows),
            Self::Lzw => lzw(data, rows),
            Self::Deflate => fill(ZlibDecoder::new(data), rows),
            Self::PackBits => pack_bits(data, rows),
            Self::Lzma => {
                let stream = Stream::new_stream_decoder(MAX_LZMA_BYTES, 0);
                let stream = stream.map_err(|error| TiffError::Invalid(error.to_string()))?;
                fill(XzDecoder::new_stream(data, stream), rows)
            }
            Self::Zstd => zstandard(data, rows),
        }
    }
}

/// Data whose first bit is the lowest of a byte.
pub(super) fn in_bit_order(data: &[u8], is_bit_reversed: bool) -> Cow<'_, [u8]> {
    match is_bit_reversed {
        true => Cow::Owned(data.iter().map(|byte| byte.reverse_bits()).collect()),
        false => Cow::Borrowed(data),
    }
}

fn fill(mut reader: impl Read, rows: &mut [u8]) -> Result<(), TiffError> {
    reader.read_exact(rows).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => TiffError::Truncated,
        _ => TiffError::Invalid(error.to_string()),
    })
}

/// Frames are decompressed at once: a stream would need memory for a window, whose size is in the frame.
fn zstandard(data: &[u8], rows: &mut [u8]) -> Result<(), TiffError> {
    let decompressed = Decompressor::new().and_then(|mut frames| frames.decompress_to_buffer(data, rows));
    match decompressed {
        Ok(len) if len == rows.len() => Ok(()),
        Ok(_) => Err(TiffError::Truncated),
        Err(error) => Err(TiffError::Invalid(error.to_string())),
    }
}

fn lzw(data: &[u8], rows: &mut [u8]) -> Result<(), TiffError> {
    // Files of before 1992 have codes whose first bit is the lowest, like GIF; libtiff recognizes them by their first code.
    let is_old = matches!(data, [0, second, ..] if second & 1 == 1);
    let codes = match is_old {
        true => Configuration::new(BitOrder::Lsb, 8),
        false => Configuration::with_tiff_size_switch(BitOrder::Msb, 8),
    };
    let mut decoder = codes.with_yield_on_full_buffer(true).build();
    let (mut consumed, mut filled) = (0, 0);
    while filled < rows.len() {
        let result = decoder.decode_bytes(&data[consumed..], &mut rows[filled..]);
        result.status.map_err(|error| TiffError::Invalid(error.to_string()))?;
        if result.consumed_in == 0 && result.consumed_out == 0 {
            return Err(TiffError::Truncated);
        }
        consumed += result.consumed_in;
        filled += result.consumed_out;
    }
    Ok(())
}

/// A count of 0 to 127 precedes one more literal bytes, one of 129 to 255 precedes a byte that is repeated 257 - count times.
fn pack_bits(data: &[u8], rows: &mut [u8]) -> Result<(), TiffError> {
    let (mut data, mut filled) = (data, 0);
    while filled < rows.len() {
        let (&count, rest) = data.split_first().ok_or(TiffError::Truncated)?;
        let (len, stored_len) = match count {
            0..=127 => (usize::from(count) + 1, usize::from(count) + 1),
            128 => (0, 0),
            129..=255 => (257 - usize::from(count), 1),
        };
        // The last run may be longer than the rows.
        let end = rows.len().min(filled + len);
        let run = &mut rows[filled..end];
        match count {
            0..=127 => run.copy_from_slice(rest.get(..run.len()).ok_or(TiffError::Truncated)?),
            128 => {}
            129..=255 => run.fill(*rest.first().ok_or(TiffError::Truncated)?),
        }
        data = rest.get(stored_len..).unwrap_or_default();
        filled = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes byte by byte, and returns everything.
    fn pack_bits_by_bytes(data: &[u8]) -> Vec<u8> {
        let mut bytes = data.iter().copied();
        let mut decoded = Vec::new();
        while let Some(count) = bytes.next() {
            match count.cast_signed() {
                -128 => {}
                count @ 0.. => (0..=count).for_each(|_| decoded.extend(bytes.next())),
                count => {
                    let repeated = bytes.next();
                    (count..=0).for_each(|_| decoded.extend(repeated));
                }
            }
        }
        decoded
    }

    #[test]
    fn pack_bits_agrees_with_a_slow_reference() {
        // A linear congruential generator.
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for len in 0..300 {
            let data: Vec<u8> = (0..len).map(|_| random()).collect();
            let expected = pack_bits_by_bytes(&data);
            for decoded_len in [0, expected.len() / 2, expected.len()] {
                let mut rows = vec![0; decoded_len];
                pack_bits(&data, &mut rows).unwrap();
                assert_eq!(rows, expected[..decoded_len], "{data:?}");
            }
            let mut rows = vec![0; expected.len() + 129];
            assert!(matches!(pack_bits(&data, &mut rows), Err(TiffError::Truncated)), "{data:?}");
        }
    }

    #[test]
    fn bits_of_each_byte_are_reversed() {
        assert_eq!(*in_bit_order(&[0b0000_0001, 0b1100_0000], true), [0b1000_0000, 0b0000_0011]);
        assert_eq!(*in_bit_order(&[1, 2], false), [1, 2]);
    }

    #[test]
    fn truncated_data_is_an_error() {
        for compression in [Compression::None, Compression::Lzw, Compression::PackBits] {
            let mut rows = [0; 4];
            assert!(matches!(compression.decompress(&[], 4, &mut rows), Err(TiffError::Truncated)), "{compression:?}");
        }
        let group_4 = Compression::Ccitt(Encoding::Group4);
        for compression in [Compression::Deflate, Compression::Lzma, Compression::Zstd, group_4] {
            let mut rows = [0; 4];
            assert!(compression.decompress(&[], 8, &mut rows).is_err(), "{compression:?}");
        }
    }
}
