//! [`write_rgb`] converts the components to RGB, with the arithmetic of libjpeg-turbo (`jdcolor.c`) and, for CMYK, of Pillow;
//! [`write_samples`] does not convert them.

use multiversion::multiversion;

use crate::image::cmyk::without_ink;

use super::frame::Frame;
use super::planes::Plane;
use super::upsample::UpsampledPlane;

/// What the components are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColorSpace {
    /// One component; of two, the second one is not used.
    Gray,
    /// Red, green, blue.
    Rgb,
    /// Luminance and chroma.
    YCbCr,
    /// Inks, stored inverted.
    Cmyk,
    /// The inverted inks as luminance and chroma, and black, stored inverted.
    Ycck,
}

/// Writes the image to `pixels`, row by row.
pub(super) fn write_rgb(planes: &[Plane], frame: &Frame, color_space: ColorSpace, pixels: &mut [u8]) {
    let mut components = UpsampledPlane::all(planes, frame);
    for (y, row) in pixels.chunks_exact_mut(frame.scaled_size().0 * 3).enumerate() {
        for component in &mut components {
            component.seek(y);
        }
        // At most four components.
        let mut rows: [&[u8]; 4] = [&[]; 4];
        let count = rows.iter_mut().zip(&components).map(|(row, component)| *row = component.row()).count();
        match (color_space, &rows[..count]) {
            (ColorSpace::YCbCr, &[y, cb, cr]) => write_ycbcr(y, cb, cr, row),
            (ColorSpace::Rgb, &[red, green, blue]) => {
                for (pixel, ((&red, &green), &blue)) in row.chunks_exact_mut(3).zip(red.iter().zip(green).zip(blue)) {
                    pixel.copy_from_slice(&[red, green, blue]);
                }
            }
            (ColorSpace::Ycck, &[y, cb, cr, black]) => {
                write_ycbcr(y, cb, cr, row);
                for (pixel, &black) in row.chunks_exact_mut(3).zip(black) {
                    pixel.iter_mut().for_each(|ink| *ink = without_ink(*ink, black));
                }
            }
            (ColorSpace::Cmyk, &[cyan, magenta, yellow, black]) => {
                let inks = cyan.iter().zip(magenta).zip(yellow).zip(black);
                for (pixel, (((&cyan, &magenta), &yellow), &black)) in row.chunks_exact_mut(3).zip(inks) {
                    pixel.copy_from_slice(&[cyan, magenta, yellow].map(|stored| without_ink(255 - stored, black)));
                }
            }
            (_, &[gray, ..]) => {
                for (pixel, &gray) in row.chunks_exact_mut(3).zip(gray) {
                    pixel.fill(gray);
                }
            }
            (_, []) => {}
        }
    }
}

/// Writes the samples of all components to `pixels`, interleaved, without converting them.
pub(super) fn write_samples(planes: &[Plane], frame: &Frame, pixels: &mut [u8]) {
    let mut components = UpsampledPlane::all(planes, frame);
    let count = components.len();
    for (y, row) in pixels.chunks_exact_mut(frame.scaled_size().0 * count).enumerate() {
        for (index, component) in components.iter_mut().enumerate() {
            component.seek(y);
            for (pixel, sample) in row.chunks_exact_mut(count).zip(component.row()) {
                pixel[index] = *sample;
            }
        }
    }
}

/// The number of pixels that are converted together, in vector registers.
const LANES: usize = 32;

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn write_ycbcr(y: &[u8], cb: &[u8], cr: &[u8], pixels: &mut [u8]) {
    let blocks = y.as_chunks::<LANES>().0.iter().zip(cb.as_chunks::<LANES>().0).zip(cr.as_chunks::<LANES>().0);
    let mut converted = 0;
    for (((y, cb), cr), pixels) in blocks.zip(pixels.chunks_exact_mut(LANES * 3)) {
        let (mut red, mut green, mut blue) = ([0; LANES], [0; LANES], [0; LANES]);
        for lane in 0..LANES {
            [red[lane], green[lane], blue[lane]] = rgb_of_ycbcr(y[lane], cb[lane], cr[lane]);
        }
        for (lane, pixel) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            *pixel = [red[lane], green[lane], blue[lane]];
        }
        converted += LANES;
    }
    let rest = y.iter().zip(cb).zip(cr).skip(converted);
    for (pixel, ((&y, &cb), &cr)) in pixels.as_chunks_mut::<3>().0.iter_mut().skip(converted).zip(rest) {
        *pixel = rgb_of_ycbcr(y, cb, cr);
    }
}

#[inline(always)]
fn rgb_of_ycbcr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    // Fixed-point numbers with 16 fractional bits. No sum of a byte exceeds 32 bits.
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb).wrapping_sub(128), i32::from(cr).wrapping_sub(128));
    let red = cr.wrapping_mul(91_881).wrapping_add(HALF) >> 16;
    let green = HALF.wrapping_sub(cb.wrapping_mul(22_554)).wrapping_sub(cr.wrapping_mul(46_802)) >> 16;
    let blue = cb.wrapping_mul(116_130).wrapping_add(HALF) >> 16;
    [red, green, blue].map(|value| y.wrapping_add(value).clamp(0, 255) as u8)
}
