//! [`Scale`]: the fraction of its size at which a JPEG file is decoded.

/// A fraction of the size. The inverse DCT computes the means of 2 x 2, 4 x 4 or 8 x 8 pixels in less time than the pixels themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::image) enum Scale {
    Full,
    Half,
    Quarter,
    Eighth,
}

impl Scale {
    /// The smallest at which an image is at least three times the target size in each direction, if there is one: Pillow's `draft` in
    /// `thumbnail`, with a `reducing_gap` of 3.
    pub(in crate::image) fn for_target(size: (u32, u32), target: (u32, u32)) -> Self {
        const REDUCING_GAP: u64 = 3;
        let is_sufficient = |scale: &Self, side: u32, target: u32| {
            u64::from(side) / scale.denominator() >= u64::from(target) * REDUCING_GAP
        };
        [Self::Eighth, Self::Quarter, Self::Half]
            .into_iter()
            .find(|scale| is_sufficient(scale, size.0, target.0) && is_sufficient(scale, size.1, target.1))
            .unwrap_or(Self::Full)
    }

    fn denominator(self) -> u64 {
        match self {
            Self::Full => 1,
            Self::Half => 2,
            Self::Quarter => 4,
            Self::Eighth => 8,
        }
    }

    /// The pixels in a row of a block of the component with the most samples.
    pub(super) fn block_side(self) -> usize {
        match self {
            Self::Full => 8,
            Self::Half => 4,
            Self::Quarter => 2,
            Self::Eighth => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_sufficient_scale_is_selected() {
        for (size, target, expected) in [
            ((4032, 3024), (224, 224), Scale::Quarter),
            ((4032, 3024), (126, 126), Scale::Eighth),
            ((4032, 3024), (127, 126), Scale::Eighth),
            ((4032, 3024), (126, 127), Scale::Quarter),
            ((1344, 1344), (224, 224), Scale::Half),
            ((1343, 1344), (224, 224), Scale::Full),
            ((4032, 3024), (2000, 1), Scale::Full),
            ((u32::MAX, u32::MAX), (u32::MAX, u32::MAX), Scale::Full),
        ] {
            assert_eq!(Scale::for_target(size, target), expected, "{size:?} to {target:?}");
        }
    }
}
