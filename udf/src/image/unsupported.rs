//! [`unsupported_format`] names what a file without a decoder is.

use super::ImageError;

/// The error for an image of a known format, and for what often stands in place of an image: error pages, pointers to files, archives.
pub(super) fn unsupported_format(bytes: &[u8]) -> Option<ImageError> {
    let has = |offset: usize, signature: &[u8]| bytes.get(offset..).is_some_and(|tail| tail.starts_with(signature));
    if let Some(&(_, _, format)) = IMAGES.iter().find(|entry| has(entry.0, entry.1)) {
        return Some(ImageError::UnsupportedFormat { format });
    }
    if let Some(&(_, _, kind)) = OTHERS.iter().find(|entry| has(entry.0, entry.1)) {
        return Some(ImageError::NotAnImage { kind });
    }
    media_format(bytes)
        .or_else(|| netpbm_format(bytes))
        .or_else(|| icon_format(bytes))
        .or_else(|| targa_format(bytes))
        .or_else(|| text_format(bytes))
}

/// Offset, signature and name of image formats.
static IMAGES: [(usize, &[u8], &str); 27] = [
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (0, b"II\xbc\x01", "a JPEG XR image"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"icns", "an icon (ICNS)"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"\xabKTX ", "a KTX texture"),
    (0, b"v/1\x01", "an OpenEXR image"),
    (0, b"#?RADIANCE", "a Radiance HDR image"),
    (0, b"#?RGBE", "a Radiance HDR image"),
    (0, b"qoif", "a QOI image"),
    (0, b"farbfeld", "a farbfeld image"),
    (0, b"FLIF", "a FLIF image"),
    (0, b"BPG\xfb", "a BPG image"),
    (0, b"\x8aMNG\r\n\x1a\n", "an MNG animation"),
    (0, b"SIMPLE  =", "a FITS image"),
    (128, b"DICM", "a DICOM image"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (40, b" EMF", "a Windows metafile"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"FUJIFILMCCD-RAW", "a raw image of a camera"),
    (0, b"IIU\0", "a raw image of a camera"),
    (0, b"IIRO", "a raw image of a camera"),
    (0, b"MMOR", "a raw image of a camera"),
];

/// Offset, signature and name of kinds of files that are no images.
static OTHERS: [(usize, &[u8], &str); 21] = [
    (0, b"%PDF-", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "an empty ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"ARROW1", "an Arrow file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (8, b"AVI LIST", "an AVI video"),
    (8, b"WAVEfmt ", "a WAVE recording"),
    (0, b"OggS", "an Ogg recording or video"),
    (0, b"ID3", "an MP3 recording"),
    (0, b"FLV\x01", "a Flash video"),
    (0, b"version https://git-lfs", "a Git LFS pointer, for which `git lfs pull` fetches the file"),
    (0, b"data:image/", "a data URL"),
];

/// Brands of ISO media files that are images, in the order of precedence: a file has several.
static BRANDS: [(&[u8; 4], &str); 14] = [
    (b"avif", "an AVIF image"),
    (b"avis", "an AVIF image"),
    (b"heic", "a HEIC image"),
    (b"heix", "a HEIC image"),
    (b"heim", "a HEIC image"),
    (b"heis", "a HEIC image"),
    (b"hevc", "a HEIC image"),
    (b"hevx", "a HEIC image"),
    (b"mif1", "a HEIF image"),
    (b"msf1", "a HEIF image"),
    (b"jxl ", "a JPEG XL image"),
    (b"jp2 ", "a JPEG 2000 image"),
    (b"jpx ", "a JPEG 2000 image"),
    (b"crx ", "a raw image of a camera"),
];

/// AVIF, HEIC and video, which are ISO media files: the first box lists the brands of the format.
fn media_format(bytes: &[u8]) -> Option<ImageError> {
    const MAX_HEADER_BYTES: usize = 256;
    if bytes.get(4..8)? != b"ftyp" {
        return None;
    }
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    let brands = bytes[..bytes.len().min(length).min(MAX_HEADER_BYTES)].get(8..).filter(|brands| brands.len() >= 4)?;
    let has = |name: &[u8; 4]| brands.chunks_exact(4).any(|brand| brand == name);
    Some(match BRANDS.iter().find(|entry| has(entry.0)) {
        Some(&(_, format)) => ImageError::UnsupportedFormat { format },
        None => ImageError::NotAnImage { kind: "an MP4 or QuickTime video" },
    })
}

/// PBM, PGM, PPM and PAM, whose signature is two letters and white space.
fn netpbm_format(bytes: &[u8]) -> Option<ImageError> {
    let is_netpbm = matches!(bytes, [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..]);
    is_netpbm.then_some(ImageError::UnsupportedFormat { format: "a Netpbm image" })
}

/// ICO and CUR: reserved zeros, a type, and a directory of images. The first entry has a reserved zero, and an offset after the directory.
fn icon_format(bytes: &[u8]) -> Option<ImageError> {
    const ENTRY_BYTES: u32 = 16;
    let &[0, 0, kind @ (1 | 2), 0, c0, c1] = bytes.first_chunk()? else { return None };
    let count = u32::from(u16::from_le_bytes([c0, c1]));
    let &[_, _, _, reserved, _, _, _, _, s0, s1, s2, s3, o0, o1, o2, o3] = bytes.get(6..)?.first_chunk()?;
    let (size, offset) = (u32::from_le_bytes([s0, s1, s2, s3]), u32::from_le_bytes([o0, o1, o2, o3]));
    // Some programs write 255 in place of 0.
    let is_entry = matches!(reserved, 0 | 255) && size > 0 && offset >= 6 + count * ENTRY_BYTES;
    let format = if kind == 1 { "an icon (ICO)" } else { "a mouse cursor (CUR)" };
    (count > 0 && is_entry).then_some(ImageError::UnsupportedFormat { format })
}

/// TGA, which has no signature but a footer in its second version: the fields of the header have few valid values.
fn targa_format(bytes: &[u8]) -> Option<ImageError> {
    let &[_, map, kind, m0, m1, m2, m3, map_bits, _, _, _, _, w0, w1, h0, h1, bits, flags] = bytes.first_chunk()?;
    let has_map = match (map, kind) {
        (0, 2 | 3 | 10 | 11) => [m0, m1, m2, m3, map_bits] == [0; 5],
        (1, 1 | 9) => matches!(map_bits, 15 | 16 | 24 | 32) && [m2, m3] != [0, 0],
        _ => false,
    };
    let has_bits = match kind {
        2 | 10 => matches!(bits, 15 | 16 | 24 | 32),
        _ => matches!(bits, 8 | 16),
    };
    let has_pixels = [w0, w1] != [0, 0] && [h0, h1] != [0, 0];
    // The highest bits of the flags are zero in all versions that are used.
    let is_targa = has_map && has_bits && has_pixels && flags & 0xc0 == 0;
    is_targa.then_some(ImageError::UnsupportedFormat { format: "a TGA image" })
}

/// SVG, HTML, XML, JSON and base64.
fn text_format(bytes: &[u8]) -> Option<ImageError> {
    // Drawings may have long declarations of entities before their root element.
    const HEAD_BYTES: usize = 8192;
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let root = root_element(head).unwrap_or_default();
    if root.eq_ignore_ascii_case(b"svg") {
        return Some(ImageError::UnsupportedFormat { format: "an SVG drawing" });
    }
    let is_html = [&b"html"[..], b"head", b"body"].iter().any(|name| root.eq_ignore_ascii_case(name));
    // The base64 of the signatures of JPEG, PNG, GIF and WebP.
    let is_base64 = [&b"/9j/"[..], b"iVBORw0KGgo", b"R0lGOD", b"UklGR"].iter().any(|start| head.starts_with(start));
    let kind = if is_html {
        "an HTML page"
    } else if starts_with_name(head, b"<?xml") {
        "an XML document"
    } else if is_json(head) {
        "a JSON document"
    } else if is_base64 {
        "an image in base64, which is to be decoded first"
    } else {
        return None;
    };
    Some(ImageError::NotAnImage { kind })
}

/// The name of the root element of XML or HTML, without its namespace; that of the document type, if there is one.
fn root_element(text: &[u8]) -> Option<&[u8]> {
    const DOCTYPE: &[u8] = b"<!doctype";
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        if rest.starts_with(b"<?") {
            rest = after(rest, b"?>")?;
        } else if rest.starts_with(b"<!--") {
            rest = after(rest, b"-->")?;
        } else if starts_with_name(rest, DOCTYPE) {
            return Some(name(rest[DOCTYPE.len()..].trim_ascii_start()));
        } else {
            return rest.strip_prefix(b"<").map(name);
        }
    }
}

/// What follows the first occurrence of `end`.
fn after<'a>(text: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    text.windows(end.len()).position(|window| window == end).map(|start| &text[start + end.len()..])
}

/// The letters and digits at the start of a text, after a namespace.
fn name(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b':').unwrap_or(text.len());
    let name = &text[..end];
    name.iter().rposition(|&byte| byte == b':').map_or(name, |colon| &name[colon + 1..])
}

fn starts_with_name(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// Whether a text is an object or array with what may follow in JSON.
fn is_json(text: &[u8]) -> bool {
    let Some((first, rest)) = text.split_first() else { return false };
    let next = rest.trim_ascii_start().first();
    match first {
        b'{' => matches!(next, Some(b'"' | b'}')),
        b'[' => matches!(next, Some(b'"' | b'{' | b'[' | b']' | b'-' | b'0'..=b'9')),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        unsupported_format(bytes).map_or("unknown".to_owned(), |error| error.to_string())
    }

    #[test]
    fn images_are_named_with_a_remedy() {
        let expected = "it is an AVIF image, which is not supported; convert it to JPEG, PNG or WebP";
        assert_eq!(message(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"), expected);
        assert_eq!(message(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif"), expected);
        let cases: [(&[u8], &str); 15] = [
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIC image"),
            (b"\0\0\0\x14ftypmif1\0\0\0\0mif1heic", "a HEIF image"),
            (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "a raw image of a camera"),
            (b"\xff\x0a\0\0", "a JPEG XL image"),
            (b"\0\0\0\x0cjP  \r\n\x87\n\0\0", "a JPEG 2000 image"),
            (b"P6\n3 2\n255\n", "a Netpbm image"),
            (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x --><svg/>", "an SVG drawing"),
            (b"\n  <svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
            (b"<!DOCTYPE svg PUBLIC><svg/>", "an SVG drawing"),
            (b"<?xml version='1.0'?><svg:svg xmlns:svg='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
            (b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0\x68\x04\0\0\x16\0\0\0", "an icon (ICO)"),
            (b"\0\0\x02\0\x01\0\x20\x20\0\0\x05\0\x05\0\x30\x01\0\0\x16\0\0\0", "a mouse cursor (CUR)"),
            (b"\0\0\x02\0\0\0\0\0\0\0\0\0\x02\0\x02\0\x18\0abcabcabcabc", "a TGA image"),
            (b"\0\x01\x09\0\0\0\x01\x18\0\0\0\0\x80\0\x02\0\x08\x20", "a TGA image"),
        ];
        for (bytes, format) in cases {
            let expected = format!("it is {format}, which is not supported; convert it to JPEG, PNG or WebP");
            assert_eq!(message(bytes), expected);
        }
        for (offset, signature, format) in IMAGES {
            let file = [&vec![b'.'; offset][..], signature].concat();
            assert!(message(&file).contains(format), "{format}");
        }
    }

    #[test]
    fn other_files_are_named() {
        let cases: [(&[u8], &str); 13] = [
            (b"\0\0\0\x18ftypisom\0\0\0\0mp41avc1", "an MP4 or QuickTime video"),
            (b"<!DOCTYPE html><body><svg/>", "an HTML page"),
            (b"\r\n<HTML>", "an HTML page"),
            (b"<?xml version='1.0'?><!DOCTYPE html PUBLIC ''><html><body><svg/></body></html>", "an HTML page"),
            (
                b"<?xml version='1.0'?>\n<!-- a page --><html xmlns='http://www.w3.org/1999/xhtml'><svg/>",
                "an HTML page",
            ),
            (b"<?xml version='1.0'?><Error/>", "an XML document"),
            (b"<?xml version='1.0'?><doc><svg/></doc>", "an XML document"),
            (b"<?xml version='1.0'?><!-- <svg/> ", "an XML document"),
            (b"{\"error\": \"no such key\"}", "a JSON document"),
            (b"[ 1, 2]", "a JSON document"),
            (b"iVBORw0KGgoAAAANSUhEUg", "an image in base64, which is to be decoded first"),
            (b"version https://git-lfs.github.com/spec/v1\n", OTHERS[19].2),
            (b"PK\x03\x04\x14", "a ZIP archive"),
        ];
        for (bytes, kind) in cases {
            assert_eq!(message(bytes), format!("it is not an image but {kind}"));
        }
        for (offset, signature, kind) in OTHERS {
            let file = [&vec![b'.'; offset][..], signature].concat();
            assert!(message(&file).contains(kind), "{kind}");
        }
    }

    #[test]
    fn other_texts_and_bytes_are_unknown() {
        let unknown: [&[u8]; 16] = [
            b"",
            b"hello",
            b"[notes]",
            b"{notes}",
            b"{",
            b"P6",
            b"P100 is new",
            b"<3",
            b"<doc><svg/></doc>",
            b"\0\0\0\x18ftyp",
            b"\xff",
            // Not an icon: too short, no image, an image in the directory.
            b"\0\0\x01\0",
            b"\0\0\x01\0\0\0\x10\x10\0\0\x01\0\x20\0\x68\x04\0\0\x16\0\0\0",
            b"\0\0\x01\0\x02\0\x10\x10\0\0\x01\0\x20\0\x68\x04\0\0\x16\0\0\0",
            // Not TGA: no width, 7 bits.
            b"\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\x02\0\x18\0",
            b"\0\0\x02\0\0\0\0\0\0\0\0\0\x02\0\x02\0\x07\0",
        ];
        for bytes in unknown {
            assert_eq!(message(bytes), "unknown");
        }
    }
}
