//! [`Resampling`]: the filters by which images are scaled.

use std::f64::consts::PI;

/// The resampling filters of Pillow (`Image.Resampling`). For downscaling, all but [`Nearest`](Self::Nearest) are stretched by the
/// scale factor, so that every source pixel contributes (antialiasing).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resampling {
    /// The source pixel that contains the centre of the output pixel.
    Nearest,
    /// The mean of the source pixels that the output pixel covers.
    Box,
    /// A triangle filter with a support of one source pixel.
    Bilinear,
    /// A Hamming-windowed sinc with a support of one source pixel.
    Hamming,
    /// A cubic convolution with a = -0.5 and a support of two source pixels.
    Bicubic,
    /// A sinc-windowed sinc with a support of three source pixels.
    Lanczos,
}

impl Resampling {
    /// The filter with Pillow's numeric code, as used in model configurations.
    pub fn from_pillow(code: u64) -> Option<Self> {
        [Self::Nearest, Self::Lanczos, Self::Bilinear, Self::Bicubic, Self::Box, Self::Hamming]
            .get(usize::try_from(code).ok()?)
            .copied()
    }

    /// All filters with their lower-case names.
    pub const NAMES: [(&str, Self); 6] = [
        ("nearest", Self::Nearest),
        ("box", Self::Box),
        ("bilinear", Self::Bilinear),
        ("hamming", Self::Hamming),
        ("bicubic", Self::Bicubic),
        ("lanczos", Self::Lanczos),
    ];

    /// The filter with this name; upper and lower case are equal.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, resampling)| *resampling)
    }

    /// The lower-case name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, resampling)| *resampling == self).map_or("", |(name, _)| name)
    }

    /// The filter's radius in source pixels, at scale 1.
    pub(super) fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The filter function at a distance in source pixels, at scale 1.
    pub(super) fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Nearest => 0.0,
            Self::Box if distance > -0.5 && distance <= 0.5 => 1.0,
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Hamming if x == 0.0 => 1.0,
            Self::Hamming if x < 1.0 => sinc(x) * (0.54 + 0.46 * (x * PI).cos()),
            Self::Bicubic if x < 1.0 => ((BICUBIC_A + 2.0) * x - (BICUBIC_A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * BICUBIC_A,
            Self::Lanczos if (-3.0..3.0).contains(&distance) => sinc(distance) * sinc(distance / 3.0),
            Self::Box | Self::Hamming | Self::Bicubic | Self::Lanczos => 0.0,
        }
    }
}

/// The parameter `a` of the cubic convolution; some other libraries use -0.75.
const BICUBIC_A: f64 = -0.5;

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_have_names_and_pillow_codes() {
        for (code, name) in ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"].iter().enumerate() {
            let resampling = Resampling::from_pillow(code as u64).unwrap();
            assert_eq!((resampling.name(), Resampling::from_name(&name.to_uppercase())), (*name, Some(resampling)));
        }
        assert_eq!((Resampling::from_pillow(6), Resampling::from_name("cubic")), (None, None));
    }
}
