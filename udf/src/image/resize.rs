//! [`resize`] scales pixels with Pillow's arithmetic, so that a model sees what it was trained on.

use std::ops::Range;

use multiversion::multiversion;

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
/// Each row is scaled, to 8-bit pixels, and then added to the rows of the result that it counts for, with 22-bit fixed-point
/// weights (Pillow, `Resample.c`). Beside the result there are 16 rows in memory, however long the picture is.
///
/// # Panics
/// When a side of either image is 0.
pub fn resize(image: &Rgb, width: u32, height: u32, filter: Filter) -> Rgb {
    assert!(image.width > 0 && image.height > 0 && width > 0 && height > 0, "an image has pixels");
    let (from_width, to_width) = (image.width as usize, width as usize);
    let across = (from_width != to_width).then(|| Taps::new(from_width, to_width, filter));
    let down = Taps::new(image.height as usize, height as usize, filter);
    // A block of the widest pictures would take more memory than they do.
    let cell = if from_width > WIDEST { 3 } else { CELL };
    let mut block = vec![0; from_width * cell];
    let mut scaled = vec![0; to_width * cell];
    let mut sums = vec![HALF; height as usize * to_width * 3];
    // The first row of the result that a row of the source still counts for.
    let mut open = 0;
    for (number, rows) in image.data.chunks(from_width * cell).enumerate() {
        let rows = match &across {
            None => rows,
            Some(taps) => {
                let scaled = &mut scaled[..rows.len() / from_width * to_width];
                match cell {
                    CELL => scale_rows::<CELL>(rows, &mut block, scaled, taps),
                    _ => scale_rows::<3>(rows, &mut block, scaled, taps),
                }
                scaled
            }
        };
        for (row, number) in rows.chunks_exact(to_width * 3).zip(number * (cell / 3)..) {
            open += (open..down.len()).take_while(|&position| down.get(position).0.end <= number).count();
            for position in open..down.len() {
                let (range, weights) = down.get(position);
                if range.start > number {
                    break;
                }
                if range.contains(&number) {
                    add_row(row, weights[number - range.start], &mut sums[position * row.len()..][..row.len()]);
                }
            }
        }
    }
    let mut data = vec![0; sums.len()];
    clip_all(&sums, &mut data);
    Rgb { width, height, data }
}

/// The pixels of 16 rows that stand one above the other: they are scaled together, in vectors of 16 numbers.
const CELL: usize = 16 * 3;
/// Pixels in a row for which that is done.
const WIDEST: usize = 1 << 15;

/// Fraction bits of a weight: 8 of the 32 hold the pixel, 2 are headroom for kernels that overshoot.
const PRECISION: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (PRECISION - 1);

/// For each output position: the source positions that count, and their weights.
struct Taps {
    ranges: Vec<Range<usize>>,
    weights: Vec<i32>,
    /// Weights per output position; the unused ones at its end are 0 and point at no pixel.
    stride: usize,
}

impl Taps {
    fn new(from: usize, to: usize, filter: Filter) -> Self {
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let stride = support.ceil() as usize * 2 + 1;
        let mut taps = Self { ranges: Vec::with_capacity(to), weights: vec![0; to * stride], stride };
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
            taps.ranges.push(first..first + used);
        }
        taps
    }

    fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Source positions and weights of an output position.
    fn get(&self, position: usize) -> (Range<usize>, &[i32]) {
        let range = self.ranges[position].clone();
        (range.clone(), &self.weights[position * self.stride..][..range.len()])
    }
}

/// `[rows, from, 3] -> [rows, to, 3]`, through `block`, `[from, CELL]`, of which a short last block fills a part.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn scale_rows<const CELL: usize>(from: &[u8], block: &mut [u8], to: &mut [u8], taps: &Taps) {
    let from_row = block.len() / CELL * 3;
    let to_row = taps.len() * 3;
    for (number, row) in from.chunks_exact(from_row).enumerate() {
        for (pixel, cell) in row.chunks_exact(3).zip(block.chunks_exact_mut(CELL)) {
            cell[number * 3..][..3].copy_from_slice(pixel);
        }
    }
    for position in 0..taps.len() {
        let (range, weights) = taps.get(position);
        let mut sums = [HALF; CELL];
        for (cell, &weight) in block[range.start * CELL..].chunks_exact(CELL).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(cell) {
                *sum += i32::from(value) * weight;
            }
        }
        let pixels = sums.map(clip);
        for (row, pixel) in to.chunks_exact_mut(to_row).zip(pixels.chunks_exact(3)) {
            row[position * 3..][..3].copy_from_slice(pixel);
        }
    }
}

/// A whole row at a time, which the compiler turns into vector instructions: those of the processor that runs it.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn add_row(row: &[u8], weight: i32, sums: &mut [i32]) {
    for (sum, &value) in sums.iter_mut().zip(row) {
        *sum += i32::from(value) * weight;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn clip_all(sums: &[i32], to: &mut [u8]) {
    for (value, &sum) in to.iter_mut().zip(sums) {
        *value = clip(sum);
    }
}

#[inline]
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
        for (from, to) in [
            ((7, 5), (3, 2)),
            ((3, 2), (7, 5)),
            ((50, 31), (32, 32)),
            ((1, 1), (4, 3)),
            ((9, 4), (9, 1)),
            ((40_000, 3), (5, 2)),
            ((5, 40), (2, 33)),
        ] {
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
