//! [`JpegFile`] decodes JPEG to the pixels that libjpeg-turbo computes, which are Pillow's.

use image::{ColorType, ImageDecoder, ImageError as DecoderError, ImageFormat, ImageResult};

use super::invalid::{corrupt, truncated};

mod blocks;
mod color;
mod frame;
mod huffman;
mod idct;
mod planes;
mod scan;
mod segments;
mod tables;
mod upsample;

pub(super) use color::ColorSpace;
use frame::Frame;
use segments::{APP0, APP1, APP14, END_OF_IMAGE, START_OF_SCAN, Segments, is_frame_header};

/// Sequential and progressive files with Huffman codes, 8 bits per sample, and 1, 3 or 4 components.
///
/// Where libjpeg-turbo goes on after damage, and replaces what it could not decode with gray or with wrong colors, this decoder fails.
/// That is why it exists, and because other decoders round and interpolate differently.
pub(super) struct JpegFile<'a> {
    bytes: &'a [u8],
    frame: Frame,
    color_space: ColorSpace,
}

/// Why a file cannot be decoded.
#[derive(Debug)]
enum Invalid {
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
    /// Reads the headers before the first scan.
    pub(super) fn try_new(bytes: &'a [u8]) -> ImageResult<Self> {
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
                    return Ok(Self { bytes, frame, color_space });
                }
                END_OF_IMAGE => return Err(Invalid::Corrupt("it has no scan").into()),
                marker if is_frame_header(marker) => {
                    if frame.is_some() {
                        return Err(Invalid::Corrupt("it has two frame headers").into());
                    }
                    frame = Some(Frame::parse(marker, payload)?);
                }
                _ => {}
            }
        }
        Err(Invalid::Truncated.into())
    }

    pub(super) fn color_space(&self) -> ColorSpace {
        self.color_space
    }

    /// The memory in bytes that decoding needs beside the decoded pixels.
    pub(super) fn working_bytes(&self) -> u64 {
        self.frame.plane_bytes()
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
        ([_], _) => ColorSpace::Gray,
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
        (self.frame.width as u32, self.frame.height as u32)
    }

    fn color_type(&self) -> ColorType {
        ColorType::Rgb8
    }

    fn read_image(self, pixels: &mut [u8]) -> ImageResult<()> {
        let planes = scan::decode_planes(self.bytes, &self.frame)?;
        color::write_rgb(&planes, &self.frame, self.color_space, pixels);
        Ok(())
    }

    fn read_image_boxed(self: Box<Self>, pixels: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
