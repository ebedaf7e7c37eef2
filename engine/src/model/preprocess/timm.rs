//! [`preprocess_config`]: reads the `pretrained_cfg` of a `config.json`, which timm writes, as timm's evaluation transforms do.

use ocelli_udf::image::Resampling;
use serde::Deserialize;

use super::{Channels, Crop, CropRounding, IMAGENET_MEAN, IMAGENET_STD, Layout, PreprocessConfig, Resize};

/// The keys that affect pixels.
#[derive(Deserialize)]
pub(crate) struct PretrainedCfg {
    /// `[channels, height, width]`
    input_size: [u32; 3],
    interpolation: Option<String>,
    crop_pct: Option<f64>,
    crop_mode: Option<String>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
}

/// The default `crop_pct` of timm (`DEFAULT_CROP_PCT` in `timm.data.constants`).
const CROP_PCT: f64 = 0.875;

/// Converts the configuration.
///
/// # Errors
/// A message if a value is not supported.
pub(crate) fn preprocess_config(cfg: &PretrainedCfg) -> Result<PreprocessConfig, String> {
    let [channels, height, width] = cfg.input_size;
    if channels != 3 {
        return Err(format!("input_size has {channels} channels; only 3 are supported"));
    }
    let name = cfg.interpolation.as_deref().unwrap_or("bicubic");
    let filter = Resampling::from_name(name).ok_or_else(|| format!("interpolation '{name}' is unknown"))?;
    let crop_pct = cfg.crop_pct.unwrap_or(CROP_PCT);
    // Rounded down, as in timm.
    let scaled = |edge: u32| (f64::from(edge) / crop_pct).floor() as u32;
    let resize = match cfg.crop_mode.as_deref().unwrap_or("center") {
        "squash" => Resize::Exact(scaled(width), scaled(height)),
        "center" if width == height => Resize::ShortestEdge(scaled(width)),
        "center" => return Err(format!("input_size is {width} x {height}, but crop_mode 'center' needs a square")),
        other => return Err(format!("crop_mode is '{other}'; only 'center' and 'squash' are supported")),
    };
    Ok(PreprocessConfig {
        resize,
        filter,
        crop: Some(Crop { width, height, rounding: CropRounding::Even }),
        rescale: 1.0 / 255.0,
        mean: cfg.mean.unwrap_or(IMAGENET_MEAN),
        std: cfg.std.unwrap_or(IMAGENET_STD),
        channels: Channels::Rgb,
        layout: Layout::Nchw,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn display(text: &str) -> String {
        preprocess_config(&serde_json::from_str(text).unwrap()).map_or_else(|error| error, |config| config.to_string())
    }

    #[test]
    fn crop_pct_enlarges_the_resize() {
        let rest = "* 0.003921569, - (0.485, 0.456, 0.406), / (0.229, 0.224, 0.225), RGB, NCHW";
        assert_eq!(
            display(r#"{"input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.95}"#),
            format!("resize shortest edge 235 (bicubic), crop 224 x 224, {rest}")
        );
        assert_eq!(
            display(
                r#"{"input_size": [3, 288, 288], "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "squash"}"#
            ),
            format!("resize 288 x 288 (bicubic), crop 288 x 288, {rest}")
        );
    }

    #[test]
    fn unsupported_values_are_rejected() {
        for (text, problem) in [
            (r#"{"input_size": [1, 8, 8]}"#, "input_size has 1 channels; only 3 are supported"),
            (r#"{"input_size": [3, 8, 8], "interpolation": "random"}"#, "interpolation 'random' is unknown"),
            (
                r#"{"input_size": [3, 8, 8], "crop_mode": "border"}"#,
                "crop_mode is 'border'; only 'center' and 'squash' are supported",
            ),
        ] {
            assert_eq!(display(text), problem);
        }
    }
}
