//! [`Metadata`]: the EXIF and XMP data of a JPEG, PNG or WebP file.

use std::borrow::Cow;

use image::ImageFormat;

use super::jpeg;
use super::png::chunks::{Chunk, Chunks as PngChunks};
use super::png_text::{parse_raw_profile, png_text, split_at_zero};
use super::webp::Chunks;

/// The metadata that may have the orientation of an image, from where Pillow reads it.
///
/// ```text
///        EXIF                                              XMP
/// JPEG   segments APP1 "Exif", joined                      the last segment APP1 "http://ns.adobe.com/xap/1.0/"
/// PNG    the last chunk eXIf, or a text chunk of           the last text chunk "XML:com.adobe.xmp"
///        ImageMagick, "Raw profile type exif"
/// WebP   the first chunk EXIF that the header announces    the first chunk "XMP " that the header announces
/// ```
///
/// Segments and chunks after the first that is truncated are ignored, as are texts that do not inflate.
#[derive(Debug, Default)]
pub(super) struct Metadata<'a> {
    /// A TIFF header and directories, after `Exif\0\0` or not.
    pub(super) exif: Option<Cow<'a, [u8]>>,
    /// An XML document.
    pub(super) xmp: Option<Cow<'a, [u8]>>,
}

impl<'a> Metadata<'a> {
    /// Reads the metadata. Other formats have none.
    pub(super) fn new(bytes: &'a [u8], format: ImageFormat) -> Self {
        match format {
            ImageFormat::Jpeg => Self::from_jpeg(bytes),
            ImageFormat::Png => Self::from_png(bytes),
            ImageFormat::WebP => Self::from_webp(bytes).unwrap_or_default(),
            _ => Self::default(),
        }
    }

    fn from_jpeg(bytes: &'a [u8]) -> Self {
        let mut metadata = Self::default();
        for content in jpeg::app1_segments(bytes) {
            if let Some(continuation) = content.strip_prefix(b"Exif\0\0") {
                match &mut metadata.exif {
                    // EXIF data of more than 64 KiB.
                    Some(exif) => exif.to_mut().extend_from_slice(continuation),
                    None => metadata.exif = Some(content.into()),
                }
            } else if let Some(xmp) = content.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
                metadata.xmp = Some(xmp.into());
            }
        }
        metadata
    }

    fn from_png(bytes: &'a [u8]) -> Self {
        let mut metadata = Self::default();
        let mut raw_profile = None;
        let (mut is_animated, mut has_pixels) = (false, false);
        for Chunk { kind, content, .. } in PngChunks::new(bytes).take_while(|chunk| !chunk.is_truncated) {
            match &kind {
                b"IEND" => break,
                b"acTL" => is_animated = true,
                b"IDAT" => has_pixels = true,
                // The next frame of an animation.
                b"fcTL" if is_animated && has_pixels => break,
                b"eXIf" => metadata.exif = Some(content.into()),
                b"tEXt" | b"zTXt" | b"iTXt" => match split_at_zero(content) {
                    Some((b"exif", text)) if kind == *b"tEXt" => metadata.exif = Some(text.into()),
                    Some((b"Raw profile type exif", text)) => raw_profile = png_text(kind, text).or(raw_profile),
                    Some((b"XML:com.adobe.xmp", text)) => metadata.xmp = png_text(kind, text).or(metadata.xmp),
                    _ => {}
                },
                _ => {}
            }
        }
        if metadata.exif.is_none() {
            metadata.exif = raw_profile.and_then(|text| parse_raw_profile(&text)).map(Cow::Owned);
        }
        metadata
    }

    fn from_webp(bytes: &'a [u8]) -> Option<Self> {
        const HAS_EXIF: u8 = 0x08;
        const HAS_XMP: u8 = 0x04;
        let length = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?) as usize;
        let body = &bytes[..bytes.len().min(length.saturating_add(8))];
        let mut chunks = Chunks(body.get(12..)?);
        let header = chunks.next().filter(|chunk| chunk.name == *b"VP8X")?;
        let flags = header.data.first()?;
        let (mut exif, mut xmp) = (None, None);
        for chunk in chunks {
            match &chunk.name {
                b"EXIF" if flags & HAS_EXIF != 0 => exif = exif.or(Some(chunk.data)),
                b"XMP " if flags & HAS_XMP != 0 => xmp = xmp.or(Some(chunk.data)),
                _ => {}
            }
        }
        let borrow = |content: Option<&'a [u8]>| content.filter(|content| !content.is_empty()).map(Cow::Borrowed);
        Some(Self { exif: borrow(exif), xmp: borrow(xmp) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(segments: &[&[u8]]) -> Vec<u8> {
        let mut file = vec![0xff, 0xd8];
        for content in segments {
            file.extend([0xff, 0xe1]);
            file.extend((content.len() as u16 + 2).to_be_bytes());
            file.extend(*content);
        }
        file.extend([0xff, 0xda]);
        file
    }

    fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, content) in chunks {
            file.extend((content.len() as u32).to_be_bytes());
            file.extend(*kind);
            file.extend(*content);
            file.extend([0; 4]);
        }
        file
    }

    fn webp(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
        for (kind, content) in chunks {
            file.extend(*kind);
            file.extend((content.len() as u32).to_le_bytes());
            file.extend(*content);
            file.resize(file.len().next_multiple_of(2), 0);
        }
        let length = file.len() as u32 - 8;
        file[4..8].copy_from_slice(&length.to_le_bytes());
        file
    }

    fn exif(file: &[u8], format: ImageFormat) -> Option<Vec<u8>> {
        Metadata::new(file, format).exif.map(Cow::into_owned)
    }

    fn xmp(file: &[u8], format: ImageFormat) -> Option<Vec<u8>> {
        Metadata::new(file, format).xmp.map(Cow::into_owned)
    }

    #[test]
    fn segments_of_jpeg() {
        let file = jpeg(&[b"Exif\0\0ab", b"http://ns.adobe.com/xap/1.0/\0old", b"Exif\0\0cd"]);
        assert_eq!(exif(&file, ImageFormat::Jpeg).unwrap(), b"Exif\0\0abcd");
        assert_eq!(xmp(&file, ImageFormat::Jpeg).unwrap(), b"old");
        let after_pixels = [&jpeg(&[])[..], &file[2..]].concat();
        assert_eq!(exif(&after_pixels, ImageFormat::Jpeg), None);
        for end in 0..file.len() - 2 {
            let truncated = exif(&file[..end], ImageFormat::Jpeg);
            assert!(truncated.is_none_or(|exif| exif == b"Exif\0\0ab"), "{end} bytes");
        }
    }

    #[test]
    fn chunks_of_png() {
        const PROFILE: &[u8] = b"Raw profile type exif\0\nexif\n 2\n4142\n";
        const XMP: &[u8] = b"XML:com.adobe.xmp\0\0\0\0\0<x/>";
        let file = png(&[(b"tEXt", PROFILE), (b"IDAT", b""), (b"iTXt", XMP), (b"IEND", b"")]);
        assert_eq!(exif(&file, ImageFormat::Png).unwrap(), b"AB");
        assert_eq!(xmp(&file, ImageFormat::Png).unwrap(), b"<x/>");
        let both = png(&[(b"eXIf", b"II"), (b"tEXt", PROFILE), (b"IEND", b"")]);
        assert_eq!(exif(&both, ImageFormat::Png).unwrap(), b"II", "the chunk takes precedence");
        let last = png(&[(b"eXIf", b"II"), (b"eXIf", b"MM"), (b"IEND", b""), (b"eXIf", b"")]);
        assert_eq!(exif(&last, ImageFormat::Png).unwrap(), b"MM");
        let frames = png(&[(b"acTL", b""), (b"fcTL", b""), (b"IDAT", b""), (b"fcTL", b""), (b"eXIf", b"II")]);
        assert_eq!(exif(&frames, ImageFormat::Png), None, "in the second frame");
        assert_eq!(exif(&png(&[(b"tEXt", b"exif\0II")]), ImageFormat::Png).unwrap(), b"II");
        let truncated = png(&[(b"eXIf", b"II")]);
        assert_eq!(exif(&truncated[..17], ImageFormat::Png), None);
    }

    #[test]
    fn chunks_of_webp_are_announced() {
        let metadata: [(&[u8; 4], &[u8]); 3] = [(b"EXIF", b"II*"), (b"EXIF", b"MM"), (b"XMP ", b"<x/>")];
        let file = |flags: u8| {
            let header = [flags, 0, 0, 0];
            let mut chunks: Vec<(&[u8; 4], &[u8])> = vec![(b"VP8X", &header[..])];
            chunks.extend(metadata);
            webp(&chunks)
        };
        assert_eq!(exif(&file(0x08), ImageFormat::WebP).unwrap(), b"II*");
        assert_eq!(xmp(&file(0x08), ImageFormat::WebP), None);
        assert_eq!(xmp(&file(0x04), ImageFormat::WebP).unwrap(), b"<x/>");
        assert_eq!(exif(&webp(&metadata), ImageFormat::WebP), None, "without the extended header");
        let mut trailing = file(0x0c);
        trailing[4] = 16;
        assert_eq!(exif(&trailing, ImageFormat::WebP), None, "after the end of the file");
        assert_eq!(exif(&webp(&[(b"VP8X", &[0x08]), (b"EXIF", b"")]), ImageFormat::WebP), None);
        assert_eq!(exif(b"RIFF", ImageFormat::WebP), None);
    }
}
