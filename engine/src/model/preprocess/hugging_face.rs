//! [`parse`]: reads a `preprocessor_config.json` as the image processors of Hugging Face's transformers do.
//!
//! The defaults differ between processors: a scalar `size` is the shortest edge or both edges, ConvNeXT crops by a `crop_pct`, LeViT
//! enlarges first, EfficientNet divides by the standard deviation twice. The file names its processor.

use ocelli_udf::image::Resampling;
use serde::Deserialize;
use serde_json::Value;

use super::{Channels, Crop, CropRounding, IMAGENET_MEAN, IMAGENET_STD, Layout, PreprocessConfig, Resize};

/// The keys that affect pixels. Others are ignored.
#[derive(Deserialize)]
struct File {
    image_processor_type: Option<String>,
    /// The name of this key in older files.
    feature_extractor_type: Option<String>,
    do_resize: Option<bool>,
    size: Option<Value>,
    resample: Option<u64>,
    do_center_crop: Option<bool>,
    crop_size: Option<Value>,
    crop_pct: Option<f64>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    rescale_offset: Option<bool>,
    do_normalize: Option<bool>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    include_top: Option<bool>,
    do_flip_channel_order: Option<bool>,
    do_pad: Option<bool>,
}

/// The defaults of a processor.
struct ProcessorDefaults {
    /// The name without the suffix `ImageProcessor`.
    name: &'static str,
    /// Whether a scalar `size` is the shortest edge, rather than both edges.
    is_shortest: bool,
    crops: bool,
    filter: Resampling,
    normalizes: bool,
    mean: [f32; 3],
    std: [f32; 3],
}

const HALF: [f32; 3] = [0.5; 3];
const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

const fn processor(name: &'static str, is_shortest: bool, crops: bool, filter: Resampling) -> ProcessorDefaults {
    ProcessorDefaults { name, is_shortest, crops, filter, normalizes: true, mean: IMAGENET_MEAN, std: IMAGENET_STD }
}

/// The defaults in transformers 5; the last entry is for files that name no processor.
static PROCESSORS: [ProcessorDefaults; 11] = [
    ProcessorDefaults { mean: HALF, std: HALF, ..processor("ConvNext", true, false, Resampling::Bicubic) },
    ProcessorDefaults { mean: CLIP_MEAN, std: CLIP_STD, ..processor("CLIP", true, true, Resampling::Bicubic) },
    ProcessorDefaults { mean: CLIP_MEAN, std: CLIP_STD, ..processor("Bit", true, true, Resampling::Bicubic) },
    processor("Levit", true, true, Resampling::Bicubic),
    ProcessorDefaults { mean: HALF, std: HALF, ..processor("DeiT", false, true, Resampling::Bicubic) },
    ProcessorDefaults { mean: HALF, std: HALF, ..processor("MobileNet", true, true, Resampling::Bilinear) },
    ProcessorDefaults { normalizes: false, ..processor("MobileViT", true, true, Resampling::Bicubic) },
    ProcessorDefaults { mean: HALF, std: HALF, ..processor("EfficientNet", false, false, Resampling::Bicubic) },
    ProcessorDefaults { mean: HALF, std: HALF, ..processor("Siglip", false, false, Resampling::Bicubic) },
    ProcessorDefaults { mean: HALF, std: HALF, ..processor("ViT", false, false, Resampling::Bilinear) },
    processor("", false, false, Resampling::Bilinear),
];

/// The defaults for a name, `ViTImageProcessor` or, in older files, `ViTFeatureExtractor`.
fn find_defaults(processor: &str) -> Option<&'static ProcessorDefaults> {
    let base = processor
        .split_once("ImageProcessor")
        .or(processor.split_once("FeatureExtractor"))
        .map_or(processor, |(base, _)| base);
    // MobileNet has two versions.
    let base = base.trim_end_matches("V1").trim_end_matches("V2");
    PROCESSORS.iter().find(|defaults| !defaults.name.is_empty() && defaults.name.eq_ignore_ascii_case(base))
}

/// The processor named by a file, if it is unknown. The file is then read with generic defaults.
pub(crate) fn unknown_processor(text: &str) -> Option<String> {
    let file: File = serde_json::from_str(text).ok()?;
    let name = file.image_processor_type.or(file.feature_extractor_type)?;
    find_defaults(&name).is_none().then_some(name)
}

/// Reads the configuration, with the defaults of its processor.
///
/// # Errors
/// A message if a key is missing or has an unsupported value.
pub(crate) fn parse(text: &str) -> Result<PreprocessConfig, String> {
    let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let name = file.image_processor_type.as_deref().or(file.feature_extractor_type.as_deref()).unwrap_or_default();
    let [.., generic] = &PROCESSORS;
    let defaults = find_defaults(name).unwrap_or(generic);
    if defaults.name.is_empty() && file.crop_pct.is_some() {
        return Err(format!("crop_pct is set, which is not supported for '{name}'"));
    }
    for (key, value) in [("do_pad", file.do_pad), ("rescale_offset", file.rescale_offset)] {
        if value == Some(true) {
            return Err(format!("{key} is true; only false is supported"));
        }
    }
    let filter = match file.resample {
        None => defaults.filter,
        Some(code) => {
            Resampling::from_pillow(code).ok_or_else(|| format!("resample is {code}; Pillow defines 0 to 5"))?
        }
    };
    let mut resize = match (file.do_resize, &file.size) {
        (Some(false), _) => Resize::None,
        (_, Some(size)) => parse_size(size, defaults.is_shortest)?,
        (_, None) => return Err("size is missing".to_owned()),
    };
    let mut crop = None;
    if file.do_center_crop.unwrap_or(defaults.crops && file.crop_size.is_some()) {
        let size = file.crop_size.as_ref().or(file.size.as_ref()).ok_or("crop_size is missing")?;
        let (width, height) = match parse_size(size, false)? {
            Resize::Exact(width, height) => (width, height),
            Resize::ShortestEdge(edge) => (edge, edge),
            _ => return Err(format!("crop_size is {size}; expected a number, or height and width")),
        };
        crop = Some(Crop { width, height, rounding: CropRounding::Floor });
    }
    match (defaults.name, resize) {
        // For 384 pixels and more, ConvNeXT resizes without keeping the aspect ratio. For fewer, it crops a larger image.
        ("ConvNext", Resize::ShortestEdge(edge)) if edge >= 384 => resize = Resize::Exact(edge, edge),
        ("ConvNext", Resize::ShortestEdge(edge)) => {
            let crop_pct = file.crop_pct.unwrap_or(224.0 / 256.0);
            resize = Resize::ShortestEdge((f64::from(edge) / crop_pct) as u32);
            crop = Some(Crop { width: edge, height: edge, rounding: CropRounding::Floor });
        }
        ("Levit", Resize::ShortestEdge(edge)) => {
            resize = Resize::ShortestEdge((256.0 / 224.0 * f64::from(edge)) as u32);
        }
        _ => {}
    }
    let rescale = if file.do_rescale == Some(false) { 1.0 } else { file.rescale_factor.unwrap_or(1.0 / 255.0) };
    let (mut mean, mut std) = ([0.0; 3], [1.0; 3]);
    if file.do_normalize.unwrap_or(defaults.normalizes) {
        mean = file.image_mean.unwrap_or(defaults.mean);
        std = file.image_std.unwrap_or(defaults.std);
        if defaults.name == "EfficientNet" && file.include_top.unwrap_or(true) {
            std = std.map(|std| std * std);
        }
    }
    let flips = file.do_flip_channel_order.unwrap_or(defaults.name == "MobileViT");
    let channels = if flips { Channels::Bgr } else { Channels::Rgb };
    Ok(PreprocessConfig { resize, filter, crop, rescale, mean, std, channels, layout: Layout::Nchw })
}

/// Parses `224`, `{"shortest_edge": 224}` or `{"height": 224, "width": 224}`.
fn parse_size(size: &Value, is_shortest: bool) -> Result<Resize, String> {
    let edge = |key: &str| size.get(key).and_then(Value::as_u64).and_then(|edge| u32::try_from(edge).ok());
    if let Some(edge) = size.as_u64().and_then(|edge| u32::try_from(edge).ok()) {
        return Ok(if is_shortest { Resize::ShortestEdge(edge) } else { Resize::Exact(edge, edge) });
    }
    match (edge("shortest_edge"), edge("longest_edge"), edge("width"), edge("height")) {
        (Some(short), None, None, None) => Ok(Resize::ShortestEdge(short)),
        (Some(short), Some(long), None, None) => Ok(Resize::ShortestEdgeAtMost(short, long)),
        (None, None, Some(width), Some(height)) => Ok(Resize::Exact(width, height)),
        _ => Err(format!("size is {size}; expected a number, shortest_edge, or height and width")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn display(text: &str) -> String {
        parse(text).map_or_else(|error| error, |config| config.to_string())
    }

    #[test]
    fn processors_have_different_defaults() {
        let normalized = ", * 0.003921569, - (0.5, 0.5, 0.5), / (0.5, 0.5, 0.5), RGB, NCHW";
        assert_eq!(
            display(r#"{"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "resample": 2}"#),
            format!("resize 224 x 224 (bilinear){normalized}")
        );
        let half = r#""image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]"#;
        assert_eq!(
            display(&format!(
                r#"{{"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875, "resample": 3, {half}}}"#
            )),
            format!("resize shortest edge 256 (bicubic), crop 224 x 224{normalized}")
        );
        assert_eq!(
            display(&format!(
                r#"{{"image_processor_type": "ConvNextImageProcessor", "size": {{"shortest_edge": 384}}, "resample": 3, {half}}}"#
            )),
            format!("resize 384 x 384 (bicubic){normalized}")
        );
        assert_eq!(
            display(&format!(
                r#"{{"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224, "do_center_crop": true, {half}}}"#
            )),
            format!("resize shortest edge 224 (bicubic), crop 224 x 224{normalized}")
        );
        assert_eq!(
            display(
                r#"{"image_processor_type": "MobileViTImageProcessor", "size": {"shortest_edge": 288}, "crop_size": {"height": 256, "width": 256}}"#
            ),
            "resize shortest edge 288 (bicubic), crop 256 x 256, * 0.003921569, BGR, NCHW"
        );
    }

    #[test]
    fn unknown_processors_are_named() {
        let unknown = |name: &str| unknown_processor(&format!(r#"{{"image_processor_type": "{name}"}}"#));
        for name in [
            "ViTImageProcessor",
            "ViTFeatureExtractor",
            "MobileNetV1ImageProcessor",
            "CLIPImageProcessorFast",
            "siglipImageProcessor",
        ] {
            assert_eq!(unknown(name), None);
        }
        assert_eq!(unknown("ViTHybridImageProcessor").as_deref(), Some("ViTHybridImageProcessor"));
        assert_eq!(unknown_processor("{}"), None);
    }

    #[test]
    fn steps_can_be_disabled() {
        assert_eq!(
            display(
                r#"{"size": 8, "do_resize": false, "crop_size": 4, "do_center_crop": true, "do_rescale": false, "do_normalize": false}"#
            ),
            "resize none (bilinear), crop 4 x 4, RGB, NCHW"
        );
    }

    #[test]
    fn unsupported_values_are_rejected() {
        for (text, problem) in [
            (r#"{"size": 8, "resample": 6}"#, "resample is 6; Pillow defines 0 to 5"),
            (r#"{"size": 8, "do_pad": true}"#, "do_pad is true; only false is supported"),
            (r#"{"do_resize": true}"#, "size is missing"),
            (
                r#"{"size": {"max_height": 8}}"#,
                r#"size is {"max_height":8}; expected a number, shortest_edge, or height and width"#,
            ),
            (
                r#"{"image_processor_type": "PoolFormerImageProcessor", "size": {"shortest_edge": 8}, "crop_pct": 0.9}"#,
                "crop_pct is set, which is not supported for 'PoolFormerImageProcessor'",
            ),
            ("[1]", "invalid type: integer `1`, expected a string at line 1 column 2"),
        ] {
            assert_eq!(display(text), problem);
        }
    }
}
