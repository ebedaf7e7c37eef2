//! [`ImageProcessor`]: resizes, crops and normalizes images, as the image processors of transformers, torchvision and timm do.

mod fields;
mod geometry;
pub(super) mod hugging_face;
mod normalize;
mod overrides;
pub(super) mod timm;

use std::fmt;

use ocelli_udf::image::{Resampling, RgbImage, resize_region};

use normalize::lut_to_chw;

pub(crate) use geometry::{Crop, CropRounding, Geometry, Resize};
pub(crate) use overrides::PreprocessOverrides;

/// The preprocessing configuration (`preprocessor_config.json` of transformers).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PreprocessConfig {
    pub(crate) resize: Resize,
    pub(crate) filter: Resampling,
    pub(crate) crop: Option<Crop>,
    /// The factor for pixel values of 0 to 255.
    pub(crate) rescale: f64,
    /// Subtracted after rescaling, in the order of the model's channels.
    pub(crate) mean: [f32; 3],
    /// The divisor, after the mean is subtracted.
    pub(crate) std: [f32; 3],
    pub(crate) channels: Channels,
    pub(crate) layout: Layout,
}

/// The channel order of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channels {
    Rgb,
    Bgr,
}

/// The memory layout of a model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[images, channels, height, width]`
    Nchw,
    /// `[images, height, width, channels]`
    Nhwc,
}

/// The per-channel mean of ImageNet, for pixel values from 0 to 1.
pub(crate) const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// The per-channel standard deviation of ImageNet.
pub(crate) const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

impl PreprocessConfig {
    /// torchvision's `ImageClassification(crop_size=224)` preset, for inputs of this size.
    pub(crate) fn imagenet(width: u32, height: u32) -> Self {
        let edge = (f64::from(width.max(height)) * 256.0 / 224.0).round() as u32;
        Self {
            resize: Resize::ShortestEdge(edge),
            filter: Resampling::Bilinear,
            crop: Some(Crop { width, height, rounding: CropRounding::Even }),
            rescale: 1.0 / 255.0,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
            channels: Channels::Rgb,
            layout: Layout::Nchw,
        }
    }

    /// The configuration without rescaling and normalization.
    pub(crate) fn unscaled(self) -> Self {
        Self { rescale: 1.0, mean: [0.0; 3], std: [1.0; 3], ..self }
    }

    /// The output width and height, if they are the same for all images.
    pub(crate) fn size(&self) -> Option<(u32, u32)> {
        match (self.crop, self.resize) {
            (Some(crop), _) => Some((crop.width, crop.height)),
            (None, Resize::Exact(width, height)) => Some((width, height)),
            (None, _) => None,
        }
    }
}

/// The form in `DESCRIBE MODEL`: `resize shortest edge 256 (bilinear), crop 224 x 224, * 0.0039216, - (…), / (…), RGB, NCHW`.
impl fmt::Display for PreprocessConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resize {} ({})", self.resize, self.filter.name())?;
        if let Some(crop) = self.crop {
            write!(f, ", crop {crop}")?;
        }
        let per_channel = |[a, b, c]: [f32; 3]| format!("({a}, {b}, {c})");
        if self.rescale != 1.0 {
            write!(f, ", * {}", self.rescale as f32)?;
        }
        if self.mean != [0.0; 3] {
            write!(f, ", - {}", per_channel(self.mean))?;
        }
        if self.std != [1.0; 3] {
            write!(f, ", / {}", per_channel(self.std))?;
        }
        let channels = if self.channels == Channels::Rgb { "RGB" } else { "BGR" };
        let layout = if self.layout == Layout::Nchw { "NCHW" } else { "NHWC" };
        write!(f, ", {channels}, {layout}")
    }
}

/// A compiled [`PreprocessConfig`].
///
/// ```text
/// [h, w, 3] u8 ──resize, crop──▶ [height, width, 3] u8 ──value · rescale, − mean, / std──▶ [3, height, width] f32
/// ```
#[derive(Debug, Clone)]
pub(crate) struct ImageProcessor {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) config: PreprocessConfig,
    /// `[image channel][pixel value]`: a lookup table of rescaling and normalization.
    lut: [[f32; 256]; 3],
}

/// The maximum edge of a resized image or model input, in pixels. Larger values are errors in a file.
const MAX_EDGE: u32 = 8192;

impl ImageProcessor {
    /// Compiles a configuration.
    ///
    /// # Errors
    /// A message if the output size is not fixed, or the configuration is invalid.
    pub(crate) fn new(config: PreprocessConfig) -> Result<Self, String> {
        let Some((width, height)) = config.size() else {
            return Err(format!(
                "images resized to {} have different shapes, but the model needs a fixed one; \
                 set a crop, or both width and height",
                config.resize
            ));
        };
        let is_out_of_range = |edge: u32| edge == 0 || edge > MAX_EDGE;
        let edges = match config.resize {
            Resize::Exact(width, height) => [width, height],
            Resize::ShortestEdge(edge) => [edge, edge],
            Resize::ShortestEdgeAtMost(short, long) => [short, long],
            Resize::None => [1, 1],
        };
        if let Some(edge) = edges.into_iter().chain([width, height]).find(|&edge| is_out_of_range(edge)) {
            return Err(format!("an edge of {edge} pixels is not between 1 and {MAX_EDGE}"));
        }
        if let Some(std) = config.std.iter().find(|std| **std == 0.0 || !std.is_finite()) {
            return Err(format!("its standard deviation is {std}, which cannot be a divisor"));
        }
        // The order and rounding of these operations equal those of the image processors.
        let value = |channel: usize, pixel: usize| {
            let model_channel = if config.channels == Channels::Rgb { channel } else { 2 - channel };
            let scaled = (pixel as f64 * config.rescale) as f32;
            (scaled - config.mean[model_channel]) / config.std[model_channel]
        };
        let lut = std::array::from_fn(|channel| std::array::from_fn(|pixel| value(channel, pixel)));
        Ok(Self { width: width as usize, height: height as usize, config, lut })
    }

    /// Parses a `preprocessor_config.json`.
    ///
    /// # Errors
    /// A message if a key is missing or has an unsupported value.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (config, _) = hugging_face::parse(text, &PreprocessOverrides::default())?;
        Self::new(config)
    }

    /// Elements per preprocessed image.
    pub(crate) fn len(&self) -> usize {
        3 * self.height * self.width
    }

    /// Whether all outputs are integers from 0 to 255.
    pub(crate) fn is_u8_range(&self) -> bool {
        self.lut.iter().flatten().all(|value| (0.0..=255.0).contains(value) && value.fract() == 0.0)
    }

    /// The tensor shape of `images` preprocessed images.
    pub(crate) fn shape(&self, images: usize) -> [usize; 4] {
        match self.config.layout {
            Layout::Nchw => [images, 3, self.height, self.width],
            Layout::Nhwc => [images, self.height, self.width, 3],
        }
    }

    /// The geometry for an image of this size.
    pub(crate) fn geometry(&self, width: u32, height: u32) -> Geometry {
        Geometry::new(self.config.resize, self.config.crop, width, height)
    }

    /// The size to which an image may be reduced during decoding (Pillow's `draft`). `None` if the image is not resized, or by nearest
    /// neighbour, which depends on single pixels.
    pub(crate) fn decode_size_hint(&self, geometry: &Geometry) -> Option<(u32, u32)> {
        (self.config.filter != Resampling::Nearest && self.config.resize != Resize::None).then_some(geometry.scaled)
    }

    /// Writes one preprocessed image to `out`, of [`len`](Self::len) elements. The image may be decoded at a reduced size, for which the
    /// geometry stays that of the full size.
    pub(crate) fn apply(&self, image: &RgbImage, geometry: &Geometry, out: &mut [f32]) {
        let Geometry { scaled, region, offset } = *geometry;
        let resized = resize_region(image, scaled.0, scaled.1, region, self.config.filter);
        let pixels = if (resized.width as usize, resized.height as usize) == (self.width, self.height) {
            resized.data
        } else {
            self.pad_center(&resized, offset)
        };
        match self.config {
            PreprocessConfig { layout: Layout::Nchw, channels: Channels::Rgb, .. } => {
                lut_to_chw(&pixels, &self.lut, out)
            }
            PreprocessConfig { layout, channels, .. } => self.normalize_strided(&pixels, layout, channels, out),
        }
    }

    /// Pads the image with black to the input size, with its top left corner at this offset.
    fn pad_center(&self, image: &RgbImage, (left, top): (u32, u32)) -> Vec<u8> {
        let mut pixels = vec![0; self.width * self.height * 3];
        let row_len = image.width as usize * 3;
        for (row, values) in image.data.chunks_exact(row_len).enumerate() {
            let start = ((top as usize + row) * self.width + left as usize) * 3;
            pixels[start..start + row_len].copy_from_slice(values);
        }
        pixels
    }

    /// Normalizes into any layout and channel order; [`lut_to_chw`] is faster for NCHW with RGB.
    fn normalize_strided(&self, pixels: &[u8], layout: Layout, channels: Channels, out: &mut [f32]) {
        let plane = self.width * self.height;
        for (pixel_index, pixel) in pixels.chunks_exact(3).enumerate() {
            for (channel, &value) in pixel.iter().enumerate() {
                let model_channel = if channels == Channels::Rgb { channel } else { 2 - channel };
                let index = match layout {
                    Layout::Nchw => model_channel * plane + pixel_index,
                    Layout::Nhwc => pixel_index * 3 + model_channel,
                };
                out[index] = self.lut[channel][usize::from(value)];
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

    fn parse(text: &str) -> PreprocessConfig {
        hugging_face::parse(text, &PreprocessOverrides::default()).unwrap().0
    }

    fn preprocess(config: PreprocessConfig, image: &RgbImage) -> Vec<f32> {
        let processor = ImageProcessor::new(config).unwrap();
        let mut out = vec![f32::NAN; processor.len()];
        processor.apply(image, &processor.geometry(image.width, image.height), &mut out);
        out
    }

    fn two_pixels() -> RgbImage {
        RgbImage { width: 1, height: 2, data: vec![0, 128, 64, 128, 0, 32] }
    }

    #[test]
    fn pixels_become_channels() {
        let config = parse(FILE);
        assert_eq!(preprocess(config, &two_pixels()), [0.0, 0.5, 0.0, -1.0, 0.25, 0.125]);
    }

    #[test]
    fn other_layouts_hold_the_same_values() {
        let config = parse(FILE);
        let nhwc = PreprocessConfig { layout: Layout::Nhwc, ..config.clone() };
        assert_eq!(preprocess(nhwc.clone(), &two_pixels()), [0.0, 0.0, 0.25, 0.5, -1.0, 0.125]);
        // Mean and standard deviation are in the order of the model's channels; the middle one is the same.
        assert_eq!(
            preprocess(PreprocessConfig { channels: Channels::Bgr, ..config }, &two_pixels()),
            [0.25, 0.125, 0.0, -1.0, 0.0, 0.5]
        );
        assert_eq!(
            preprocess(PreprocessConfig { channels: Channels::Bgr, ..nhwc }, &two_pixels()),
            [0.25, 0.0, 0.0, 0.125, -1.0, 0.5]
        );
    }

    #[test]
    fn small_images_are_padded_with_black() {
        let crop = Crop { width: 3, height: 4, rounding: CropRounding::Even };
        let config =
            PreprocessConfig { resize: Resize::None, crop: Some(crop), ..PreprocessConfig::imagenet(3, 4) }.unscaled();
        let red = &preprocess(config, &two_pixels())[..12];
        assert_eq!(red, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 128.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_fixed_size_is_required() {
        let config = PreprocessConfig { crop: None, ..PreprocessConfig::imagenet(224, 224) };
        let error = ImageProcessor::new(config).unwrap_err();
        assert!(error.starts_with("images resized to shortest edge 256 have different shapes"), "{error}");
    }

    #[test]
    fn configurations_are_displayed() {
        assert_eq!(
            PreprocessConfig::imagenet(224, 224).to_string(),
            "resize shortest edge 256 (bilinear), crop 224 x 224, * 0.003921569, - (0.485, 0.456, 0.406), \
             / (0.229, 0.224, 0.225), RGB, NCHW"
        );
    }

    /// The configuration of a folder of `tests/data/preprocess`.
    fn config_of(case: &str, folder: &Path) -> PreprocessConfig {
        let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
        let torchvision = |edge, crop| PreprocessConfig {
            resize: Resize::ShortestEdge(edge),
            ..PreprocessConfig::imagenet(crop, crop)
        };
        match case {
            "torchvision-v1" => torchvision(16, 14),
            "torchvision-v2" => torchvision(29, 28),
            _ if case.starts_with("timm") => {
                let config: serde_json::Value = serde_json::from_str(&text("config.json")).unwrap();
                timm::parse(&config["pretrained_cfg"], &PreprocessOverrides::default()).unwrap()
            }
            _ => parse(&text("preprocessor_config.json")),
        }
    }

    #[test]
    fn results_equal_those_of_the_python_libraries() {
        let mut cases = 0;
        for entry in std::fs::read_dir("../tests/data/preprocess").unwrap() {
            let folder = entry.unwrap().path();
            let Some(case) = folder.file_name().and_then(|name| name.to_str()).filter(|_| folder.is_dir()) else {
                continue;
            };
            let config = config_of(case, &folder);
            let (width, height) = config.size().unwrap();
            for photo in ["horse", "schooner"] {
                let file = std::fs::read(format!("../examples/data/photos/{photo}.png")).unwrap();
                let actual = preprocess(config.clone(), &ocelli_udf::image::decode(&file, u64::MAX).unwrap());
                let expected = std::fs::read(folder.join(format!("{photo}.f32"))).unwrap();
                let expected: Vec<f32> =
                    expected.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
                // The golden files hold the first rows of each channel, or all of them.
                let (plane, compared) = ((width * height) as usize, expected.len() / 3);
                let actual: Vec<f32> =
                    actual.chunks_exact(plane).flat_map(|plane| &plane[..compared]).copied().collect();
                let max_difference = actual.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                // One pixel level is at least 0.004: the rest is floating-point rounding.
                assert!(max_difference < 1e-6, "{case}, {photo}: {max_difference}");
            }
            cases += 1;
        }
        assert_eq!(cases, 20);
    }
}
