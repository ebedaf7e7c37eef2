//! 10,000 mutated image files: decoding returns an image or an error, never panics, and stays within a memory limit.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use fastrand::Rng;
use libtest_mimic::Trial;
use ocelli_udf::image::{ImageError, decode, peak_decode_bytes, probe};

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("mutations::decoding_does_not_panic_or_exhaust_memory", run_in_limited_process)]
}

/// Environment variable, set in the process that decodes.
pub(crate) const INSIDE: &str = "OCELLI_TEST_MUTATIONS";

const MUTATIONS: usize = 10_000;
const MAX_PIXELS: u64 = 1_000_000;
/// The limit of the address space: the program itself, and the peak of images of a million pixels.
const ADDRESS_SPACE_KIB: usize = 1 << 20;

/// Runs [`decode_mutations`] in a process with limited memory: an allocation beyond the limit ends the process.
fn run_in_limited_process() -> Result<(), Box<dyn Error>> {
    let program = env::current_exe()?;
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {ADDRESS_SPACE_KIB} && exec \"$0\""), &program.display().to_string()]);
    let output = command.env(INSIDE, "1").output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{}: {text}", output.status).into()) }
}

/// Decodes mutations of all test images, in the limited process.
pub(crate) fn decode_mutations() {
    let files: Vec<(String, Vec<u8>)> = ["examples/data/photos", "tests/data/decode", "tests/data/decode/bad"]
        .into_iter()
        .flat_map(image_files)
        .collect();
    assert!(files.len() > 60, "only {} images were found", files.len());
    let mut random = Rng::with_seed(1);
    for index in 0..MUTATIONS {
        let (name, bytes) = &files[index % files.len()];
        let mutated = mutate(bytes, &mut random);
        let is_panic = |error: &ImageError| matches!(error, ImageError::DecoderPanicked { .. });
        assert!(!probe(&mutated).is_err_and(|error| is_panic(&error)), "{name}, mutation {index}: probe panicked");
        assert!(
            !peak_decode_bytes(&mutated, MAX_PIXELS).is_err_and(|error| is_panic(&error)),
            "{name}, mutation {index}: peak_decode_bytes panicked"
        );
        match decode(&mutated, MAX_PIXELS) {
            Ok(image) => assert!(u64::from(image.width) * u64::from(image.height) <= MAX_PIXELS, "{name}"),
            Err(error) => assert!(!is_panic(&error), "{name}, mutation {index}: decode panicked"),
        }
    }
}

/// The image files of a folder, with their contents.
fn image_files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> =
        fs::read_dir(Path::new(folder)).expect("a folder").flatten().map(|file| file.path()).collect();
    files.sort();
    // All files except the CSV lists; golden pixels are PNG images too.
    files.retain(|path| path.is_file() && path.extension().is_some_and(|extension| extension != "csv"));
    files.into_iter().map(|path| (path.display().to_string(), fs::read(&path).expect("a file"))).collect()
}

/// Applies a few random changes, most of them to the headers at the start of the file.
fn mutate(bytes: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.usize(1..5) {
        if bytes.is_empty() {
            break;
        }
        let end = if random.bool() { bytes.len().min(64) } else { bytes.len() };
        let offset = random.usize(..end);
        let length = random.usize(1..=8).min(bytes.len() - offset);
        match random.usize(..5) {
            0 => bytes[offset] ^= 1 << random.usize(..8),
            1 => bytes[offset..offset + length].fill(if random.bool() { 0xff } else { 0 }),
            2 => bytes[offset..offset + length].fill_with(|| random.u8(..)),
            3 => drop(bytes.drain(offset..offset + length)),
            _ => {
                let copy = bytes[offset..offset + length].to_vec();
                let to = random.usize(..=bytes.len());
                bytes.splice(to..to, copy);
            }
        }
    }
    bytes
}
