//! [`recipe`] reads the `pretrained_cfg` of a `config.json`, which timm writes, as timm's evaluation transforms do.

use ocelli_udf::image::Filter;
use serde::Deserialize;

use super::{Channels, Crop, IMAGENET_MEAN, IMAGENET_STD, Layout, Recipe, Resize, Rounding};

/// The keys that say something about pixels.
#[derive(Deserialize)]
pub(crate) struct PretrainedCfg {
    /// Channels, height and width.
    input_size: [u32; 3],
    interpolation: Option<String>,
    crop_pct: Option<f64>,
    crop_mode: Option<String>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
}

/// What timm takes for granted (`timm.data.constants`).
const CROP_PCT: f64 = 0.875;

/// # Errors
/// One sentence when it asks for what is not known here.
pub(crate) fn recipe(cfg: &PretrainedCfg) -> Result<Recipe, String> {
    let [channels, height, width] = cfg.input_size;
    if channels != 3 {
        return Err(format!("input_size has {channels} channels, pictures have 3"));
    }
    let name = cfg.interpolation.as_deref().unwrap_or("bicubic");
    let filter = Filter::from_name(name).ok_or_else(|| format!("interpolation is '{name}', which is not known"))?;
    let part = cfg.crop_pct.unwrap_or(CROP_PCT);
    // timm rounds down.
    let scaled = |edge: u32| (f64::from(edge) / part).floor() as u32;
    let resize = match cfg.crop_mode.as_deref().unwrap_or("center") {
        "squash" => Resize::Exact(scaled(width), scaled(height)),
        "center" if width == height => Resize::ShortestEdge(scaled(width)),
        "center" => return Err(format!("input_size is {width} x {height}, and crop_mode 'center' wants a square")),
        other => return Err(format!("crop_mode is '{other}', only 'center' and 'squash' are known")),
    };
    Ok(Recipe {
        resize,
        filter,
        crop: Some(Crop { width, height, rounding: Rounding::Even }),
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

    fn shown(text: &str) -> String {
        recipe(&serde_json::from_str(text).unwrap()).map_or_else(|error| error, |recipe| recipe.to_string())
    }

    #[test]
    fn the_middle_of_a_larger_picture() {
        let rest = "* 0.003921569, - (0.485, 0.456, 0.406), / (0.229, 0.224, 0.225), RGB, NCHW";
        assert_eq!(
            shown(r#"{"input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.95}"#),
            format!("resize shortest edge 235 (bicubic), crop 224 x 224, {rest}")
        );
        assert_eq!(
            shown(
                r#"{"input_size": [3, 288, 288], "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "squash"}"#
            ),
            format!("resize 288 x 288 (bicubic), crop 288 x 288, {rest}")
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (text, problem) in [
            (r#"{"input_size": [1, 8, 8]}"#, "input_size has 1 channels, pictures have 3"),
            (
                r#"{"input_size": [3, 8, 8], "interpolation": "random"}"#,
                "interpolation is 'random', which is not known",
            ),
            (
                r#"{"input_size": [3, 8, 8], "crop_mode": "border"}"#,
                "crop_mode is 'border', only 'center' and 'squash' are known",
            ),
        ] {
            assert_eq!(shown(text), problem);
        }
    }
}
