//! [`phash`] and [`dhash`]: 64 bits that change little when a picture does.

use std::f64::consts::PI;

use super::{Filter, Rgb, resize};

/// Pixels on an edge of a hash.
const SIDE: usize = 8;

/// The perceptual hash: which of the 64 lowest frequencies of the picture, in gray and 32 x 32 pixels, are above their median.
///
/// The bits are those of `imagehash.phash`, the first the highest: the rows of the discrete cosine transform (type II) from the
/// top.
pub fn phash(image: &Rgb) -> u64 {
    const EDGE: usize = 32;
    let pixels: Vec<f64> = gray(image, EDGE, EDGE).into_iter().map(f64::from).collect();
    let mut frequencies = [0.0; SIDE * SIDE];
    let cosines: Vec<[f64; EDGE]> = (0..SIDE)
        .map(|k| std::array::from_fn(|n| 2.0 * (PI * k as f64 * (2 * n + 1) as f64 / (2 * EDGE) as f64).cos()))
        .collect();
    for (v, down) in cosines.iter().enumerate() {
        // Along the columns, then along that row.
        let column = |x: usize| down.iter().enumerate().map(|(y, weight)| weight * pixels[y * EDGE + x]).sum::<f64>();
        let row: [f64; EDGE] = std::array::from_fn(column);
        for (u, across) in cosines.iter().enumerate() {
            frequencies[v * SIDE + u] = across.iter().zip(&row).map(|(weight, value)| weight * value).sum();
        }
    }
    let mut sorted = frequencies;
    sorted.sort_by(f64::total_cmp);
    let median = (sorted[SIDE * SIDE / 2 - 1] + sorted[SIDE * SIDE / 2]) / 2.0;
    bits(frequencies.iter().map(|frequency| *frequency > median))
}

/// The difference hash: where the picture, in gray and 9 x 8 pixels, grows lighter from one pixel to the next on its right.
///
/// The bits are those of `imagehash.dhash`, the first the highest.
pub fn dhash(image: &Rgb) -> u64 {
    let pixels = gray(image, SIDE + 1, SIDE);
    bits(pixels.chunks_exact(SIDE + 1).flat_map(|row| row.windows(2).map(|pair| pair[1] > pair[0])))
}

fn bits(bits: impl Iterator<Item = bool>) -> u64 {
    bits.fold(0, |hash, bit| hash << 1 | u64::from(bit))
}

/// Pillow's `convert("L")` (ITU-R 601-2 luma) and `resize` with its Lanczos filter.
fn gray(image: &Rgb, width: usize, height: usize) -> Vec<u8> {
    let luma = |pixel: &[u8]| {
        let [red, green, blue] = [0, 1, 2].map(|channel| u32::from(pixel[channel]));
        [((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16) as u8; 3]
    };
    let data = image.data.chunks_exact(3).flat_map(luma).collect();
    let image = Rgb { data, ..*image };
    resize(&image, width as u32, height as u32, Filter::Lanczos).data.into_iter().step_by(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_grows_lighter() {
        let ramp = |step: fn(u8) -> u8| {
            let data = (0..8_u8).flat_map(|_| (0..9).flat_map(move |x| [step(x); 3])).collect();
            Rgb { width: 9, height: 8, data }
        };
        assert_eq!(dhash(&ramp(|x| x * 20)), u64::MAX);
        assert_eq!(dhash(&ramp(|x| 200 - x * 20)), 0);
        assert_eq!(dhash(&ramp(|_| 7)), 0);
    }

    #[test]
    fn a_flat_picture_has_one_frequency() {
        let flat = Rgb { width: 4, height: 3, data: vec![90; 36] };
        // The mean is the only one above the median, but for what is left of the rounding of cosines.
        assert_eq!(phash(&flat) >> 63, 1);
    }
}
