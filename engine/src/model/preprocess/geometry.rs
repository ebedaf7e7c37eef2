//! [`Geometry`]: which part of a picture a model sees, and how large.

use std::fmt;

use ocelli_udf::image::Region;

/// How a picture is scaled, before it is cropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resize {
    /// To this width and height, whatever its shape.
    Exact(u32, u32),
    /// Until its shorter edge has so many pixels; the shape stays.
    ShortestEdge(u32),
    /// Until its shorter edge has so many pixels, or its longer one has the second number of them, whatever comes first.
    ShortestEdgeAtMost(u32, u32),
    /// Not at all.
    None,
}

/// The middle of the scaled picture, with black where it is too small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crop {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rounding: Rounding,
}

/// Where the middle is when an odd number of pixels is left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// Toward the top left: `transformers.image_transforms.center_crop`.
    Floor,
    /// To the even number of the two: `torchvision.transforms.functional.center_crop`, which timm uses.
    Even,
}

/// One picture's way into a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Width and height that the picture is scaled to.
    pub(crate) scaled: (u32, u32),
    /// The part of it that is kept.
    pub(crate) region: Region,
    /// Where that part is in the model's input: left and top.
    pub(crate) at: (u32, u32),
}

impl Resize {
    /// Width and height of a scaled picture, at least 1.
    pub(crate) fn scaled(self, width: u32, height: u32) -> (u32, u32) {
        let (short, long) = (width.min(height), width.max(height));
        let (new_short, new_long) = match self {
            Self::None => return (width, height),
            Self::Exact(width, height) => return (width, height),
            Self::ShortestEdge(edge) => (edge, truncated(edge, long, short)),
            Self::ShortestEdgeAtMost(edge, most) => match truncated(edge, long, short) {
                new_long if new_long > most => (truncated(most, edge, new_long), most),
                new_long => (edge, new_long),
            },
        };
        let (new_short, new_long) = (new_short.max(1), new_long.max(1));
        if width <= height { (new_short, new_long) } else { (new_long, new_short) }
    }
}

/// Python's `int(size * numerator / denominator)`.
fn truncated(size: u32, numerator: u32, denominator: u32) -> u32 {
    (f64::from(size) * f64::from(numerator) / f64::from(denominator)) as u32
}

impl Crop {
    /// The part of a scaled picture that is kept, and where it is in the crop.
    fn place(self, (width, height): (u32, u32)) -> (Region, (u32, u32)) {
        let (left, across, at_left) = self.rounding.middle(width, self.width);
        let (top, down, at_top) = self.rounding.middle(height, self.height);
        (Region { left, top, width: across, height: down }, (at_left, at_top))
    }
}

impl Rounding {
    /// `(start in the picture, length, start in the crop)` of one direction.
    fn middle(self, from: u32, to: u32) -> (u32, u32, u32) {
        let spare = from.abs_diff(to);
        if from >= to {
            let start = match self {
                Self::Floor => spare / 2,
                Self::Even => spare / 2 + u32::from(spare % 4 == 3),
            };
            return (start, to, 0);
        }
        // Both libraries pad by other rules than they cut.
        let pad = match self {
            Self::Floor => spare.div_ceil(2),
            Self::Even => spare / 2,
        };
        (0, from, pad)
    }
}

/// Pixels on an edge of a scaled picture, of which a crop keeps a part.
const LONGEST_EDGE: u32 = 1 << 20;

impl Geometry {
    /// Whether the picture is not so long and narrow that scaling its shorter edge makes the other one endless.
    pub(crate) fn is_reasonable(&self) -> bool {
        self.scaled.0.max(self.scaled.1) <= LONGEST_EDGE
    }

    pub(crate) fn new(resize: Resize, crop: Option<Crop>, width: u32, height: u32) -> Self {
        let scaled = resize.scaled(width, height);
        let whole = Region { left: 0, top: 0, width: scaled.0, height: scaled.1 };
        let (region, at) = crop.map_or((whole, (0, 0)), |crop| crop.place(scaled));
        Self { scaled, region, at }
    }
}

/// As in `DESCRIBE MODEL`.
impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(width, height) => write!(f, "{width} x {height}"),
            Self::ShortestEdge(edge) => write!(f, "shortest edge {edge}"),
            Self::ShortestEdgeAtMost(edge, most) => write!(f, "shortest edge {edge}, longest at most {most}"),
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
    fn the_shortest_edge_decides() {
        // torchvision.transforms.functional.resize, transformers' get_resize_output_image_size.
        assert_eq!(Resize::ShortestEdge(256).scaled(500, 375), (341, 256));
        assert_eq!(Resize::ShortestEdge(256).scaled(333, 500), (256, 384));
        assert_eq!(Resize::ShortestEdge(20).scaled(20, 20), (20, 20));
        assert_eq!(Resize::ShortestEdgeAtMost(100, 150).scaled(200, 100), (150, 75));
        assert_eq!(Resize::ShortestEdgeAtMost(100, 250).scaled(200, 100), (200, 100));
        assert_eq!(Resize::Exact(7, 9).scaled(200, 100), (7, 9));
        assert_eq!(Resize::ShortestEdgeAtMost(4, 4).scaled(1000, 1), (4, 1), "no edge is lost");
    }

    #[test]
    fn endless_edges_are_seen() {
        let geometry = |width, height| Geometry::new(Resize::ShortestEdge(224), None, width, height);
        assert!(geometry(6000, 4000).is_reasonable());
        assert!(!geometry(1, 60_000_000).is_reasonable());
    }

    #[test]
    fn the_middle_is_where_the_libraries_have_it() {
        // (from, to) -> start: 3 / 2 = 1.5 and 1 / 2 = 0.5 are rounded to even numbers by Python's `round`.
        for (from, to, floor, even) in [(10, 4, 3, 3), (7, 4, 1, 2), (5, 4, 0, 0), (9, 4, 2, 2), (11, 4, 3, 4)] {
            assert_eq!(Rounding::Floor.middle(from, to), (floor, to, 0));
            assert_eq!(Rounding::Even.middle(from, to), (even, to, 0));
        }
        assert_eq!(Rounding::Floor.middle(4, 7), (0, 4, 2));
        assert_eq!(Rounding::Even.middle(4, 7), (0, 4, 1));
    }
}
