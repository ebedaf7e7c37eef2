//! Decoding and scaling, one core: `cargo bench -p ocelli-benches --bench decode`
//!
//! Compared with the `image` crate alone, which neither checks for truncation nor applies the EXIF orientation. `peers/decode.py` does
//! the same job with Pillow.

mod compare;

use std::hint::black_box;
use std::path::Path;

use compare::compare;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use ocelli_udf::image::{Resampling, decode, decode_scaled, resize};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let photos = Path::new("../examples/data/photos");
    let mut jpegs = Vec::new();
    for entry in std::fs::read_dir(photos)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jpg") {
            jpegs.push(std::fs::read(path)?);
        }
    }
    let plain = || {
        for bytes in &jpegs {
            black_box(image::load_from_memory(bytes).expect("a valid image").into_rgb8());
        }
    };
    let ours = || {
        for bytes in &jpegs {
            black_box(decode(bytes, u64::MAX).expect("a valid image"));
        }
    };
    compare("decode JPEGs", "images", jpegs.len(), ("image crate", plain), ("decode", ours));

    for side in [32, 224] {
        let plain = || {
            for bytes in &jpegs {
                let decoded = image::load_from_memory(bytes).expect("a valid image").into_rgb8();
                black_box(image::imageops::resize(&decoded, side, side, FilterType::Triangle));
            }
        };
        let ours = || {
            for bytes in &jpegs {
                black_box(resize(&decode(bytes, u64::MAX).expect("a valid image"), side, side, Resampling::Bilinear));
            }
        };
        let job = format!("decode and resize to {side} x {side}");
        compare(&job, "images", jpegs.len(), ("image crate", plain), ("decode, resize", ours));
    }

    let large = resize(&decode(&jpegs[0], u64::MAX)?, 4032, 3024, Resampling::Bilinear);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 92).encode(&large.data, 4032, 3024, ExtendedColorType::Rgb8)?;
    let plain =
        || drop(black_box(resize(&decode(&jpeg, u64::MAX).expect("a valid image"), 224, 224, Resampling::Bilinear)));
    let ours = || {
        let decoded = decode_scaled(&jpeg, u64::MAX, &mut |_, _| Some((224, 224))).expect("a valid image");
        black_box(resize(&decoded, 224, 224, Resampling::Bilinear));
    };
    compare("12 megapixels to 224 x 224", "images", 1, ("decode, resize", plain), ("decode_scaled, resize", ours));

    let ours: Vec<_> = jpegs.iter().map(|bytes| decode(bytes, u64::MAX).expect("a valid image")).collect();
    let images: Vec<_> =
        jpegs.iter().map(|bytes| image::load_from_memory(bytes).expect("a valid image").into_rgb8()).collect();
    for side in [32, 224] {
        let plain = || {
            for image in &images {
                black_box(image::imageops::resize(image, side, side, FilterType::Triangle));
            }
        };
        let ours = || {
            for image in &ours {
                black_box(resize(image, side, side, Resampling::Bilinear));
            }
        };
        compare(
            &format!("resize to {side} x {side}"),
            "images",
            images.len(),
            ("image crate", plain),
            ("resize", ours),
        );
    }
    Ok(())
}
