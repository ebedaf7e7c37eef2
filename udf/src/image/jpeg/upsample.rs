//! [`UpsampledPlane`] scales a component to the size of the image, with the arithmetic of libjpeg-turbo (`jdsample.c`).

use multiversion::multiversion;

use super::frame::Frame;
use super::planes::Plane;
use super::scale::Scale;

/// How a component is scaled to the size of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upsampling {
    None,
    /// Doubles the width: three quarters of the nearest sample and one of the next one.
    Horizontal,
    /// Doubles the height in the same way.
    Vertical,
    /// Doubles both in the same way.
    Both,
    /// Repeats each sample.
    Repeat {
        horizontal: usize,
        vertical: usize,
    },
}

impl Upsampling {
    /// `ratio` is that of the image to the component, whose samples have a certain width.
    fn new(ratio: (usize, usize), width: usize, is_interpolated: bool) -> Self {
        // Narrower components are not interpolated horizontally.
        const MIN_INTERPOLATED_WIDTH: usize = 3;
        match ratio {
            (1, 1) => Self::None,
            (1, 2) if is_interpolated => Self::Vertical,
            (2, 1) if is_interpolated && width >= MIN_INTERPOLATED_WIDTH => Self::Horizontal,
            (2, 2) if is_interpolated && width >= MIN_INTERPOLATED_WIDTH => Self::Both,
            (horizontal, vertical) => Self::Repeat { horizontal, vertical },
        }
    }
}

/// The number of pixels that are converted together, in vector registers.
const LANES: usize = 32;

/// A component, of which one row at a time has the width of the image, or is wider.
pub(super) struct UpsampledPlane<'a> {
    plane: &'a Plane,
    upsampling: Upsampling,
    /// The row, unless it is one of the plane.
    buffer: Vec<u8>,
    /// Sums of two rows, with one more at each end.
    sums: Vec<u16>,
    y: usize,
}

impl<'a> UpsampledPlane<'a> {
    /// The planes of all components of a frame.
    pub(super) fn all(planes: &'a [Plane], frame: &Frame) -> Vec<Self> {
        // As in libjpeg, the means of whole blocks are repeated.
        let is_interpolated = frame.scale != Scale::Eighth;
        planes
            .iter()
            .zip(&frame.components)
            .map(|(plane, component)| Self::new(plane, frame.pixels_per_sample(component), is_interpolated))
            .collect()
    }

    fn new(plane: &'a Plane, ratio: (usize, usize), is_interpolated: bool) -> Self {
        let upsampling = Upsampling::new(ratio, plane.size.0, is_interpolated);
        Self { plane, upsampling, buffer: vec![0; plane.stride * ratio.0], sums: vec![0; plane.size.0 + 2], y: 0 }
    }

    pub(super) fn row(&self) -> &[u8] {
        if self.upsampling == Upsampling::None { self.plane_row(self.y) } else { &self.buffer }
    }

    fn plane_row(&self, y: usize) -> &'a [u8] {
        let start = y.min(self.plane.size.1.saturating_sub(1)) * self.plane.stride;
        self.plane.samples.get(start..).and_then(|rest| rest.get(..self.plane.size.0)).unwrap_or_default()
    }

    /// The row of the component that is nearest to a row of twice the height, and that on its other side.
    fn near_and_far(&self, y: usize) -> (&'a [u8], &'a [u8]) {
        let near = y / 2;
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { near + 1 };
        (self.plane_row(near), self.plane_row(far))
    }

    /// Computes the row `y` of the image.
    pub(super) fn seek(&mut self, y: usize) {
        self.y = y;
        match self.upsampling {
            Upsampling::None => {}
            Upsampling::Horizontal => {
                let row = self.plane_row(y);
                set_sums(row, row, 1, 0, &mut self.sums);
                double_width::<2>(&self.sums, [1, 2], &mut self.buffer);
            }
            Upsampling::Both => {
                let (near, far) = self.near_and_far(y);
                set_sums(near, far, 3, 1, &mut self.sums);
                double_width::<4>(&self.sums, [8, 7], &mut self.buffer);
            }
            Upsampling::Vertical => {
                let (near, far) = self.near_and_far(y);
                let round = if y.is_multiple_of(2) { 1 } else { 2 };
                for (value, (&near, &far)) in self.buffer.iter_mut().zip(near.iter().zip(far)) {
                    *value = ((u16::from(near) * 3 + u16::from(far) + round) >> 2) as u8;
                }
            }
            Upsampling::Repeat { horizontal, vertical } => {
                let row = self.plane_row(y / vertical);
                for (values, &value) in self.buffer.chunks_exact_mut(horizontal).zip(row) {
                    values.fill(value);
                }
            }
        }
    }
}

/// `near * near_weight + far * far_weight`, with the first and the last sum repeated. The weights are at most 3, so that no sum exceeds 16
/// bits.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn set_sums(near: &[u8], far: &[u8], near_weight: u16, far_weight: u16, sums: &mut [u16]) {
    let Some(inner) = sums.get_mut(1..) else { return };
    for (sum, (&near, &far)) in inner.iter_mut().zip(near.iter().zip(far)) {
        *sum = u16::from(near).wrapping_mul(near_weight).wrapping_add(u16::from(far).wrapping_mul(far_weight));
    }
    if let [first, second, ..] = sums {
        *first = *second;
    }
    if let [.., second_last, last] = sums {
        *last = *second_last;
    }
}

/// Two values between each sum and its neighbours: three quarters of the sum and one of the neighbour, divided by `1 << SHIFT`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn double_width<const SHIFT: u32>(sums: &[u16], round: [u16; 2], values: &mut [u8]) {
    let pairs = values.as_chunks_mut::<2>().0;
    let (blocks, _) = pairs.as_chunks_mut::<LANES>();
    let mut doubled = 0;
    for block in blocks {
        let Some(window) = sums.get(doubled..).and_then(<[u16]>::first_chunk::<{ LANES + 2 }>) else { break };
        let (mut left, mut right) = ([0; LANES], [0; LANES]);
        for lane in 0..LANES {
            [left[lane], right[lane]] = between::<SHIFT>([window[lane], window[lane + 1], window[lane + 2]], round);
        }
        for (lane, pair) in block.iter_mut().enumerate() {
            *pair = [left[lane], right[lane]];
        }
        doubled += LANES;
    }
    let rest = sums.get(doubled..).unwrap_or_default().windows(3);
    for (pair, sums) in pairs.iter_mut().skip(doubled).zip(rest) {
        if let &[before, sum, after] = sums {
            *pair = between::<SHIFT>([before, sum, after], round);
        }
    }
}

#[inline(always)]
fn between<const SHIFT: u32>([before, sum, after]: [u16; 3], round: [u16; 2]) -> [u8; 2] {
    let near = sum.wrapping_mul(3);
    [near.wrapping_add(before).wrapping_add(round[0]), near.wrapping_add(after).wrapping_add(round[1])]
        .map(|value| (value >> SHIFT) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upsampled(samples: &[u8], size: (usize, usize), ratio: (usize, usize)) -> Vec<Vec<u8>> {
        rows(samples, size, ratio, true)
    }

    fn rows(samples: &[u8], size: (usize, usize), ratio: (usize, usize), is_interpolated: bool) -> Vec<Vec<u8>> {
        let plane = Plane { samples: samples.to_vec(), stride: samples.len() / size.1, size };
        let mut upsampled = UpsampledPlane::new(&plane, ratio, is_interpolated);
        let row = |y| {
            upsampled.seek(y);
            upsampled.row()[..size.0 * ratio.0].to_vec()
        };
        (0..size.1 * ratio.1).map(row).collect()
    }

    #[test]
    fn samples_beyond_the_size_have_no_weight() {
        assert_eq!(upsampled(&[0, 100, 200, 255], (3, 1), (2, 1)), [[0, 25, 75, 125, 175, 200]]);
        assert_eq!(upsampled(&[10, 20], (1, 2), (1, 2)), [[10], [13], [17], [20]]);
        let both = upsampled(&[0, 16, 32, 99, 16, 32, 48, 99], (3, 2), (2, 2));
        assert_eq!(both[0], [0, 4, 12, 20, 28, 32]);
        assert_eq!(both[1], [4, 8, 16, 24, 32, 36]);
        assert_eq!(both[3], [16, 20, 28, 36, 44, 48]);
    }

    #[test]
    fn narrow_components_and_other_ratios_are_repeated() {
        assert_eq!(upsampled(&[0, 100], (2, 1), (2, 2)), [[0, 0, 100, 100], [0, 0, 100, 100]]);
        assert_eq!(upsampled(&[7, 9, 1], (3, 1), (4, 1)), [[7, 7, 7, 7, 9, 9, 9, 9, 1, 1, 1, 1]]);
    }
    #[test]
    fn means_of_whole_blocks_are_repeated() {
        assert_eq!(rows(&[7, 9, 1], (3, 1), (2, 1), false), [[7, 7, 9, 9, 1, 1]]);
        assert_eq!(rows(&[7, 9], (1, 2), (1, 2), false), [[7], [7], [9], [9]]);
    }
}
