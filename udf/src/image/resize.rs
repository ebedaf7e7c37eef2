//! [`resize`] scales pixels with Pillow's arithmetic, so that a model sees what it was trained on.

use super::Rgb;

/// The kernel that weighs source pixels. Each is stretched when shrinking, so that every source pixel counts
/// (antialiasing).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filter {
    /// A triangle, one source pixel to each side.
    Bilinear,
}

impl Filter {
    /// How far the kernel reaches, in source pixels at scale 1.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
        }
    }

    fn weight(self, distance: f64) -> f64 {
        match self {
            Self::Bilinear => (1.0 - distance.abs()).max(0.0),
        }
    }
}

/// Scales to `width` x `height`, whatever the shape was: the pixels of Pillow's `Image.resize`, without a difference.
///
/// Two passes, rows first, with 8-bit pixels between them and 22-bit fixed-point weights (Pillow, `Resample.c`).
///
/// # Panics
/// When a side of either image is 0.
pub fn resize(image: &Rgb, width: u32, height: u32, filter: Filter) -> Rgb {
    assert!(image.width > 0 && image.height > 0 && width > 0 && height > 0, "an image has pixels");
    let (from_width, from_height) = (image.width as usize, image.height as usize);
    let (to_width, to_height) = (width as usize, height as usize);
    let rows = (from_width != to_width).then(|| {
        let taps = Taps::new(from_width, to_width, filter);
        let mut out = vec![0; from_height * to_width * 3];
        for (from, to) in image.data.chunks_exact(from_width * 3).zip(out.chunks_exact_mut(to_width * 3)) {
            scale_row(from, to, &taps);
        }
        out
    });
    let rows = rows.as_deref().unwrap_or(&image.data);
    let data = if from_height == to_height {
        rows.to_vec()
    } else {
        scale_columns(rows, to_width * 3, &Taps::new(from_height, to_height, filter))
    };
    Rgb { width, height, data }
}

/// Fraction bits of a weight: 8 of the 32 hold the pixel, 2 are headroom for kernels that overshoot.
const PRECISION: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (PRECISION - 1);

/// For each output position: the first source position and the weights from there on.
struct Taps {
    first: Vec<usize>,
    weights: Vec<i32>,
    /// Weights per output position; the unused ones at its end are 0 and point at no pixel.
    stride: usize,
    used: Vec<usize>,
}

impl Taps {
    fn new(from: usize, to: usize, filter: Filter) -> Self {
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let stride = support.ceil() as usize * 2 + 1;
        let mut taps = Self { first: vec![0; to], weights: vec![0; to * stride], stride, used: vec![0; to] };
        let mut exact = vec![0.0; stride];
        for position in 0..to {
            let center = (position as f64 + 0.5) * scale;
            // `as` truncates toward zero and saturates at 0, as the C casts and clamps do.
            let first = (center - support + 0.5) as usize;
            let used = ((center + support + 0.5) as usize).min(from) - first;
            for (tap, weight) in exact[..used].iter_mut().enumerate() {
                *weight = filter.weight(((tap + first) as f64 - center + 0.5) / stretch);
            }
            let sum: f64 = exact[..used].iter().sum();
            let weights = &mut taps.weights[position * stride..][..used];
            for (weight, exact) in weights.iter_mut().zip(&exact) {
                *weight = (exact / sum * f64::from(1 << PRECISION)).round() as i32;
            }
            taps.first[position] = first;
            taps.used[position] = used;
        }
        taps
    }

    /// `(first source position, weights)` of each output position.
    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.weights
            .chunks_exact(self.stride)
            .zip(self.first.iter().zip(&self.used))
            .map(|(weights, (&first, &used))| (first, &weights[..used]))
    }
}

/// `[from, 3] -> [to, 3]`
fn scale_row(from: &[u8], to: &mut [u8], taps: &Taps) {
    for (pixel, (first, weights)) in to.chunks_exact_mut(3).zip(taps.iter()) {
        let mut sums = [HALF; 3];
        for (source, &weight) in from[first * 3..].chunks_exact(3).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(source) {
                *sum += i32::from(value) * weight;
            }
        }
        pixel.copy_from_slice(&sums.map(clip));
    }
}

/// `[from, row] -> [to, row]`, whole rows at a time, which the compiler turns into vector instructions.
fn scale_columns(rows: &[u8], row: usize, taps: &Taps) -> Vec<u8> {
    let mut out = Vec::with_capacity(taps.first.len() * row);
    let mut sums = vec![HALF; row];
    for (first, weights) in taps.iter() {
        sums.fill(HALF);
        for (source, &weight) in rows[first * row..].chunks_exact(row).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(source) {
                *sum += i32::from(value) * weight;
            }
        }
        out.extend(sums.iter().map(|&sum| clip(sum)));
    }
    out
}

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One pixel at a time, in floating point, both passes; rounds between them as the fixed-point code does.
    fn reference_resize(image: &Rgb, width: u32, height: u32, filter: Filter) -> Vec<u8> {
        let pass = |data: &[f64], outer: usize, from: usize, to: usize, step: usize, outer_step: usize| {
            let (scale, stretch) = (from as f64 / to as f64, (from as f64 / to as f64).max(1.0));
            let mut out = vec![0.0; outer * to];
            for o in 0..outer {
                for position in 0..to {
                    let center = (position as f64 + 0.5) * scale;
                    let (mut sum, mut total) = (0.0, 0.0);
                    for source in 0..from {
                        let weight = filter.weight((source as f64 + 0.5 - center) / stretch);
                        sum += weight * data[o * outer_step + source * step];
                        total += weight;
                    }
                    out[o * to + position] = (sum / total).round();
                }
            }
            out
        };
        let (w, h) = (image.width as usize, image.height as usize);
        let mut out = vec![0; (width * height * 3) as usize];
        for channel in 0..3 {
            let plane: Vec<f64> = image.data.iter().skip(channel).step_by(3).map(|&v| f64::from(v)).collect();
            let rows = pass(&plane, h, w, width as usize, 1, w);
            // The second pass walks columns; its result is transposed.
            let columns = pass(&rows, width as usize, h, height as usize, width as usize, 1);
            for x in 0..width as usize {
                for y in 0..height as usize {
                    out[(y * width as usize + x) * 3 + channel] = columns[x * height as usize + y] as u8;
                }
            }
        }
        out
    }

    /// A picture with edges and gradients.
    fn picture(width: u32, height: u32) -> Rgb {
        let data = (0..height * width * 3).map(|i| ((i * 37) ^ (i / 7 * 11)) as u8).collect();
        Rgb { width, height, data }
    }

    #[test]
    fn agrees_with_the_reference() {
        for (from, to) in [((7, 5), (3, 2)), ((3, 2), (7, 5)), ((50, 31), (32, 32)), ((1, 1), (4, 3)), ((9, 4), (9, 1))]
        {
            let image = picture(from.0, from.1);
            let resized = resize(&image, to.0, to.1, Filter::Bilinear);
            let expected = reference_resize(&image, to.0, to.1, Filter::Bilinear);
            // A tie at .5 may fall on either side; the exact comparison is with Pillow, in the golden tests.
            let worst = resized.data.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(1), "{from:?} -> {to:?}: {worst:?}");
        }
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let image = picture(6, 4);
        assert_eq!(resize(&image, 6, 4, Filter::Bilinear), image);
    }

    #[test]
    fn a_flat_colour_stays() {
        let image = Rgb { width: 40, height: 30, data: [200, 100, 3].repeat(1200) };
        assert_eq!(resize(&image, 7, 11, Filter::Bilinear).data, [200, 100, 3].repeat(77));
    }
}
