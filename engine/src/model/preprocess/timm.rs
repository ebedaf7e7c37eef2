//! [`parse`]: reads the `pretrained_cfg` of a `config.json`, which timm writes, as timm's evaluation transforms do.

use ocelli_udf::image::Resampling;
use serde_json::Value;

use super::fields::{Fields, edge, invalid};
use super::overrides::{PreprocessOverrides, SET_CROP, SET_MEAN, SET_RESAMPLE, SET_SIZE, SET_STD};
use super::{Channels, Crop, CropRounding, IMAGENET_MEAN, IMAGENET_STD, Layout, PreprocessConfig, Resize};

/// The default `crop_pct` of timm (`DEFAULT_CROP_PCT` in `timm.data.constants`).
const CROP_PCT: f64 = 0.875;
/// The default `input_size` of timm (`timm.data.resolve_data_config`): height and width.
const INPUT_EDGE: u32 = 224;

/// Reads the configuration, with the options applied. Absent fields and null have timm's defaults; a setting that an option replaces
/// is not read.
///
/// # Errors
/// A message if a value is not supported; it names the option that replaces it.
pub(crate) fn parse(cfg: &Value, overrides: &PreprocessOverrides) -> Result<PreprocessConfig, String> {
    let fields = Fields::without_null(cfg)?;
    Ok(PreprocessConfig {
        resize: overrides.size.map_or_else(|| resize(fields), Ok)?,
        filter: overrides.resample.map_or_else(|| filter(fields), Ok)?,
        crop: overrides.crop.map_or_else(|| crop(fields).map(Some), Ok)?,
        rescale: overrides.rescale_factor.unwrap_or(1.0 / 255.0),
        mean: overrides.mean.map_or_else(|| fields.per_channel("mean", IMAGENET_MEAN, SET_MEAN), Ok)?,
        std: overrides.std.map_or_else(|| fields.per_channel("std", IMAGENET_STD, SET_STD), Ok)?,
        channels: overrides.channels.unwrap_or(Channels::Rgb),
        layout: Layout::Nchw,
    })
}

/// Width and height of the model input.
fn input_size(fields: Fields, remedy: &str) -> Result<(u32, u32), String> {
    let Some(value) = fields.get("input_size") else { return Ok((INPUT_EDGE, INPUT_EDGE)) };
    let edges: Option<Vec<u32>> = value.as_array().and_then(|values| values.iter().map(edge).collect());
    match edges.as_deref() {
        Some([3, height, width]) => Ok((*width, *height)),
        _ => Err(invalid("input_size", value, "3 channels, height and width", remedy)),
    }
}

fn resize(fields: Fields) -> Result<Resize, String> {
    let (width, height) = input_size(fields, SET_SIZE)?;
    let crop_pct = fields.number("crop_pct", CROP_PCT, SET_SIZE)?;
    // Rounded down, as in timm.
    let scaled = |edge: u32| (f64::from(edge) / crop_pct).floor() as u32;
    let center = Value::from("center");
    let mode = fields.get("crop_mode").unwrap_or(&center);
    match mode.as_str() {
        Some("squash") => Ok(Resize::Exact(scaled(width), scaled(height))),
        Some("center") if width == height => Ok(Resize::ShortestEdge(scaled(width))),
        Some("center") => {
            Err(format!("input_size is {width} x {height}, but crop_mode 'center' needs a square; {SET_SIZE}"))
        }
        _ => Err(invalid("crop_mode", mode, "\"center\" or \"squash\"", SET_SIZE)),
    }
}

fn crop(fields: Fields) -> Result<Crop, String> {
    let (width, height) = input_size(fields, SET_CROP)?;
    Ok(Crop { width, height, rounding: CropRounding::Even })
}

fn filter(fields: Fields) -> Result<Resampling, String> {
    let Some(value) = fields.get("interpolation") else { return Ok(Resampling::Bicubic) };
    let filter = value.as_str().and_then(Resampling::from_name);
    filter.ok_or_else(|| invalid("interpolation", value, "a filter of Pillow", SET_RESAMPLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn display(text: &str, overrides: &PreprocessOverrides) -> String {
        let config = parse(&serde_json::from_str(text).unwrap(), overrides);
        config.map_or_else(|error| error, |config| config.to_string())
    }

    const REST: &str = "* 0.003921569, - (0.485, 0.456, 0.406), / (0.229, 0.224, 0.225), RGB, NCHW";

    #[test]
    fn crop_pct_enlarges_the_resize() {
        let none = PreprocessOverrides::default();
        assert_eq!(
            display(r#"{"input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.95}"#, &none),
            format!("resize shortest edge 235 (bicubic), crop 224 x 224, {REST}")
        );
        assert_eq!(
            display(
                r#"{"input_size": [3, 288, 288], "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "squash"}"#,
                &none
            ),
            format!("resize 288 x 288 (bicubic), crop 288 x 288, {REST}")
        );
    }

    #[test]
    fn absent_fields_and_null_have_defaults() {
        let expected = format!("resize shortest edge 256 (bicubic), crop 224 x 224, {REST}");
        let null = r#"{"input_size": null, "interpolation": null, "crop_pct": null, "crop_mode": null, "mean": null, "std": null}"#;
        for text in ["{}", null] {
            assert_eq!(display(text, &PreprocessOverrides::default()), expected);
        }
    }

    #[test]
    fn unsupported_values_name_the_option() {
        for (text, problem) in [
            (
                r#"{"input_size": [1, 8, 8]}"#,
                "input_size is [1,8,8]; expected 3 channels, height and width, or set the option 'size'",
            ),
            (
                r#"{"interpolation": "random"}"#,
                r#"interpolation is "random"; expected a filter of Pillow, or set the option 'resample'"#,
            ),
            (
                r#"{"crop_mode": "border"}"#,
                r#"crop_mode is "border"; expected "center" or "squash", or set the option 'size'"#,
            ),
            (
                r#"{"input_size": [3, 8, 9]}"#,
                "input_size is 9 x 8, but crop_mode 'center' needs a square; set the option 'size'",
            ),
            (r#"{"mean": [0.5]}"#, "mean is [0.5]; expected a number or three, or set the option 'mean'"),
            ("7", "it is 7; expected an object"),
        ] {
            assert_eq!(display(text, &PreprocessOverrides::default()), problem);
        }
    }

    #[test]
    fn an_option_wins_before_the_value_is_read() {
        let overrides = PreprocessOverrides {
            size: Some(Resize::Exact(8, 8)),
            crop: Some(None),
            resample: Some(Resampling::Box),
            ..Default::default()
        };
        let text = r#"{"input_size": [1], "interpolation": 7, "crop_pct": "x", "crop_mode": "border"}"#;
        assert_eq!(display(text, &overrides), format!("resize 8 x 8 (box), {REST}"));
    }
}
