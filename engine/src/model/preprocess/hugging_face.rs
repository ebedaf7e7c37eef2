//! [`parse`] reads a `preprocessor_config.json` as the image processors of Hugging Face's transformers do.
//!
//! The processors differ in what they take for granted: a bare `size` is the shortest edge to one and both edges to another,
//! ConvNeXT's crops by a `crop_pct`, LeViT's enlarges first, EfficientNet's divides twice. The file names its processor.

use ocelli_udf::image::Filter;
use serde::Deserialize;
use serde_json::Value;

use super::{Channels, Crop, IMAGENET_MEAN, IMAGENET_STD, Layout, Recipe, Resize, Rounding};

/// The keys that say something about pixels. Others are ignored.
#[derive(Deserialize)]
struct File {
    image_processor_type: Option<String>,
    /// What older files call it.
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

/// What a processor does unless its file says otherwise.
struct Processor {
    /// Without `ImageProcessor`.
    name: &'static str,
    /// A `size` that is one number is the shortest edge.
    is_shortest: bool,
    crops: bool,
    filter: Filter,
    normalizes: bool,
    mean: [f32; 3],
    std: [f32; 3],
}

const HALF: [f32; 3] = [0.5; 3];
const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

const fn processor(name: &'static str, is_shortest: bool, crops: bool, filter: Filter) -> Processor {
    Processor { name, is_shortest, crops, filter, normalizes: true, mean: IMAGENET_MEAN, std: IMAGENET_STD }
}

/// Of transformers 5; the last one is for files that name none of them.
static PROCESSORS: [Processor; 11] = [
    Processor { mean: HALF, std: HALF, ..processor("ConvNext", true, false, Filter::Bicubic) },
    Processor { mean: CLIP_MEAN, std: CLIP_STD, ..processor("CLIP", true, true, Filter::Bicubic) },
    Processor { mean: CLIP_MEAN, std: CLIP_STD, ..processor("Bit", true, true, Filter::Bicubic) },
    processor("Levit", true, true, Filter::Bicubic),
    Processor { mean: HALF, std: HALF, ..processor("DeiT", false, true, Filter::Bicubic) },
    Processor { mean: HALF, std: HALF, ..processor("MobileNet", true, true, Filter::Bilinear) },
    Processor { normalizes: false, ..processor("MobileViT", true, true, Filter::Bicubic) },
    Processor { mean: HALF, std: HALF, ..processor("EfficientNet", false, false, Filter::Bicubic) },
    Processor { mean: HALF, std: HALF, ..processor("Siglip", false, false, Filter::Bicubic) },
    Processor { mean: HALF, std: HALF, ..processor("ViT", false, false, Filter::Bilinear) },
    processor("", false, false, Filter::Bilinear),
];

/// The processor of a name, `ViTImageProcessor` or, in older files, `ViTFeatureExtractor`.
fn processor_of(named: &str) -> Option<&'static Processor> {
    let base =
        named.split_once("ImageProcessor").or(named.split_once("FeatureExtractor")).map_or(named, |(base, _)| base);
    // That of MobileNets comes in two versions.
    let base = base.trim_end_matches("V1").trim_end_matches("V2");
    PROCESSORS.iter().find(|known| !known.name.is_empty() && known.name.eq_ignore_ascii_case(base))
}

/// The processor that a file names, when it is none of these and is read as the plain one.
pub(crate) fn unknown_processor(text: &str) -> Option<String> {
    let file: File = serde_json::from_str(text).ok()?;
    let named = file.image_processor_type.or(file.feature_extractor_type)?;
    processor_of(&named).is_none().then_some(named)
}

/// # Errors
/// One sentence when a key is missing or asks for what is not known here.
pub(crate) fn parse(text: &str) -> Result<Recipe, String> {
    let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let named = file.image_processor_type.as_deref().or(file.feature_extractor_type.as_deref()).unwrap_or_default();
    let [.., other] = &PROCESSORS;
    let known = processor_of(named).unwrap_or(other);
    if known.name.is_empty() && file.crop_pct.is_some() {
        return Err(format!("crop_pct is there, and how '{named}' takes it is not known"));
    }
    for (key, value) in [("do_pad", file.do_pad), ("rescale_offset", file.rescale_offset)] {
        if value == Some(true) {
            return Err(format!("{key} is true, only false is known"));
        }
    }
    let filter = match file.resample {
        None => known.filter,
        Some(number) => {
            Filter::from_pillow(number).ok_or_else(|| format!("resample is {number}, Pillow has 0 to 5"))?
        }
    };
    let mut resize = match (file.do_resize, &file.size) {
        (Some(false), _) => Resize::None,
        (_, Some(size)) => to_resize(size, known.is_shortest)?,
        (_, None) => return Err("size is missing".to_owned()),
    };
    let mut crop = None;
    if file.do_center_crop.unwrap_or(known.crops && file.crop_size.is_some()) {
        let size = file.crop_size.as_ref().or(file.size.as_ref()).ok_or("crop_size is missing")?;
        let (width, height) = match to_resize(size, false)? {
            Resize::Exact(width, height) => (width, height),
            Resize::ShortestEdge(edge) => (edge, edge),
            _ => return Err(format!("crop_size is {size}, a number or a height and a width are known")),
        };
        crop = Some(Crop { width, height, rounding: Rounding::Floor });
    }
    match (known.name, resize) {
        // From 384 pixels on it warps; below, it crops to the edge from a larger picture.
        ("ConvNext", Resize::ShortestEdge(edge)) if edge >= 384 => resize = Resize::Exact(edge, edge),
        ("ConvNext", Resize::ShortestEdge(edge)) => {
            let part = file.crop_pct.unwrap_or(224.0 / 256.0);
            resize = Resize::ShortestEdge((f64::from(edge) / part) as u32);
            crop = Some(Crop { width: edge, height: edge, rounding: Rounding::Floor });
        }
        ("Levit", Resize::ShortestEdge(edge)) => {
            resize = Resize::ShortestEdge((256.0 / 224.0 * f64::from(edge)) as u32);
        }
        _ => {}
    }
    let rescale = if file.do_rescale == Some(false) { 1.0 } else { file.rescale_factor.unwrap_or(1.0 / 255.0) };
    let (mut mean, mut std) = ([0.0; 3], [1.0; 3]);
    if file.do_normalize.unwrap_or(known.normalizes) {
        mean = file.image_mean.unwrap_or(known.mean);
        std = file.image_std.unwrap_or(known.std);
        if known.name == "EfficientNet" && file.include_top.unwrap_or(true) {
            std = std.map(|std| std * std);
        }
    }
    let flips = file.do_flip_channel_order.unwrap_or(known.name == "MobileViT");
    let channels = if flips { Channels::Bgr } else { Channels::Rgb };
    Ok(Recipe { resize, filter, crop, rescale, mean, std, channels, layout: Layout::Nchw })
}

/// `224`, `{"shortest_edge": 224}` or `{"height": 224, "width": 224}`.
fn to_resize(size: &Value, is_shortest: bool) -> Result<Resize, String> {
    let edge = |key: &str| size.get(key).and_then(Value::as_u64).and_then(|edge| u32::try_from(edge).ok());
    if let Some(edge) = size.as_u64().and_then(|edge| u32::try_from(edge).ok()) {
        return Ok(if is_shortest { Resize::ShortestEdge(edge) } else { Resize::Exact(edge, edge) });
    }
    match (edge("shortest_edge"), edge("longest_edge"), edge("width"), edge("height")) {
        (Some(short), None, None, None) => Ok(Resize::ShortestEdge(short)),
        (Some(short), Some(long), None, None) => Ok(Resize::ShortestEdgeAtMost(short, long)),
        (None, None, Some(width), Some(height)) => Ok(Resize::Exact(width, height)),
        _ => Err(format!("size is {size}; a number, shortest_edge, or height and width are known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        parse(text).map_or_else(|error| error, |recipe| recipe.to_string())
    }

    #[test]
    fn processors_take_different_things_for_granted() {
        let normalized = ", * 0.003921569, - (0.5, 0.5, 0.5), / (0.5, 0.5, 0.5), RGB, NCHW";
        assert_eq!(
            shown(r#"{"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "resample": 2}"#),
            format!("resize 224 x 224 (bilinear){normalized}")
        );
        let half = r#""image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]"#;
        assert_eq!(
            shown(&format!(
                r#"{{"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875, "resample": 3, {half}}}"#
            )),
            format!("resize shortest edge 256 (bicubic), crop 224 x 224{normalized}")
        );
        assert_eq!(
            shown(&format!(
                r#"{{"image_processor_type": "ConvNextImageProcessor", "size": {{"shortest_edge": 384}}, "resample": 3, {half}}}"#
            )),
            format!("resize 384 x 384 (bicubic){normalized}")
        );
        assert_eq!(
            shown(&format!(
                r#"{{"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224, "do_center_crop": true, {half}}}"#
            )),
            format!("resize shortest edge 224 (bicubic), crop 224 x 224{normalized}")
        );
        assert_eq!(
            shown(
                r#"{"image_processor_type": "MobileViTImageProcessor", "size": {"shortest_edge": 288}, "crop_size": {"height": 256, "width": 256}}"#
            ),
            "resize shortest edge 288 (bicubic), crop 256 x 256, * 0.003921569, BGR, NCHW"
        );
    }

    #[test]
    fn unknown_processors_are_named() {
        let unknown = |name: &str| unknown_processor(&format!(r#"{{"image_processor_type": "{name}"}}"#));
        for known in [
            "ViTImageProcessor",
            "ViTFeatureExtractor",
            "MobileNetV1ImageProcessor",
            "CLIPImageProcessorFast",
            "siglipImageProcessor",
        ] {
            assert_eq!(unknown(known), None);
        }
        assert_eq!(unknown("ViTHybridImageProcessor").as_deref(), Some("ViTHybridImageProcessor"));
        assert_eq!(unknown_processor("{}"), None);
    }

    #[test]
    fn steps_can_be_left_out() {
        assert_eq!(
            shown(
                r#"{"size": 8, "do_resize": false, "crop_size": 4, "do_center_crop": true, "do_rescale": false, "do_normalize": false}"#
            ),
            "resize none (bilinear), crop 4 x 4, RGB, NCHW"
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (text, problem) in [
            (r#"{"size": 8, "resample": 6}"#, "resample is 6, Pillow has 0 to 5"),
            (r#"{"size": 8, "do_pad": true}"#, "do_pad is true, only false is known"),
            (r#"{"do_resize": true}"#, "size is missing"),
            (
                r#"{"size": {"max_height": 8}}"#,
                r#"size is {"max_height":8}; a number, shortest_edge, or height and width are known"#,
            ),
            (
                r#"{"image_processor_type": "PoolFormerImageProcessor", "size": {"shortest_edge": 8}, "crop_pct": 0.9}"#,
                "crop_pct is there, and how 'PoolFormerImageProcessor' takes it is not known",
            ),
            ("[1]", "invalid type: integer `1`, expected a string at line 1 column 2"),
        ] {
            assert_eq!(shown(text), problem);
        }
    }
}
