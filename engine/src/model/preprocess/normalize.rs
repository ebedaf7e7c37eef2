//! [`lut_to_chw`]: normalization by lookup tables, from HWC to CHW.

/// Looks each value up in the table of its channel and transposes from HWC to CHW: `[pixels, 3] u8 -> [3, pixels] f32`.
///
/// # Panics
/// When `pixels` and `out` differ in length.
pub(crate) fn lut_to_chw(pixels: &[u8], lut: &[[f32; 256]; 3], out: &mut [f32]) {
    assert_eq!(pixels.len(), out.len(), "input and output have the same length");
    for ((channel, lut), plane) in lut.iter().enumerate().zip(out.chunks_exact_mut(pixels.len() / 3)) {
        for (value, pixel) in plane.iter_mut().zip(pixels.chunks_exact(3)) {
            *value = lut[usize::from(pixel[channel])];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference_lut_to_chw(pixels: &[u8], lut: &[[f32; 256]; 3]) -> Vec<f32> {
        let count = pixels.len() / 3;
        (0..3 * count)
            .map(|index| {
                let (channel, pixel) = (index / count, index % count);
                lut[channel][usize::from(pixels[pixel * 3 + channel])]
            })
            .collect()
    }

    #[test]
    fn agrees_with_the_reference() {
        let lut = std::array::from_fn(|channel| std::array::from_fn(|value| (channel * 1000 + value) as f32));
        for count in [1, 2, 7, 1024] {
            let pixels: Vec<u8> = (0..count * 3).map(|i| (i * 31) as u8).collect();
            let mut out = vec![f32::NAN; pixels.len()];
            lut_to_chw(&pixels, &lut, &mut out);
            assert_eq!(out, reference_lut_to_chw(&pixels, &lut), "{count} pixels");
        }
    }
}
