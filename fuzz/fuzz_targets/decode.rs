//! Fuzz target that decodes arbitrary bytes as an image: `cargo fuzz run decode tests/data/decode -- -rss_limit_mb=1024`
#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_udf::image::{ImageError, decode, peak_decode_bytes, probe};

const MAX_PIXELS: u64 = 1_000_000;

fuzz_target!(|bytes: &[u8]| {
    let is_panic = |error: &ImageError| matches!(error, ImageError::DecoderPanicked { .. });
    assert!(!probe(bytes).is_err_and(|error| is_panic(&error)), "probe panicked");
    assert!(!peak_decode_bytes(bytes, MAX_PIXELS).is_err_and(|error| is_panic(&error)), "peak_decode_bytes panicked");
    match decode(bytes, MAX_PIXELS) {
        Ok(image) => assert_eq!(image.data.len(), image.width as usize * image.height as usize * 3),
        Err(error) => assert!(!is_panic(&error), "decode panicked: {error}"),
    }
});
