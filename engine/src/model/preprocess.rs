//! [`Preprocess`] turns a picture into the numbers that a model was trained on.

mod geometry;
pub(super) mod hugging_face;
mod normalize;
pub(super) mod timm;

use std::fmt;

use ocelli_udf::image::{Filter, Rgb, resize_region};

use normalize::normalize;

pub(super) use timm::PretrainedCfg;

pub(crate) use geometry::{Crop, Geometry, Resize, Rounding};

/// What is done to a picture, as a configuration says it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recipe {
    pub(crate) resize: Resize,
    pub(crate) filter: Filter,
    pub(crate) crop: Option<Crop>,
    /// What pixel values of 0 to 255 are multiplied by.
    pub(crate) rescale: f64,
    /// Subtracted then, in the order of the model's channels.
    pub(crate) mean: [f32; 3],
    /// Divided by then.
    pub(crate) std: [f32; 3],
    pub(crate) channels: Channels,
    pub(crate) layout: Layout,
}

/// The order of a model's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channels {
    Rgb,
    Bgr,
}

/// The order of the axes of a model's input, after the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[images, channels, height, width]`
    Nchw,
    /// `[images, height, width, channels]`
    Nhwc,
}

/// The mean of ImageNet's pixels in each channel, from 0 to 1.
pub(crate) const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Their standard deviation.
pub(crate) const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

impl Recipe {
    /// What torchvision's first weights for ImageNet want, for inputs of this size: `ImageClassification(crop_size=224)`.
    pub(crate) fn imagenet(width: u32, height: u32) -> Self {
        let edge = (f64::from(width.max(height)) * 256.0 / 224.0).round() as u32;
        Self {
            resize: Resize::ShortestEdge(edge),
            filter: Filter::Bilinear,
            crop: Some(Crop { width, height, rounding: Rounding::Even }),
            rescale: 1.0 / 255.0,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
            channels: Channels::Rgb,
            layout: Layout::Nchw,
        }
    }

    /// Pixels as they are.
    pub(crate) fn unscaled(self) -> Self {
        Self { rescale: 1.0, mean: [0.0; 3], std: [1.0; 3], ..self }
    }

    /// Width and height of what comes out, when that is the same for all pictures.
    pub(crate) fn size(&self) -> Option<(u32, u32)> {
        match (self.crop, self.resize) {
            (Some(crop), _) => Some((crop.width, crop.height)),
            (None, Resize::Exact(width, height)) => Some((width, height)),
            (None, _) => None,
        }
    }
}

/// As in `DESCRIBE MODEL`: `resize shortest edge 256 (bilinear), crop 224 x 224, * 0.0039216, - (…), / (…), RGB, NCHW`.
impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resize {} ({})", self.resize, self.filter.name())?;
        if let Some(crop) = self.crop {
            write!(f, ", crop {crop}")?;
        }
        let triple = |[a, b, c]: [f32; 3]| format!("({a}, {b}, {c})");
        if self.rescale != 1.0 {
            write!(f, ", * {}", self.rescale as f32)?;
        }
        if self.mean != [0.0; 3] {
            write!(f, ", - {}", triple(self.mean))?;
        }
        if self.std != [1.0; 3] {
            write!(f, ", / {}", triple(self.std))?;
        }
        let channels = if self.channels == Channels::Rgb { "RGB" } else { "BGR" };
        let layout = if self.layout == Layout::Nchw { "NCHW" } else { "NHWC" };
        write!(f, ", {channels}, {layout}")
    }
}

/// A [`Recipe`] that is ready to run.
///
/// ```text
/// [h, w, 3] u8 ──resize, crop──▶ [height, width, 3] u8 ──value · rescale, − mean, / std──▶ [3, height, width] f32
/// ```
#[derive(Debug, Clone)]
pub(crate) struct Preprocess {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) recipe: Recipe,
    /// `[the picture's channel][pixel value]`: all arithmetic on pixels, done in advance.
    table: [[f32; 256]; 3],
}

/// Pixels on an edge of what a model sees: more is a mistake in a file.
const LARGEST_EDGE: u32 = 8192;

impl Preprocess {
    /// # Errors
    /// One sentence when the result has not the same size for all pictures, or none.
    pub(crate) fn new(recipe: Recipe) -> Result<Self, String> {
        let Some((width, height)) = recipe.size() else {
            return Err(format!(
                "pictures that are resized to {} have many shapes, and the model wants one; a crop or a width and a height do",
                recipe.resize
            ));
        };
        let is_too_large = |edge: u32| edge == 0 || edge > LARGEST_EDGE;
        let edges = match recipe.resize {
            Resize::Exact(width, height) => [width, height],
            Resize::ShortestEdge(edge) => [edge, edge],
            Resize::ShortestEdgeAtMost(short, long) => [short, long],
            Resize::None => [1, 1],
        };
        if let Some(edge) = edges.into_iter().chain([width, height]).find(|&edge| is_too_large(edge)) {
            return Err(format!("an edge of {edge} pixels is not between 1 and {LARGEST_EDGE}"));
        }
        if let Some(std) = recipe.std.iter().find(|std| **std == 0.0 || !std.is_finite()) {
            return Err(format!("its standard deviation is {std}, by which nothing can be divided"));
        }
        // The order of these operations and where they are rounded is that of the image processors.
        let value = |channel: usize, pixel: usize| {
            let model_channel = if recipe.channels == Channels::Rgb { channel } else { 2 - channel };
            let scaled = (pixel as f64 * recipe.rescale) as f32;
            (scaled - recipe.mean[model_channel]) / recipe.std[model_channel]
        };
        let table = std::array::from_fn(|channel| std::array::from_fn(|pixel| value(channel, pixel)));
        Ok(Self { width: width as usize, height: height as usize, recipe, table })
    }

    /// Reads a `preprocessor_config.json`.
    ///
    /// # Errors
    /// One sentence when a key is missing or asks for what is not known here.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::new(hugging_face::parse(text)?)
    }

    /// Numbers in a prepared picture.
    pub(crate) fn len(&self) -> usize {
        3 * self.height * self.width
    }

    /// Whether all numbers are whole and from 0 to 255.
    pub(crate) fn makes_bytes(&self) -> bool {
        self.table.iter().flatten().all(|value| (0.0..=255.0).contains(value) && value.fract() == 0.0)
    }

    /// The shape of so many prepared pictures.
    pub(crate) fn shape(&self, images: usize) -> [usize; 4] {
        match self.recipe.layout {
            Layout::Nchw => [images, 3, self.height, self.width],
            Layout::Nhwc => [images, self.height, self.width, 3],
        }
    }

    /// The way of a picture of this size.
    pub(crate) fn geometry(&self, width: u32, height: u32) -> Geometry {
        Geometry::new(self.recipe.resize, self.recipe.crop, width, height)
    }

    /// What the picture may be scaled to beforehand, roughly, when the kernel looks at all its pixels.
    pub(crate) fn fit(&self, geometry: &Geometry) -> Option<(u32, u32)> {
        (self.recipe.filter != Filter::Nearest && self.recipe.resize != Resize::None).then_some(geometry.scaled)
    }

    /// Writes one prepared picture to `out`, of [`len`](Self::len) numbers. The picture may have fewer pixels than its geometry
    /// was made for.
    pub(crate) fn apply(&self, image: &Rgb, geometry: &Geometry, out: &mut [f32]) {
        let Geometry { scaled, region, at } = *geometry;
        let part = resize_region(image, scaled.0, scaled.1, region, self.recipe.filter);
        let pixels = if (part.width as usize, part.height as usize) == (self.width, self.height) {
            part.data
        } else {
            self.padded(&part, at)
        };
        match self.recipe {
            Recipe { layout: Layout::Nchw, channels: Channels::Rgb, .. } => normalize(&pixels, &self.table, out),
            Recipe { layout, channels, .. } => self.normalize_as(&pixels, layout, channels, out),
        }
    }

    /// In the middle of black.
    fn padded(&self, part: &Rgb, (left, top): (u32, u32)) -> Vec<u8> {
        let mut pixels = vec![0; self.width * self.height * 3];
        let row = part.width as usize * 3;
        for (number, from) in part.data.chunks_exact(row).enumerate() {
            let start = ((top as usize + number) * self.width + left as usize) * 3;
            pixels[start..start + row].copy_from_slice(from);
        }
        pixels
    }

    /// The less usual orders of numbers.
    fn normalize_as(&self, pixels: &[u8], layout: Layout, channels: Channels, out: &mut [f32]) {
        let plane = self.width * self.height;
        for (position, pixel) in pixels.chunks_exact(3).enumerate() {
            for (channel, &value) in pixel.iter().enumerate() {
                let model_channel = if channels == Channels::Rgb { channel } else { 2 - channel };
                let number = match layout {
                    Layout::Nchw => model_channel * plane + position,
                    Layout::Nhwc => position * 3 + model_channel,
                };
                out[number] = self.table[channel][usize::from(value)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const FILE: &str = r#"{"do_resize": true, "size": {"height": 2, "width": 1}, "resample": 2,
        "rescale_factor": 0.00390625, "image_mean": [0.0, 0.5, 0.0], "image_std": [1.0, 0.5, 1.0]}"#;

    fn applied(recipe: Recipe, image: &Rgb) -> Vec<f32> {
        let preprocess = Preprocess::new(recipe).unwrap();
        let mut out = vec![f32::NAN; preprocess.len()];
        preprocess.apply(image, &preprocess.geometry(image.width, image.height), &mut out);
        out
    }

    fn two_pixels() -> Rgb {
        Rgb { width: 1, height: 2, data: vec![0, 128, 64, 128, 0, 32] }
    }

    #[test]
    fn pixels_become_channels() {
        let recipe = hugging_face::parse(FILE).unwrap();
        assert_eq!(applied(recipe, &two_pixels()), [0.0, 0.5, 0.0, -1.0, 0.25, 0.125]);
    }

    #[test]
    fn other_orders_hold_the_same_numbers() {
        let recipe = hugging_face::parse(FILE).unwrap();
        let nhwc = Recipe { layout: Layout::Nhwc, ..recipe.clone() };
        assert_eq!(applied(nhwc.clone(), &two_pixels()), [0.0, 0.0, 0.25, 0.5, -1.0, 0.125]);
        // Mean and deviation are those of the model's channels: the middle one stays where it is.
        assert_eq!(
            applied(Recipe { channels: Channels::Bgr, ..recipe }, &two_pixels()),
            [0.25, 0.125, 0.0, -1.0, 0.0, 0.5]
        );
        assert_eq!(
            applied(Recipe { channels: Channels::Bgr, ..nhwc }, &two_pixels()),
            [0.25, 0.0, 0.0, 0.125, -1.0, 0.5]
        );
    }

    #[test]
    fn small_pictures_are_in_the_middle_of_black() {
        let crop = Crop { width: 3, height: 4, rounding: Rounding::Even };
        let recipe = Recipe { resize: Resize::None, crop: Some(crop), ..Recipe::imagenet(3, 4) }.unscaled();
        let red = &applied(recipe, &two_pixels())[..12];
        assert_eq!(red, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 128.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn one_size_is_needed() {
        let recipe = Recipe { crop: None, ..Recipe::imagenet(224, 224) };
        let error = Preprocess::new(recipe).unwrap_err();
        assert!(error.starts_with("pictures that are resized to shortest edge 256 have many shapes"), "{error}");
    }

    #[test]
    fn recipes_are_shown() {
        assert_eq!(
            Recipe::imagenet(224, 224).to_string(),
            "resize shortest edge 256 (bilinear), crop 224 x 224, * 0.003921569, - (0.485, 0.456, 0.406), \
             / (0.229, 0.224, 0.225), RGB, NCHW"
        );
    }

    /// The recipe of a folder of `tests/data/preprocess`.
    fn recipe_of(case: &str, folder: &Path) -> Recipe {
        let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
        let torchvision = |edge, crop| Recipe { resize: Resize::ShortestEdge(edge), ..Recipe::imagenet(crop, crop) };
        match case {
            "torchvision-v1" => torchvision(16, 14),
            "torchvision-v2" => torchvision(29, 28),
            _ if case.starts_with("timm") => {
                let config: serde_json::Value = serde_json::from_str(&text("config.json")).unwrap();
                timm::recipe(&serde_json::from_value(config["pretrained_cfg"].clone()).unwrap()).unwrap()
            }
            _ => hugging_face::parse(&text("preprocessor_config.json")).unwrap(),
        }
    }

    #[test]
    fn numbers_are_those_of_pythons_processors() {
        let mut cases = 0;
        for entry in std::fs::read_dir("../tests/data/preprocess").unwrap() {
            let folder = entry.unwrap().path();
            let Some(case) = folder.file_name().and_then(|name| name.to_str()).filter(|_| folder.is_dir()) else {
                continue;
            };
            let recipe = recipe_of(case, &folder);
            let (width, height) = recipe.size().unwrap();
            for picture in ["horse", "schooner"] {
                let file = std::fs::read(format!("../examples/data/photos/{picture}.png")).unwrap();
                let ours = applied(recipe.clone(), &ocelli_udf::image::decode(&file, u64::MAX).unwrap());
                let theirs = std::fs::read(folder.join(format!("{picture}.f32"))).unwrap();
                let theirs: Vec<f32> =
                    theirs.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
                // The first rows of each channel, or all of them.
                let (plane, part) = ((width * height) as usize, theirs.len() / 3);
                let ours: Vec<f32> = ours.chunks_exact(plane).flat_map(|plane| &plane[..part]).copied().collect();
                let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                // One level of a pixel is 0.004 at least: what is left is the rounding of the last digit.
                assert!(worst < 1e-6, "{case}, {picture}: {worst}");
            }
            cases += 1;
        }
        assert_eq!(cases, 16);
    }
}
