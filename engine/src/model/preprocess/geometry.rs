//! [`Geometry`]: the scaled size of an image, and the region of it that is the model input.

use std::fmt;

use ocelli_udf::image::Region;

/// Scaling before the crop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resize {
    /// To this width and height, regardless of the aspect ratio.
    Exact(u32, u32),
    /// The shorter edge to this size, keeping the aspect ratio.
    ShortestEdge(u32),
    /// The shorter edge to the first size, but the longer edge to at most the second, keeping the aspect ratio.
    ShortestEdgeAtMost(u32, u32),
    /// Keeps the size.
    None,
}

/// A center crop of the scaled image, padded with black where the image is smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crop {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rounding: CropRounding,
}

/// The rounding of the offset when an odd number of pixels is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CropRounding {
    /// Toward the top left: `transformers.image_transforms.center_crop`.
    Floor,
    /// Half to even: `torchvision.transforms.functional.center_crop`, which timm uses.
    Even,
}

/// The geometry of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// The scaled width and height.
    pub(crate) scaled: (u32, u32),
    /// The region of the scaled image that is kept.
    pub(crate) region: Region,
    /// The left and top offset of that region in the model input.
    pub(crate) offset: (u32, u32),
}

impl Resize {
    /// Width and height of the scaled image, at least 1.
    pub(crate) fn scaled(self, width: u32, height: u32) -> (u32, u32) {
        let (short, long) = (width.min(height), width.max(height));
        let (new_short, new_long) = match self {
            Self::None => return (width, height),
            Self::Exact(width, height) => return (width, height),
            Self::ShortestEdge(edge) => (edge, scale_edge(edge, long, short)),
            Self::ShortestEdgeAtMost(edge, max_long) => match scale_edge(edge, long, short) {
                new_long if new_long > max_long => (scale_edge(max_long, edge, new_long), max_long),
                new_long => (edge, new_long),
            },
        };
        let (new_short, new_long) = (new_short.max(1), new_long.max(1));
        if width <= height { (new_short, new_long) } else { (new_long, new_short) }
    }
}

/// Python's `int(size * numerator / denominator)`.
fn scale_edge(size: u32, numerator: u32, denominator: u32) -> u32 {
    (f64::from(size) * f64::from(numerator) / f64::from(denominator)) as u32
}

impl Crop {
    /// The region of a scaled image that is kept, and the left and top padding of the crop.
    fn region(self, (scaled_width, scaled_height): (u32, u32)) -> (Region, (u32, u32)) {
        let (left, width, pad_left) = self.rounding.center_offset(scaled_width, self.width);
        let (top, height, pad_top) = self.rounding.center_offset(scaled_height, self.height);
        (Region { left, top, width, height }, (pad_left, pad_top))
    }
}

impl CropRounding {
    /// `(offset in the image, length, padding before it in the crop)` along one axis.
    fn center_offset(self, from: u32, to: u32) -> (u32, u32, u32) {
        let difference = from.abs_diff(to);
        if from >= to {
            let start = match self {
                Self::Floor => difference / 2,
                Self::Even => difference / 2 + u32::from(difference % 4 == 3),
            };
            return (start, to, 0);
        }
        // Both libraries round padding differently from cropping.
        let pad = match self {
            Self::Floor => difference.div_ceil(2),
            Self::Even => difference / 2,
        };
        (0, from, pad)
    }
}

/// The maximum edge of a scaled image before the crop, in pixels.
const MAX_SCALED_EDGE: u32 = 1 << 20;

impl Geometry {
    /// Whether the longer edge stays within the limit: scaling the shorter edge of an elongated image can make it huge.
    pub(crate) fn is_within_max_edge(&self) -> bool {
        self.scaled.0.max(self.scaled.1) <= MAX_SCALED_EDGE
    }

    pub(crate) fn new(resize: Resize, crop: Option<Crop>, width: u32, height: u32) -> Self {
        let scaled = resize.scaled(width, height);
        let full = Region { left: 0, top: 0, width: scaled.0, height: scaled.1 };
        let (region, offset) = crop.map_or((full, (0, 0)), |crop| crop.region(scaled));
        Self { scaled, region, offset }
    }
}

/// The form in `DESCRIBE MODEL`.
impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(width, height) => write!(f, "{width} x {height}"),
            Self::ShortestEdge(edge) => write!(f, "shortest edge {edge}"),
            Self::ShortestEdgeAtMost(edge, max_long) => write!(f, "shortest edge {edge}, longest at most {max_long}"),
            Self::None => f.write_str("none"),
        }
    }
}

impl fmt::Display for Crop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_edge_is_scaled() {
        // torchvision.transforms.functional.resize, transformers' get_resize_output_image_size.
        assert_eq!(Resize::ShortestEdge(256).scaled(500, 375), (341, 256));
        assert_eq!(Resize::ShortestEdge(256).scaled(333, 500), (256, 384));
        assert_eq!(Resize::ShortestEdge(20).scaled(20, 20), (20, 20));
        assert_eq!(Resize::ShortestEdgeAtMost(100, 150).scaled(200, 100), (150, 75));
        assert_eq!(Resize::ShortestEdgeAtMost(100, 250).scaled(200, 100), (200, 100));
        assert_eq!(Resize::Exact(7, 9).scaled(200, 100), (7, 9));
        assert_eq!(Resize::ShortestEdgeAtMost(4, 4).scaled(1000, 1), (4, 1), "edges are at least 1");
    }

    #[test]
    fn huge_edges_are_detected() {
        let geometry = |width, height| Geometry::new(Resize::ShortestEdge(224), None, width, height);
        assert!(geometry(6000, 4000).is_within_max_edge());
        assert!(!geometry(1, 60_000_000).is_within_max_edge());
    }

    #[test]
    fn offsets_equal_those_of_the_libraries() {
        // (from, to) -> start: 3 / 2 = 1.5 and 1 / 2 = 0.5 are rounded half to even by Python's `round`.
        for (from, to, floor, even) in [(10, 4, 3, 3), (7, 4, 1, 2), (5, 4, 0, 0), (9, 4, 2, 2), (11, 4, 3, 4)] {
            assert_eq!(CropRounding::Floor.center_offset(from, to), (floor, to, 0));
            assert_eq!(CropRounding::Even.center_offset(from, to), (even, to, 0));
        }
        assert_eq!(CropRounding::Floor.center_offset(4, 7), (0, 4, 2));
        assert_eq!(CropRounding::Even.center_offset(4, 7), (0, 4, 1));
    }
}
