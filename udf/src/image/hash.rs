//! [`phash`] and [`dhash`]: 64-bit perceptual hashes.

use std::f64::consts::PI;

use super::{Resampling, RgbImage, resize};

/// Bits along each edge of a hash (`hash_size` in Python's imagehash).
const HASH_SIZE: usize = 8;

/// The DCT-based perceptual hash `imagehash.phash`.
///
/// The image is scaled to 32 x 32 luma pixels. Each bit tells whether one of the 8 x 8 lowest frequencies of the discrete cosine
/// transform (DCT-II) is above their median. The bits are in row-major order, with the first one as the most significant.
pub fn phash(image: &RgbImage) -> u64 {
    const IMAGE_SIZE: usize = 32;
    let pixels: Vec<f64> = resize_luma(image, IMAGE_SIZE, IMAGE_SIZE).into_iter().map(f64::from).collect();
    let mut frequencies = [0.0; HASH_SIZE * HASH_SIZE];
    let cosines: Vec<[f64; IMAGE_SIZE]> = (0..HASH_SIZE)
        .map(|k| std::array::from_fn(|n| 2.0 * (PI * k as f64 * (2 * n + 1) as f64 / (2 * IMAGE_SIZE) as f64).cos()))
        .collect();
    for (v, vertical) in cosines.iter().enumerate() {
        // Transforms the columns, then the resulting row.
        let column =
            |x: usize| vertical.iter().enumerate().map(|(y, weight)| weight * pixels[y * IMAGE_SIZE + x]).sum::<f64>();
        let row: [f64; IMAGE_SIZE] = std::array::from_fn(column);
        for (u, horizontal) in cosines.iter().enumerate() {
            let frequency: f64 = horizontal.iter().zip(&row).map(|(weight, value)| weight * value).sum();
            frequencies[v * HASH_SIZE + u] = if frequency.abs() < ROUNDING_ERROR { 0.0 } else { frequency };
        }
    }
    let mut sorted = frequencies;
    sorted.sort_by(f64::total_cmp);
    let median = (sorted[HASH_SIZE * HASH_SIZE / 2 - 1] + sorted[HASH_SIZE * HASH_SIZE / 2]) / 2.0;
    pack_bits(frequencies.iter().map(|frequency| *frequency > median))
}

/// Smaller frequencies are 0: the sums of up to 2^18 have rounding errors of about 1e-9. Plain images and symmetric ones have many such
/// frequencies, whose bits would be random.
const ROUNDING_ERROR: f64 = 1e-6;

/// The difference hash `imagehash.dhash`.
///
/// The image is scaled to 9 x 8 luma pixels. Each bit tells whether a pixel is darker than its right neighbour. The bits are in
/// row-major order, with the first one as the most significant.
pub fn dhash(image: &RgbImage) -> u64 {
    let pixels = resize_luma(image, HASH_SIZE + 1, HASH_SIZE);
    pack_bits(pixels.chunks_exact(HASH_SIZE + 1).flat_map(|row| row.windows(2).map(|pair| pair[1] > pair[0])))
}

fn pack_bits(bits: impl Iterator<Item = bool>) -> u64 {
    bits.fold(0, |hash, bit| hash << 1 | u64::from(bit))
}

/// Pillow's `convert("L")` (ITU-R 601-2 luma) followed by `resize` with the Lanczos filter.
fn resize_luma(image: &RgbImage, width: usize, height: usize) -> Vec<u8> {
    let luma = |pixel: &[u8]| {
        let [red, green, blue] = [0, 1, 2].map(|channel| u32::from(pixel[channel]));
        [((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16) as u8; 3]
    };
    let data = image.data.chunks_exact(3).flat_map(luma).collect();
    let image = RgbImage { data, ..*image };
    resize(&image, width as u32, height as u32, Resampling::Lanczos).data.into_iter().step_by(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dhash_compares_horizontal_neighbours() {
        let ramp = |step: fn(u8) -> u8| {
            let data = (0..8_u8).flat_map(|_| (0..9).flat_map(move |x| [step(x); 3])).collect();
            RgbImage { width: 9, height: 8, data }
        };
        assert_eq!(dhash(&ramp(|x| x * 20)), u64::MAX);
        assert_eq!(dhash(&ramp(|x| 200 - x * 20)), 0);
        assert_eq!(dhash(&ramp(|_| 7)), 0);
    }

    #[test]
    fn plain_images_have_the_hash_of_imagehash() {
        let image = |size: u32, luma: fn(u32, u32) -> u8| {
            let data = (0..size).flat_map(|y| (0..size).flat_map(move |x| [luma(x, y); 3])).collect();
            phash(&RgbImage { width: size, height: size, data })
        };
        // Of imagehash 4.3.2 with Pillow 13.0.0 and SciPy 1.17.1.
        for value in [1, 90, 255] {
            let uniform = RgbImage { width: 4, height: 3, data: vec![value; 36] };
            assert_eq!(phash(&uniform), 0x8000_0000_0000_0000, "{value}");
        }
        assert_eq!(phash(&RgbImage { width: 4, height: 3, data: vec![0; 36] }), 0);
        assert_eq!(image(64, |x, _| x as u8 * 4), 0x8000_0000_0000_0000, "gradient");
        assert_eq!(image(64, |x, y| ((x / 8 + y / 8) % 2 * 255) as u8), 0x8000_0000_0000_0000, "checkerboard");
        assert_eq!(image(64, |_, y| if y < 32 { 255 } else { 0 }), 0x8080_0000_0080_0000, "upper half");
    }
}
