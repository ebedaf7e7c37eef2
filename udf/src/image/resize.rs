//! [`resize`] scales images with Pillow's arithmetic, because models are trained on images that Pillow scaled.

use std::ops::Range;

use multiversion::multiversion;

use super::{Resampling, RgbImage};

/// A rectangular region of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Left edge.
    pub left: u32,
    /// Top edge.
    pub top: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// Scales an image to `width` x `height`. The pixels equal those of Pillow's `Image.resize`.
///
/// # Panics
/// If a width or height is 0.
pub fn resize(image: &RgbImage, width: u32, height: u32, resampling: Resampling) -> RgbImage {
    resize_region(image, width, height, Region { left: 0, top: 0, width, height }, resampling)
}

/// Computes a region of the result of [`resize`] only. The pixels equal those of Pillow's `resize` followed by `crop`.
///
/// A separable filter with 22-bit fixed-point coefficients (Pillow, `Resample.c`). In addition to the result, memory for 16 rows is
/// needed.
///
/// # Panics
/// If a width or height is 0, or the region exceeds the scaled image.
pub fn resize_region(image: &RgbImage, width: u32, height: u32, region: Region, resampling: Resampling) -> RgbImage {
    assert!(image.width > 0 && image.height > 0 && region.width > 0 && region.height > 0, "images must not be empty");
    let columns = region.left as usize..(region.left + region.width) as usize;
    let rows = region.top as usize..(region.top + region.height) as usize;
    assert!(columns.end <= width as usize && rows.end <= height as usize, "the region must be within the scaled image");
    let data = if (image.width, image.height) == (width, height) {
        let row = |row: &[u8]| row[columns.start * 3..columns.end * 3].to_vec();
        image.data.chunks_exact(image.width as usize * 3).take(rows.end).skip(rows.start).flat_map(row).collect()
    } else if resampling == Resampling::Nearest {
        resample_nearest(image, width as usize, height as usize, columns, rows)
    } else {
        resample(image, width as usize, height as usize, columns, rows, resampling)
    };
    RgbImage { width: region.width, height: region.height, data }
}

/// Nearest-neighbour resampling.
fn resample_nearest(
    image: &RgbImage,
    width: usize,
    height: usize,
    columns: Range<usize>,
    rows: Range<usize>,
) -> Vec<u8> {
    // Pillow accumulates the step, including its rounding errors.
    let source_indices = |from: u32, to: usize, outputs: Range<usize>| -> Vec<usize> {
        let step = f64::from(from) / to as f64;
        let positions = std::iter::successors(Some(step * 0.5), |position| Some(position + step));
        let positions = positions.take(outputs.end).skip(outputs.start);
        positions.map(|position| (position as usize).min(from as usize - 1)).collect()
    };
    let columns = source_indices(image.width, width, columns);
    let mut data = Vec::with_capacity(columns.len() * rows.len() * 3);
    for row in source_indices(image.height, height, rows) {
        let row = &image.data[row * image.width as usize * 3..];
        columns.iter().for_each(|&column| data.extend_from_slice(&row[column * 3..][..3]));
    }
    data
}

/// Both passes of the separable filter.
///
/// The vertical pass is the first one if it reduces the image by more than the horizontal pass (since Pillow 13). The order matters: the
/// pixels between the passes are rounded.
fn resample(
    image: &RgbImage,
    width: usize,
    height: usize,
    columns: Range<usize>,
    rows: Range<usize>,
    resampling: Resampling,
) -> Vec<u8> {
    let removed_rows = i64::from(image.height) - height as i64;
    let removed_columns = i64::from(image.width) - width as i64;
    // With one pass there is no order.
    if removed_columns != 0 && removed_rows > 0 && removed_rows > 2 * removed_columns {
        resample_vertical_first(image, width, height, columns, rows, resampling)
    } else {
        resample_horizontal_first(image, width, height, columns, rows, resampling)
    }
}

/// The vertical pass, then the horizontal pass in blocks of its rows.
fn resample_vertical_first(
    image: &RgbImage,
    width: usize,
    height: usize,
    columns: Range<usize>,
    rows: Range<usize>,
    resampling: Resampling,
) -> Vec<u8> {
    let row_length = image.width as usize * 3;
    let horizontal = ResampleCoefficients::new(image.width as usize, width, columns, resampling);
    let vertical = ResampleCoefficients::new(image.height as usize, height, rows, resampling);
    let lanes = lanes_of(image.width as usize);
    let mut block = vec![0; image.width as usize * lanes];
    let mut reduced = vec![0; row_length * (lanes / 3)];
    let mut sums = vec![0; row_length];
    let to_row = horizontal.len() * 3;
    let mut data = vec![0; vertical.len() * to_row];
    for (block_index, to) in data.chunks_mut(to_row * (lanes / 3)).enumerate() {
        let reduced = &mut reduced[..to.len() / to_row * row_length];
        for (index, row) in reduced.chunks_exact_mut(row_length).enumerate() {
            let (range, weights) = vertical.get(block_index * (lanes / 3) + index);
            sums.fill(ROUND_HALF);
            for (source_row, &weight) in range.zip(weights) {
                accumulate_row(&image.data[source_row * row_length..][..row_length], weight, &mut sums);
            }
            clip_all(&sums, row);
        }
        scale_block(lanes, reduced, &mut block, to, &horizontal);
    }
    data
}

/// The horizontal pass of blocks of source rows from top to bottom, which are accumulated into the rows of the result.
fn resample_horizontal_first(
    image: &RgbImage,
    width: usize,
    height: usize,
    columns: Range<usize>,
    rows: Range<usize>,
    resampling: Resampling,
) -> Vec<u8> {
    let from_width = image.width as usize;
    let to_width = columns.len();
    let horizontal =
        (from_width != width).then(|| ResampleCoefficients::new(from_width, width, columns.clone(), resampling));
    let vertical = ResampleCoefficients::new(image.height as usize, height, rows, resampling);
    let lanes = lanes_of(from_width);
    let mut block = vec![0; from_width * lanes];
    let mut scaled = vec![0; to_width * lanes];
    let mut sums = vec![ROUND_HALF; vertical.len() * to_width * 3];
    let source_rows = vertical.ranges[0].start..vertical.ranges[vertical.len() - 1].end;
    let source = &image.data[source_rows.start * from_width * 3..source_rows.end * from_width * 3];
    // The first output row that is not complete.
    let mut first_open = 0;
    for (block_index, rows) in source.chunks(from_width * lanes).enumerate() {
        let count = rows.len() / (from_width * 3);
        let scaled = &mut scaled[..count * to_width * 3];
        match &horizontal {
            None => {
                for (from, to) in rows.chunks_exact(from_width * 3).zip(scaled.chunks_exact_mut(to_width * 3)) {
                    to.copy_from_slice(&from[columns.start * 3..columns.end * 3]);
                }
            }
            Some(coefficients) => scale_block(lanes, rows, &mut block, scaled, coefficients),
        }
        let first_row = source_rows.start + block_index * (lanes / 3);
        for (row, source_row) in scaled.chunks_exact(to_width * 3).zip(first_row..) {
            first_open +=
                (first_open..vertical.len()).take_while(|&output| vertical.get(output).0.end <= source_row).count();
            for output in first_open..vertical.len() {
                let (range, weights) = vertical.get(output);
                if range.start > source_row {
                    break;
                }
                if range.contains(&source_row) {
                    accumulate_row(
                        row,
                        weights[source_row - range.start],
                        &mut sums[output * row.len()..][..row.len()],
                    );
                }
            }
        }
    }
    let mut data = vec![0; sums.len()];
    clip_all(&sums, &mut data);
    data
}

/// Values of a pixel column in a block of 16 rows, which are scaled together in vector registers.
const BLOCK_LANES: usize = 16 * 3;
/// The largest width for which rows are scaled in blocks.
const MAX_BLOCKED_WIDTH: usize = 1 << 15;

/// Fraction bits of a coefficient (Pillow's `PRECISION_BITS`): of 32 bits, 8 hold the pixel, and 2 are headroom for filters that
/// overshoot.
const PRECISION_BITS: u32 = 32 - 8 - 2;
/// The initial value of each sum, so that the shift in [`clip`] rounds to nearest.
const ROUND_HALF: i32 = 1 << (PRECISION_BITS - 1);

/// The filter coefficients of one direction (Pillow's `precompute_coeffs`).
struct ResampleCoefficients {
    /// For each output index, the source indices that contribute.
    ranges: Vec<Range<usize>>,
    /// `[outputs, stride]`, zero-padded.
    weights: Vec<i32>,
    /// The largest number of weights per output index.
    stride: usize,
}

impl ResampleCoefficients {
    /// The coefficients for scaling `from` to `to` pixels, for the output indices `outputs` only.
    fn new(from: usize, to: usize, outputs: Range<usize>, resampling: Resampling) -> Self {
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let support = resampling.support() * stretch;
        let stride = support.ceil() as usize * 2 + 1;
        let mut coefficients = Self { ranges: Vec::new(), weights: vec![0; outputs.len() * stride], stride };
        let mut exact = vec![0.0; stride];
        for (index, output) in outputs.enumerate() {
            let center = (output as f64 + 0.5) * scale;
            // `as` truncates toward zero and saturates at 0, like the C casts and clamps of Pillow.
            let first = (center - support + 0.5) as usize;
            let used = ((center + support + 0.5) as usize).min(from) - first;
            for (tap, weight) in exact[..used].iter_mut().enumerate() {
                *weight = resampling.weight(((tap + first) as f64 - center + 0.5) * (1.0 / stretch));
            }
            let sum: f64 = exact[..used].iter().sum();
            let weights = &mut coefficients.weights[index * stride..][..used];
            for (weight, exact) in weights.iter_mut().zip(&exact) {
                let normalized = if sum == 0.0 { *exact } else { exact / sum };
                *weight = (normalized * f64::from(1 << PRECISION_BITS)).round() as i32;
            }
            coefficients.ranges.push(first..first + used);
        }
        coefficients
    }

    /// The number of output indices.
    fn len(&self) -> usize {
        self.ranges.len()
    }

    /// The source indices and weights of an output index.
    fn get(&self, output: usize) -> (Range<usize>, &[i32]) {
        let range = self.ranges[output].clone();
        (range.clone(), &self.weights[output * self.stride..][..range.len()])
    }
}

/// The values of a pixel column in a block of rows of a width. A block of very wide rows would take more memory than the image: those are
/// scaled one by one.
fn lanes_of(width: usize) -> usize {
    if width > MAX_BLOCKED_WIDTH { 3 } else { BLOCK_LANES }
}

/// [`scale_rows`] of a block with a number of lanes that [`lanes_of`] returns.
fn scale_block(lanes: usize, from: &[u8], block: &mut [u8], to: &mut [u8], coefficients: &ResampleCoefficients) {
    if lanes == BLOCK_LANES {
        scale_rows::<BLOCK_LANES>(from, block, to, coefficients);
    } else {
        scale_rows::<3>(from, block, to, coefficients);
    }
}

/// The horizontal pass of a block of rows: `[rows, from, 3] -> [rows, to, 3]`.
///
/// `block` is scratch memory for the transposed rows, `[from, LANES]`. The last block of an image may have fewer rows.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn scale_rows<const LANES: usize>(from: &[u8], block: &mut [u8], to: &mut [u8], coefficients: &ResampleCoefficients) {
    let from_row = block.len() / LANES * 3;
    let to_row = coefficients.len() * 3;
    for (index, row) in from.chunks_exact(from_row).enumerate() {
        for (pixel, lanes) in row.chunks_exact(3).zip(block.chunks_exact_mut(LANES)) {
            lanes[index * 3..][..3].copy_from_slice(pixel);
        }
    }
    for output in 0..coefficients.len() {
        let (range, weights) = coefficients.get(output);
        let mut sums = [ROUND_HALF; LANES];
        for (lanes, &weight) in block[range.start * LANES..].chunks_exact(LANES).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(lanes) {
                *sum += i32::from(value) * weight;
            }
        }
        let pixels = sums.map(clip);
        for (row, pixel) in to.chunks_exact_mut(to_row).zip(pixels.chunks_exact(3)) {
            row[output * 3..][..3].copy_from_slice(pixel);
        }
    }
}

/// The vertical pass of one row: adds `weight * row` to `sums`. The compiler vectorizes it for each target.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn accumulate_row(row: &[u8], weight: i32, sums: &mut [i32]) {
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

/// Converts a fixed-point sum to a pixel value (Pillow's `clip8`).
#[inline]
fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both passes in floating point, pixel by pixel, rounded after each pass like the fixed-point code.
    fn reference_resize(image: &RgbImage, width: u32, height: u32, resampling: Resampling) -> Vec<u8> {
        let pass = |data: &[f64], outer: usize, from: usize, to: usize, step: usize, outer_step: usize| {
            let (scale, stretch) = (from as f64 / to as f64, (from as f64 / to as f64).max(1.0));
            let mut out = vec![0.0; outer * to];
            for o in 0..outer {
                for position in 0..to {
                    let center = (position as f64 + 0.5) * scale;
                    let (mut sum, mut total) = (0.0, 0.0);
                    for source in 0..from {
                        let weight = resampling.weight((source as f64 + 0.5 - center) / stretch);
                        sum += weight * data[o * outer_step + source * step];
                        total += weight;
                    }
                    out[o * to + position] = (sum / total).round().clamp(0.0, 255.0);
                }
            }
            out
        };
        let (w, h) = (image.width as usize, image.height as usize);
        let mut out = vec![0; (width * height * 3) as usize];
        for channel in 0..3 {
            let plane: Vec<f64> = image.data.iter().skip(channel).step_by(3).map(|&v| f64::from(v)).collect();
            let (to_w, to_h) = (width as usize, height as usize);
            let vertical_first = h > to_h && (h - to_h) as i64 > 2 * (w as i64 - to_w as i64);
            // A pass over columns returns its result transposed.
            let pixel: Box<dyn Fn(usize, usize) -> f64> = if vertical_first {
                let columns = pass(&plane, w, h, to_h, w, 1);
                let rows = pass(&columns, to_h, w, to_w, to_h, 1);
                Box::new(move |x, y| rows[y * to_w + x])
            } else {
                let rows = pass(&plane, h, w, to_w, 1, w);
                let columns = pass(&rows, to_w, h, to_h, to_w, 1);
                Box::new(move |x, y| columns[x * to_h + y])
            };
            for y in 0..to_h {
                for x in 0..to_w {
                    out[(y * to_w + x) * 3 + channel] = pixel(x, y) as u8;
                }
            }
        }
        out
    }

    /// An image with edges and gradients.
    fn test_image(width: u32, height: u32) -> RgbImage {
        let data = (0..height * width * 3).map(|i| ((i * 37) ^ (i / 7 * 11)) as u8).collect();
        RgbImage { width, height, data }
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
            ((30, 50), (30, 12)),
            ((30, 200), (20, 41)),
            ((30, 20), (33, 10)),
        ] {
            for resampling in
                [Resampling::Box, Resampling::Bilinear, Resampling::Hamming, Resampling::Bicubic, Resampling::Lanczos]
            {
                let image = test_image(from.0, from.1);
                let resized = resize(&image, to.0, to.1, resampling);
                let expected = reference_resize(&image, to.0, to.1, resampling);
                // Ties at .5 may round either way; the golden tests compare with Pillow exactly.
                let worst = resized.data.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(worst <= Some(1), "{from:?} -> {to:?}, {resampling:?}: {worst:?}");
            }
        }
    }

    #[test]
    fn region_equals_crop_of_resized_image() {
        let image = test_image(50, 31);
        for (_, resampling) in Resampling::NAMES {
            for (width, height) in [(32, 32), (50, 31), (50, 12), (13, 31), (90, 80)] {
                let resized = resize(&image, width, height, resampling);
                let region = Region { left: 3, top: 2, width: width - 5, height: height - 9 };
                let cropped = resize_region(&image, width, height, region, resampling);
                for (y, row) in cropped.data.chunks_exact(cropped.width as usize * 3).enumerate() {
                    let start = (y + 2) * width as usize + 3;
                    assert_eq!(
                        row,
                        &resized.data[start * 3..][..row.len()],
                        "{resampling:?} {width} x {height}, row {y}"
                    );
                }
            }
        }
    }

    #[test]
    fn rows_of_wide_images_are_scaled_one_by_one() {
        // Each row has one colour, so that the result does not depend on the width.
        let image = |width: u32| {
            let row = |y: u8| std::iter::repeat_n([y * 40, 200 - y * 30, 7], width as usize).flatten();
            RgbImage { width, height: 6, data: (0..6).flat_map(row).collect() }
        };
        let wide = resize(&image(40_000), 40_001, 2, Resampling::Bicubic);
        let narrow = resize(&image(40), 41, 2, Resampling::Bicubic);
        assert_eq!(wide.data[..3], narrow.data[..3]);
        assert_eq!(wide.data[wide.data.len() - 3..], narrow.data[narrow.data.len() - 3..]);
    }

    #[test]
    fn same_size_is_identity() {
        let image = test_image(6, 4);
        assert_eq!(resize(&image, 6, 4, Resampling::Bilinear), image);
    }

    #[test]
    fn uniform_colour_is_preserved() {
        let image = RgbImage { width: 40, height: 30, data: [200, 100, 3].repeat(1200) };
        for (_, resampling) in Resampling::NAMES {
            assert_eq!(resize(&image, 7, 11, resampling).data, [200, 100, 3].repeat(77), "{resampling:?}");
        }
    }
}
