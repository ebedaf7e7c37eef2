//! [`resize`] scales pixels with Pillow's arithmetic, so that a model sees what it was trained on.

use std::f64::consts::PI;
use std::ops::Range;

use multiversion::multiversion;

use super::Rgb;

/// The kernel that weighs source pixels, with Pillow's names. Each is stretched when shrinking, so that every source pixel
/// counts (antialiasing), but for [`Nearest`](Self::Nearest).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Filter {
    /// The source pixel below the middle of each pixel.
    Nearest,
    /// All source pixels below a pixel, alike.
    Box,
    /// A triangle, one source pixel to each side.
    Bilinear,
    /// A sinc under Hamming's window, one source pixel to each side.
    Hamming,
    /// A cubic with a = -0.5, two source pixels to each side.
    Bicubic,
    /// A sinc under the wider sinc's window, three source pixels to each side.
    Lanczos,
}

impl Filter {
    /// By Pillow's number, which is what models' configurations have.
    pub fn from_pillow(number: u64) -> Option<Self> {
        [Self::Nearest, Self::Lanczos, Self::Bilinear, Self::Bicubic, Self::Box, Self::Hamming]
            .get(usize::try_from(number).ok()?)
            .copied()
    }

    /// Every filter with its name in lower case.
    pub const NAMED: [(&str, Self); 6] = [
        ("nearest", Self::Nearest),
        ("box", Self::Box),
        ("bilinear", Self::Bilinear),
        ("hamming", Self::Hamming),
        ("bicubic", Self::Bicubic),
        ("lanczos", Self::Lanczos),
    ];

    /// By its name, whatever the case of its letters.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, filter)| *filter)
    }

    /// In lower case.
    pub fn name(self) -> &'static str {
        Self::NAMED.iter().find(|(_, filter)| *filter == self).map_or("", |(name, _)| name)
    }

    /// How far the kernel reaches, in source pixels at scale 1.
    fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Nearest => 0.0,
            Self::Box if distance > -0.5 && distance <= 0.5 => 1.0,
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Hamming if x == 0.0 => 1.0,
            Self::Hamming if x < 1.0 => sinc(x) * (0.54 + 0.46 * (x * PI).cos()),
            Self::Bicubic if x < 1.0 => ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * CUBIC,
            Self::Lanczos if (-3.0..3.0).contains(&distance) => sinc(distance) * sinc(distance / 3.0),
            Self::Box | Self::Hamming | Self::Bicubic | Self::Lanczos => 0.0,
        }
    }
}

/// The parameter of the cubic kernels; other libraries have -0.75.
const CUBIC: f64 = -0.5;

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

/// A part of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Pixels to its left.
    pub left: u32,
    /// Rows above it.
    pub top: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// Scales to `width` x `height`, whatever the shape was: the pixels of Pillow's `Image.resize`, without a difference.
///
/// # Panics
/// When a side of either image is 0.
pub fn resize(image: &Rgb, width: u32, height: u32, filter: Filter) -> Rgb {
    resize_region(image, width, height, Region { left: 0, top: 0, width, height }, filter)
}

/// A part of what [`resize`] gives, for the price of that part: the pixels of Pillow's `resize` and `crop`.
///
/// Each row is scaled, to 8-bit pixels, and then added to the rows of the result that it counts for, with 22-bit fixed-point
/// weights (Pillow, `Resample.c`). Beside the result there are 16 rows in memory, however long the picture is.
///
/// # Panics
/// When a side is 0, or the region reaches beyond the scaled picture.
pub fn resize_region(image: &Rgb, width: u32, height: u32, region: Region, filter: Filter) -> Rgb {
    assert!(image.width > 0 && image.height > 0 && region.width > 0 && region.height > 0, "an image has pixels");
    let columns = region.left as usize..(region.left + region.width) as usize;
    let rows = region.top as usize..(region.top + region.height) as usize;
    assert!(columns.end <= width as usize && rows.end <= height as usize, "the region is a part of the picture");
    let data = if (image.width, image.height) == (width, height) {
        let row = |row: &[u8]| row[columns.start * 3..columns.end * 3].to_vec();
        image.data.chunks_exact(image.width as usize * 3).take(rows.end).skip(rows.start).flat_map(row).collect()
    } else if filter == Filter::Nearest {
        nearest(image, width as usize, height as usize, columns, rows)
    } else {
        filtered(image, width as usize, height as usize, columns, rows, filter)
    };
    Rgb { width: region.width, height: region.height, data }
}

/// The source pixels below the middles of the wanted ones.
fn nearest(image: &Rgb, width: usize, height: usize, columns: Range<usize>, rows: Range<usize>) -> Vec<u8> {
    // Pillow adds up the steps, and their rounding errors.
    let positions = |from: u32, to: usize, wanted: Range<usize>| -> Vec<usize> {
        let step = f64::from(from) / to as f64;
        let all = std::iter::successors(Some(step * 0.5), |position| Some(position + step));
        all.take(wanted.end).skip(wanted.start).map(|position| (position as usize).min(from as usize - 1)).collect()
    };
    let columns = positions(image.width, width, columns);
    let mut data = Vec::with_capacity(columns.len() * rows.len() * 3);
    for row in positions(image.height, height, rows) {
        let row = &image.data[row * image.width as usize * 3..];
        columns.iter().for_each(|&column| data.extend_from_slice(&row[column * 3..][..3]));
    }
    data
}

/// Both passes, one row of the source after the other.
fn filtered(
    image: &Rgb,
    width: usize,
    height: usize,
    columns: Range<usize>,
    rows: Range<usize>,
    filter: Filter,
) -> Vec<u8> {
    let from_width = image.width as usize;
    let to_width = columns.len();
    let across = (from_width != width).then(|| Taps::new(from_width, width, columns.clone(), filter));
    let down = Taps::new(image.height as usize, height, rows, filter);
    // A block of the widest pictures would take more memory than they do.
    let cell = if from_width > WIDEST { 3 } else { CELL };
    let mut block = vec![0; from_width * cell];
    let mut scaled = vec![0; to_width * cell];
    let mut sums = vec![HALF; down.len() * to_width * 3];
    let wanted = down.ranges[0].start..down.ranges[down.len() - 1].end;
    let source = &image.data[wanted.start * from_width * 3..wanted.end * from_width * 3];
    // The first row of the result that a row of the source still counts for.
    let mut open = 0;
    for (number, rows) in source.chunks(from_width * cell).enumerate() {
        let count = rows.len() / (from_width * 3);
        let scaled = &mut scaled[..count * to_width * 3];
        match &across {
            None => {
                for (from, to) in rows.chunks_exact(from_width * 3).zip(scaled.chunks_exact_mut(to_width * 3)) {
                    to.copy_from_slice(&from[columns.start * 3..columns.end * 3]);
                }
            }
            Some(taps) if cell == CELL => scale_rows::<CELL>(rows, &mut block, scaled, taps),
            Some(taps) => scale_rows::<3>(rows, &mut block, scaled, taps),
        }
        for (row, number) in scaled.chunks_exact(to_width * 3).zip(wanted.start + number * (cell / 3)..) {
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
    data
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
    /// For some of the positions.
    fn new(from: usize, to: usize, positions: Range<usize>, filter: Filter) -> Self {
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let stride = support.ceil() as usize * 2 + 1;
        let mut taps = Self { ranges: Vec::new(), weights: vec![0; positions.len() * stride], stride };
        let mut exact = vec![0.0; stride];
        for (number, position) in positions.enumerate() {
            let center = (position as f64 + 0.5) * scale;
            // `as` truncates toward zero and saturates at 0, as the C casts and clamps do.
            let first = (center - support + 0.5) as usize;
            let used = ((center + support + 0.5) as usize).min(from) - first;
            for (tap, weight) in exact[..used].iter_mut().enumerate() {
                *weight = filter.weight(((tap + first) as f64 - center + 0.5) * (1.0 / stretch));
            }
            let sum: f64 = exact[..used].iter().sum();
            let weights = &mut taps.weights[number * stride..][..used];
            for (weight, exact) in weights.iter_mut().zip(&exact) {
                *weight = (if sum == 0.0 { *exact } else { exact / sum } * f64::from(1 << PRECISION)).round() as i32;
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
                    out[o * to + position] = (sum / total).round().clamp(0.0, 255.0);
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
            for filter in [Filter::Box, Filter::Bilinear, Filter::Hamming, Filter::Bicubic, Filter::Lanczos] {
                let image = picture(from.0, from.1);
                let resized = resize(&image, to.0, to.1, filter);
                let expected = reference_resize(&image, to.0, to.1, filter);
                // A tie at .5 may fall on either side; the exact comparison is with Pillow, in the golden tests.
                let worst = resized.data.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(worst <= Some(1), "{from:?} -> {to:?}, {filter:?}: {worst:?}");
            }
        }
    }

    #[test]
    fn a_region_is_a_part_of_the_whole() {
        let image = picture(50, 31);
        for (_, filter) in Filter::NAMED {
            for (width, height) in [(32, 32), (50, 31), (50, 12), (13, 31), (90, 80)] {
                let whole = resize(&image, width, height, filter);
                let region = Region { left: 3, top: 2, width: width - 5, height: height - 9 };
                let part = resize_region(&image, width, height, region, filter);
                for (y, row) in part.data.chunks_exact(part.width as usize * 3).enumerate() {
                    let start = (y + 2) * width as usize + 3;
                    assert_eq!(row, &whole.data[start * 3..][..row.len()], "{filter:?} {width} x {height}, row {y}");
                }
            }
        }
    }

    #[test]
    fn filters_have_names_and_numbers() {
        for (number, name) in ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"].iter().enumerate() {
            let filter = Filter::from_pillow(number as u64).unwrap();
            assert_eq!((filter.name(), Filter::from_name(&name.to_uppercase())), (*name, Some(filter)));
        }
        assert_eq!((Filter::from_pillow(6), Filter::from_name("cubic")), (None, None));
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let image = picture(6, 4);
        assert_eq!(resize(&image, 6, 4, Filter::Bilinear), image);
    }

    #[test]
    fn a_flat_colour_stays() {
        let image = Rgb { width: 40, height: 30, data: [200, 100, 3].repeat(1200) };
        for (_, filter) in Filter::NAMED {
            assert_eq!(resize(&image, 7, 11, filter).data, [200, 100, 3].repeat(77), "{filter:?}");
        }
    }
}
