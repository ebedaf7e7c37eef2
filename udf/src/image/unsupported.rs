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
    media_format(bytes).or_else(|| netpbm_format(bytes)).or_else(|| text_format(bytes))
}

/// Offset, signature and name of image formats.
static IMAGES: [(usize, &[u8], &str); 29] = [
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (0, b"II\xbc\x01", "a JPEG XR image"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"\0\0\x01\0", "an icon (ICO)"),
    (0, b"\0\0\x02\0", "a mouse cursor (CUR)"),
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

/// SVG, HTML, XML, JSON and base64.
fn text_format(bytes: &[u8]) -> Option<ImageError> {
    const HEAD_BYTES: usize = 1024;
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let starts = |start: &str| head.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()));
    let contains_svg = head.windows(4).any(|window| window == b"<svg");
    let is_markup = starts("<?xml") || starts("<!");
    if starts("<svg") || (is_markup && contains_svg && !starts("<!doctype html")) {
        return Some(ImageError::UnsupportedFormat { format: "an SVG drawing" });
    }
    let is_html = ["<!doctype html", "<html", "<head", "<body"].into_iter().any(starts);
    // The base64 of the signatures of JPEG, PNG, GIF and WebP.
    let is_base64 = [&b"/9j/"[..], b"iVBORw0KGgo", b"R0lGOD", b"UklGR"].iter().any(|start| head.starts_with(start));
    let kind = if is_html {
        "an HTML page"
    } else if starts("<?xml") {
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
        let cases: [(&[u8], &str); 10] = [
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
        let cases: [(&[u8], &str); 9] = [
            (b"\0\0\0\x18ftypisom\0\0\0\0mp41avc1", "an MP4 or QuickTime video"),
            (b"<!DOCTYPE html><body><svg/>", "an HTML page"),
            (b"\r\n<HTML>", "an HTML page"),
            (b"<?xml version='1.0'?><Error/>", "an XML document"),
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
        let unknown: [&[u8]; 10] =
            [b"", b"hello", b"[notes]", b"{notes}", b"{", b"P6", b"P100 is new", b"<3", b"\0\0\0\x18ftyp", b"\xff"];
        for bytes in unknown {
            assert_eq!(message(bytes), "unknown");
        }
    }
}
