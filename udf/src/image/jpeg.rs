//! [`JpegFile`] decodes JPEG to the pixels that libjpeg-turbo computes, which are Pillow's.

use image::{ColorType, ImageDecoder, ImageError as DecoderError, ImageFormat, ImageResult};

use super::invalid::{corrupt, truncated};

mod blocks;
mod color;
mod frame;
mod huffman;
mod idct;
mod planes;
mod scale;
mod scan;
mod segments;
mod tables;
mod upsample;

use color::ColorSpace;
use frame::Frame;
pub(super) use scale::Scale;
use segments::{APP0, APP1, APP14, END_OF_IMAGE, START_OF_SCAN, Segments, is_frame_header};
pub(super) use tables::Tables;

/// Sequential and progressive files with Huffman codes, 8 bits per sample, and 1, 3 or 4 components; of 2 components if they are not
/// converted to RGB.
///
/// At a reduced [`Scale`], the pixels are those of Pillow's `draft`. All coefficients are decoded at every scale, so that damage is found.
///
/// Where libjpeg-turbo goes on after damage, and replaces what it could not decode with gray or with wrong colors, this decoder fails.
/// That is why it exists, and because other decoders round and interpolate differently.
pub(super) struct JpegFile<'a> {
    bytes: &'a [u8],
    frame: Frame,
    color_space: ColorSpace,
    /// Those that are defined before the file.
    tables: Tables,
}

/// Why a file cannot be decoded.
#[derive(Debug)]
pub(super) enum Invalid {
    Truncated,
    Corrupt(&'static str),
}

/// Entropy-coded data that is not valid.
const DAMAGED: Invalid = Invalid::Corrupt("its scan is damaged");

impl From<Invalid> for DecoderError {
    fn from(invalid: Invalid) -> Self {
        match invalid {
            Invalid::Truncated => truncated(),
            Invalid::Corrupt(reason) => corrupt(ImageFormat::Jpeg, reason),
        }
    }
}

impl<'a> JpegFile<'a> {
    /// Reads the headers of a file before the first scan.
    pub(super) fn try_new(bytes: &'a [u8]) -> ImageResult<Self> {
        let file = Self::with_tables(bytes, Tables::default())?;
        match file.components() {
            2 => Err(Invalid::Corrupt("it has not 1, 3 or 4 components").into()),
            _ => Ok(file),
        }
    }

    /// Reads the headers of a stream that may refer to tables outside of it, as in TIFF.
    pub(super) fn with_tables(bytes: &'a [u8], tables: Tables) -> Result<Self, Invalid> {
        let (mut is_jfif, mut adobe_transform, mut frame) = (false, None, None);
        for segment in Segments::new(bytes) {
            let payload = segment.payload;
            match segment.marker {
                APP0 if payload.len() >= 14 && payload.starts_with(b"JFIF\0") => is_jfif = true,
                APP14 if payload.starts_with(b"Adobe") => {
                    adobe_transform = payload.get(11).copied().or(adobe_transform)
                }
                START_OF_SCAN => {
                    let frame: Frame = frame.ok_or(Invalid::Corrupt("it has no frame header"))?;
                    let color_space = color_space(&frame, is_jfif, adobe_transform);
                    return Ok(Self { bytes, frame, color_space, tables });
                }
                END_OF_IMAGE => return Err(Invalid::Corrupt("it has no scan")),
                marker if is_frame_header(marker) => {
                    if frame.is_some() {
                        return Err(Invalid::Corrupt("it has two frame headers"));
                    }
                    frame = Some(Frame::parse(marker, payload)?);
                }
                _ => {}
            }
        }
        Err(Invalid::Truncated)
    }

    /// Decodes the file at a fraction of its size.
    pub(super) fn with_scale(mut self, scale: Scale) -> Self {
        self.frame.scale = scale;
        self
    }

    /// The width and height of the decoded image.
    pub(super) fn size(&self) -> (usize, usize) {
        self.frame.scaled_size()
    }

    /// The number of components.
    pub(super) fn components(&self) -> usize {
        self.frame.components.len()
    }

    /// The memory in bytes that decoding needs beside the decoded pixels.
    pub(super) fn working_bytes(&self) -> u64 {
        self.frame.plane_bytes()
    }

    /// Decodes luma and chroma to RGB, whatever the file says about its components.
    pub(super) fn read_ycbcr(self, pixels: &mut [u8]) -> Result<(), Invalid> {
        Self { color_space: ColorSpace::YCbCr, ..self }.read_rgb(pixels)
    }

    /// Decodes the components, interleaved, without converting them.
    pub(super) fn read_samples(self, pixels: &mut [u8]) -> Result<(), Invalid> {
        let planes = scan::decode_planes(self.bytes, &self.frame, self.tables)?;
        color::write_samples(&planes, &self.frame, pixels);
        Ok(())
    }

    fn read_rgb(self, pixels: &mut [u8]) -> Result<(), Invalid> {
        let planes = scan::decode_planes(self.bytes, &self.frame, self.tables)?;
        color::write_rgb(&planes, &self.frame, self.color_space, pixels);
        Ok(())
    }
}

/// The payloads of the segments APP1 before the first scan.
pub(super) fn app1_segments(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    Segments::new(bytes)
        .take_while(|segment| segment.marker != START_OF_SCAN)
        .filter(|segment| segment.marker == APP1)
        .map(|segment| segment.payload)
}

/// The precedence of libjpeg: JFIF, which is YCbCr, then Adobe's segment, then the names of the components.
fn color_space(frame: &Frame, is_jfif: bool, adobe_transform: Option<u8>) -> ColorSpace {
    match (frame.components.as_slice(), adobe_transform) {
        ([_] | [_, _], _) => ColorSpace::Gray,
        ([_, _, _, _], None | Some(0)) => ColorSpace::Cmyk,
        ([_, _, _, _], Some(_)) => ColorSpace::Ycck,
        _ if is_jfif => ColorSpace::YCbCr,
        (_, Some(0)) => ColorSpace::Rgb,
        (_, Some(_)) => ColorSpace::YCbCr,
        (components, None) if components.iter().map(|component| component.id).eq(*b"RGB") => ColorSpace::Rgb,
        _ => ColorSpace::YCbCr,
    }
}

/// Whether the end-of-image marker follows the first scan.
///
/// Within a scan the bytes `FF D9` are always that marker. Before the scan they may belong to an embedded thumbnail.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    let scan = Segments::new(bytes).find(|segment| segment.marker == START_OF_SCAN);
    let data = scan.and_then(|scan| bytes.get(scan.end..)).unwrap_or_default();
    data.windows(2).rev().any(|pair| pair == [0xff, END_OF_IMAGE])
}

impl ImageDecoder for JpegFile<'_> {
    fn dimensions(&self) -> (u32, u32) {
        let (width, height) = self.size();
        (width as u32, height as u32)
    }

    fn color_type(&self) -> ColorType {
        ColorType::Rgb8
    }

    fn read_image(self, pixels: &mut [u8]) -> ImageResult<()> {
        Ok(self.read_rgb(pixels)?)
    }

    fn read_image_boxed(self: Box<Self>, pixels: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(pixels)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Files of `tests/data/decode`, whose `make.py` writes what Pillow decodes at a half, a quarter and an eighth of the size to
    /// `NAME.draft.png`, one image below the other.
    #[test]
    fn pixels_at_reduced_scales_are_those_of_pillow() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/decode");
        let mut compared = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let Some(file) = path.to_str().and_then(|path| path.strip_suffix(".draft.png")) else { continue };
            let bytes = fs::read(file).unwrap();
            let expected = image::open(&path).unwrap().into_rgb8();
            let mut expected_rows = expected.as_raw().chunks_exact(expected.width() as usize * 3);
            for scale in [Scale::Half, Scale::Quarter, Scale::Eighth] {
                let jpeg = JpegFile::try_new(&bytes).unwrap().with_scale(scale);
                let (width, height) = jpeg.size();
                let mut pixels = vec![0; width * height * 3];
                jpeg.read_image(&mut pixels).unwrap();
                for (y, row) in pixels.chunks_exact(width * 3).enumerate() {
                    let expected_row = expected_rows.next().and_then(|row| row.get(..width * 3));
                    assert_eq!(Some(row), expected_row, "{file} at {scale:?}, row {y}");
                }
            }
            assert!(expected_rows.next().is_none(), "{file}");
            compared += 1;
        }
        assert!(compared > 20, "only {compared} files were found");
    }

    #[test]
    fn memory_at_reduced_scales_is_that_of_the_smaller_planes() {
        // 70 x 50 pixels in 5 x 4 units, of 4 blocks of luma and 2 of chroma.
        let payload = [8, 0, 50, 0, 70, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
        let frame = Frame::parse(0xc0, &payload).ok().unwrap();
        let file = JpegFile { bytes: &[], frame, color_space: ColorSpace::YCbCr, tables: Tables::default() };
        assert_eq!(file.working_bytes(), 20 * (4 * 64 + 2 * 64));
        let file = file.with_scale(Scale::Half);
        assert_eq!(file.working_bytes(), 20 * (4 * 16 + 2 * 64));
        assert_eq!(file.with_scale(Scale::Eighth).working_bytes(), 20 * (4 + 2 * 4));
    }

    /// The markers of a JPEG file without pixels: start, a segment that contains the end marker of a thumbnail, scan, `tail`.
    fn jpeg(tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xe1, 0, 6, 1, 2, 0xff, 0xd9, 0xff, 0xda, 0, 3, 0];
        bytes.extend_from_slice(tail);
        bytes
    }

    #[test]
    fn file_is_complete_if_its_scan_ends() {
        assert!(is_complete(&jpeg(&[1, 2, 3, 0xff, 0xd9])));
        assert!(is_complete(&jpeg(&[1, 0xff, 0xd9, b't', b'r', b'a', b'i', b'l'])), "bytes after the end");
        assert!(!is_complete(&jpeg(&[1, 2, 3])), "the end marker of the thumbnail does not count");
        assert!(!is_complete(&jpeg(&[1, 2, 0xff])), "cut inside the end marker");
        assert!(!is_complete(&[0xff, 0xd8, 0xff]));
        assert!(!is_complete(&[0xff, 0xd8, 0xff, 0xe1, 0xff]));
    }

    #[test]
    fn jfif_takes_precedence_over_adobe_and_adobe_over_names() {
        let frame = |ids: &[u8]| {
            let components: Vec<u8> = ids.iter().flat_map(|id| [*id, 0x11, 0]).collect();
            let header = [8, 0, 1, 0, 1, ids.len() as u8];
            Frame::parse(0xc0, &[header.as_slice(), &components].concat()).ok().unwrap()
        };
        let cases: [(&[u8], bool, Option<u8>, ColorSpace); 10] = [
            (b"\x01\x02\x03", true, Some(0), ColorSpace::YCbCr),
            (b"RGB", true, None, ColorSpace::YCbCr),
            (b"\x01\x02\x03", false, Some(0), ColorSpace::Rgb),
            (b"RGB", false, Some(1), ColorSpace::YCbCr),
            (b"RGB", false, None, ColorSpace::Rgb),
            (b"\0\x01\x02", false, None, ColorSpace::YCbCr),
            (b"\x01", false, Some(0), ColorSpace::Gray),
            (b"CMYK", true, None, ColorSpace::Cmyk),
            (b"CMYK", false, Some(0), ColorSpace::Cmyk),
            (b"CMYK", false, Some(2), ColorSpace::Ycck),
        ];
        for (ids, is_jfif, adobe_transform, expected) in cases {
            assert_eq!(color_space(&frame(ids), is_jfif, adobe_transform), expected, "{ids:?}");
        }
    }
}
