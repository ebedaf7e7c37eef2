//! Decoding, compared with Pillow's pixels for each file of `tests/data/decode`.

use std::error::Error;
use std::fs;

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use libtest_mimic::Trial;
use ocelli_udf::image::{ImageError, Resampling, RgbImage, decode, decode_scaled, probe, resize};

use crate::trial;

const FOLDER: &str = "tests/data/decode";
const MAX_PIXELS: u64 = 64_000_000;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    assert!(cases().len() > 40 && bad_files().len() > 10, "golden files are missing");
    for (file, difference) in cases() {
        trials.push(trial(format!("decode::{file}"), move || agrees_with_pillow(&file, difference)));
    }
    for (file, accepted) in bad_files() {
        trials.push(trial(format!("decode::bad::{file}"), move || is_rejected(&file, accepted)));
    }
    trials.push(trial("decode::large_jpegs_are_scaled", large_jpegs_are_scaled));
    trials.push(trial("decode::corrupt_files_do_not_panic", corrupt_files_do_not_panic));
    trials
}

/// The files, each with its maximum difference per channel value, from `cases.csv`.
fn cases() -> Vec<(String, u8)> {
    let text = fs::read_to_string(format!("{FOLDER}/cases.csv")).expect("cases.csv");
    let case = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[0].to_owned(), cells[3].parse().expect("a number"))
    };
    text.lines().skip(1).map(case).collect()
}

/// The invalid files, each with whether Pillow decodes it nevertheless, from `bad/expected.csv`.
fn bad_files() -> Vec<(String, bool)> {
    let text = fs::read_to_string(format!("{FOLDER}/bad/expected.csv")).expect("expected.csv");
    let case = |line: &str| {
        let (file, error) = line.split_once(',').expect("two columns");
        (file.to_owned(), error.is_empty())
    };
    text.lines().skip(1).map(case).collect()
}

fn golden(path: &str) -> Result<RgbImage, Box<dyn Error>> {
    let golden = image::open(format!("{path}.rgb.png"))?.into_rgb8();
    Ok(RgbImage { width: golden.width(), height: golden.height(), data: golden.into_raw() })
}

fn agrees_with_pillow(file: &str, allowed: u8) -> Result<(), Box<dyn Error>> {
    let path = format!("{FOLDER}/{file}");
    let bytes = fs::read(&path)?;
    let (ours, theirs) = (decode(&bytes, MAX_PIXELS)?, golden(&path)?);
    assert_eq!((ours.width, ours.height), (theirs.width, theirs.height), "size");
    let header = probe(&bytes)?;
    assert_eq!((header.width, header.height), (theirs.width, theirs.height), "size in the header");
    let worst = ours.data.iter().zip(&theirs.data).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
    assert!(worst <= allowed, "values differ by up to {worst}, {allowed} is allowed");
    Ok(())
}

/// Files that Pillow decodes and we reject: JPEGs whose missing pixels Pillow fills with gray.
const REJECTED_BY_US_ONLY: [&str; 4] =
    ["cut-scan.jpg", "cut-scan-progressive.jpg", "cut-scan.tif", "wrong-restart.jpg"];

fn is_rejected(file: &str, accepted_by_pillow: bool) -> Result<(), Box<dyn Error>> {
    assert_eq!(accepted_by_pillow, REJECTED_BY_US_ONLY.contains(&file), "whether Pillow decodes it");
    let bytes = fs::read(format!("{FOLDER}/bad/{file}"))?;
    let error = decode(&bytes, MAX_PIXELS).expect_err("an invalid image");
    let expected = match file {
        "empty.jpg" => "it has 0 bytes",
        "bomb.png" => "it has 60000 x 60000 pixels, more than the limit of 64000000",
        "drawing.svg" => "it is an SVG drawing, which is not supported; convert it to JPEG, PNG or WebP",
        "notes.txt" => "it is not a JPEG, PNG, WebP, GIF, BMP or TIFF file (it starts with ",
        "no-size.gif" => "the GIF file cannot be decoded: it has no pixels",
        "no-frame-size.gif" => "the GIF file cannot be decoded: its first frame has no pixels",
        "no-size.jpg" => "the JPEG file cannot be decoded: it has no pixels",
        "cut-scan.jpg" | "cut-scan-progressive.jpg" | "wrong-restart.jpg" => {
            "the JPEG file cannot be decoded: its scan is damaged"
        }
        "wrong-crc.png" => "the PNG file cannot be decoded: its chunk IHDR has a wrong checksum",
        "large-profile.png" => "the PNG file cannot be decoded: its chunk iCCP inflates to more than 1 MiB",
        "overlapping-masks.bmp" => "the BMP file cannot be decoded: the bit masks 0xf800, 0x7e0 and 0x3f overlap",
        "cut-scan.tif" => "the TIFF file cannot be decoded: its JPEG data is invalid: its scan is damaged",
        "large-unit.jpg" => "the JPEG file cannot be decoded: a scan has more than 10 blocks in its unit",
        "swapped-components.jpg" => "the JPEG file cannot be decoded: a scan header is invalid",
        "no-end-marker.jpg" | "truncated.jpg" => "the JPEG file is truncated",
        "truncated.png" => "the PNG file is truncated",
        "truncated.webp" => "the WebP file is truncated",
        "truncated.gif" => "the GIF file is truncated",
        "truncated.bmp" => "the BMP file is truncated",
        "truncated.tif" => "the TIFF file is truncated",
        other => panic!("no expected message for {other}"),
    };
    assert!(error.to_string().starts_with(expected), "{error}");
    Ok(())
}

/// A photograph of 6 megapixels, upright and rotated, decoded at reduced scale, compared with full-size decoding. A small image is not
/// scaled.
fn large_jpegs_are_scaled() -> Result<(), Box<dyn Error>> {
    let photo = fs::read("examples/data/photos/cat.jpg")?;
    let original = decode(&photo, MAX_PIXELS)?;
    assert_eq!(decode_scaled(&photo, MAX_PIXELS, &mut |_, _| Some((32, 32)))?, original, "a small image");
    let large = resize(&original, 3000, 2000, Resampling::Bilinear);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 95).encode(&large.data, 3000, 2000, ExtendedColorType::Rgb8)?;
    for (side, fits) in [(224, (1500, 1000)), (32, (375, 250)), (400, (3000, 2000))] {
        let (full, fit) =
            (decode(&jpeg, MAX_PIXELS)?, decode_scaled(&jpeg, MAX_PIXELS, &mut |_, _| Some((side, side)))?);
        assert_eq!((fit.width, fit.height), fits, "for {side}");
        let [full, fit] = [full, fit].map(|image| resize(&image, side, side, Resampling::Bilinear).data);
        let sum: u64 = full.iter().zip(&fit).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = sum as f64 / full.len() as f64;
        assert!(mean < 0.6, "{mean} for {side}");
    }
    let rotated = decode_scaled(&with_orientation_6(&jpeg), MAX_PIXELS, &mut |_, _| Some((32, 32)))?;
    assert_eq!((rotated.width, rotated.height), (250, 375));
    assert_eq!(
        decode_scaled(&jpeg, 1000, &mut |_, _| Some((32, 32))),
        decode(&jpeg, 1000),
        "the pixel limit applies to the full-size image"
    );
    assert_eq!(
        decode_scaled(&jpeg[..jpeg.len() / 2], MAX_PIXELS, &mut |_, _| Some((32, 32))),
        decode(&jpeg[..jpeg.len() / 2], MAX_PIXELS)
    );
    let damaged = [&jpeg[..jpeg.len() / 2], &[0xff, 0xd9]].concat();
    let error = decode_scaled(&damaged, MAX_PIXELS, &mut |_, _| Some((32, 32))).expect_err("a damaged scan");
    assert_eq!(error.to_string(), "the JPEG file cannot be decoded: its scan is damaged");
    Ok(())
}

/// Inserts an EXIF segment with orientation 6: rotate by 90 degrees.
fn with_orientation_6(jpeg: &[u8]) -> Vec<u8> {
    const EXIF: &[u8] = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    [&jpeg[..2], EXIF, &jpeg[2..]].concat()
}

/// Prefixes of every file, and every file with one byte changed: an error or an image, never a panic.
fn corrupt_files_do_not_panic() -> Result<(), Box<dyn Error>> {
    for (file, _) in cases() {
        let bytes = fs::read(format!("{FOLDER}/{file}"))?;
        for end in (0..bytes.len()).step_by(7) {
            check(&file, &bytes[..end]);
        }
        let mut changed = bytes.clone();
        for position in (0..bytes.len()).step_by(11) {
            changed[position] ^= 0x5a;
            check(&file, &changed);
            changed[position] = bytes[position];
        }
    }
    Ok(())
}

fn check(file: &str, bytes: &[u8]) {
    let is_panic = |error: &ImageError| matches!(error, ImageError::DecoderPanicked { .. });
    assert!(!probe(bytes).is_err_and(|error| is_panic(&error)), "{file}: a decoder panicked");
    match decode(bytes, 1_000_000) {
        Ok(image) => assert_eq!(image.data.len(), image.width as usize * image.height as usize * 3, "{file}"),
        Err(error) => assert!(!is_panic(&error), "{file}: {error}"),
    }
}
