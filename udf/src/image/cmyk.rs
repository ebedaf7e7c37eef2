//! [`without_ink`]: the conversion of CMYK to RGB that Pillow has, without colour profiles.

/// The light that an ink leaves of `light`, that which black leaves: `light * (255 - ink) / 255`, rounded.
pub(super) fn without_ink(ink: u8, light: u8) -> u8 {
    let product = u32::from(ink) * u32::from(light) + 128;
    light.saturating_sub((((product >> 8) + product) >> 8) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn black_leaves_no_light() {
        assert_eq!(
            [without_ink(0, 255), without_ink(255, 255), without_ink(0, 0), without_ink(128, 100)],
            [255, 0, 0, 50]
        );
    }
}
