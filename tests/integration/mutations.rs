//! 10,000 damaged pictures: an error or a picture each, never a panic, and no more memory than the pixel limit allows.

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
    vec![trial("mutations::neither_panic_nor_fill_the_memory", in_a_small_process)]
}

/// Set in the process that decodes.
pub(crate) const INSIDE: &str = "OCELLI_TEST_MUTATIONS";

const MUTATIONS: usize = 10_000;
const MAX_PIXELS: u64 = 1_000_000;
/// Of address space: the program itself, and the most that pictures of a million pixels need.
const KIBIBYTES: usize = 1 << 20;

/// A process of its own, whose memory has a bound: an allocation beyond it ends the process.
fn in_a_small_process() -> Result<(), Box<dyn Error>> {
    let program = env::current_exe()?;
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {KIBIBYTES} && exec \"$0\""), &program.display().to_string()]);
    let output = command.env(INSIDE, "1").output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{}: {text}", output.status).into()) }
}

/// What the small process does.
pub(crate) fn decode_mutations() {
    let files: Vec<(String, Vec<u8>)> =
        ["examples/data/photos", "tests/data/decode", "tests/data/decode/bad"].into_iter().flat_map(pictures).collect();
    assert!(files.len() > 60, "only {} pictures were found", files.len());
    let mut random = Rng::with_seed(1);
    for number in 0..MUTATIONS {
        let (name, bytes) = &files[number % files.len()];
        let mutated = mutate(bytes, &mut random);
        let is_panic = |error: &ImageError| *error == ImageError::DecoderPanicked;
        assert!(!probe(&mutated).is_err_and(|error| is_panic(&error)), "{name}, mutation {number}: the header");
        assert!(
            !peak_decode_bytes(&mutated, MAX_PIXELS).is_err_and(|error| is_panic(&error)),
            "{name}, mutation {number}"
        );
        match decode(&mutated, MAX_PIXELS) {
            Ok(image) => assert!(u64::from(image.width) * u64::from(image.height) <= MAX_PIXELS, "{name}"),
            Err(error) => assert!(!is_panic(&error), "{name}, mutation {number}: the pixels"),
        }
    }
}

fn pictures(folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> =
        fs::read_dir(Path::new(folder)).expect("a folder").flatten().map(|file| file.path()).collect();
    files.sort();
    // The golden pixels are PNGs too.
    files.retain(|path| path.is_file() && path.extension().is_some_and(|extension| extension != "csv"));
    files.into_iter().map(|path| (path.display().to_string(), fs::read(&path).expect("a file"))).collect()
}

/// A few changes, most of them near the front, where the headers are.
fn mutate(bytes: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.usize(1..5) {
        if bytes.is_empty() {
            break;
        }
        let end = if random.bool() { bytes.len().min(64) } else { bytes.len() };
        let at = random.usize(..end);
        let length = random.usize(1..=8).min(bytes.len() - at);
        match random.usize(..5) {
            0 => bytes[at] ^= 1 << random.usize(..8),
            1 => bytes[at..at + length].fill(if random.bool() { 0xff } else { 0 }),
            2 => bytes[at..at + length].fill_with(|| random.u8(..)),
            3 => drop(bytes.drain(at..at + length)),
            _ => {
                let copy = bytes[at..at + length].to_vec();
                let to = random.usize(..=bytes.len());
                bytes.splice(to..to, copy);
            }
        }
    }
    bytes
}
