//! [`Preprocess`] turns a picture into the numbers that a model was trained on.

use ocelli_udf::image::{Filter, Rgb, resize};
use serde::Deserialize;

use crate::kernels::normalize;

/// What a `preprocessor_config.json` asks for, ready to run.
///
/// ```text
/// [h, w, 3] u8 ──resize──▶ [height, width, 3] u8 ──value · rescale, − mean, / std──▶ [3, height, width] f32
/// ```
#[derive(Debug, Clone)]
pub(crate) struct Preprocess {
    pub(crate) width: usize,
    pub(crate) height: usize,
    filter: Filter,
    /// `[channel][pixel value]`: all arithmetic on pixels, done in advance.
    table: [[f32; 256]; 3],
}

/// The file as the Hugging Face hub has it. Keys that say nothing about pixels are ignored.
#[derive(Deserialize)]
struct File {
    size: Size,
    resample: u8,
    rescale_factor: f32,
    image_mean: [f32; 3],
    image_std: [f32; 3],
    do_resize: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    do_center_crop: Option<bool>,
}

#[derive(Deserialize)]
struct Size {
    height: u32,
    width: u32,
}

/// Pillow's number of the bilinear filter.
const BILINEAR: u8 = 2;

impl Preprocess {
    /// Reads a `preprocessor_config.json`.
    ///
    /// # Errors
    /// One sentence when a key is missing or asks for what is not known here.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if file.size.width == 0 || file.size.height == 0 {
            return Err(format!("size is {} x {}, a picture has pixels", file.size.width, file.size.height));
        }
        let steps = [
            ("do_resize", file.do_resize, true),
            ("do_rescale", file.do_rescale, true),
            ("do_normalize", file.do_normalize, true),
            ("do_center_crop", file.do_center_crop, false),
        ];
        if let Some((key, _, known)) = steps.iter().find(|(_, value, known)| value.is_some_and(|value| value != *known))
        {
            return Err(format!("{key} is {}, only {known} is known", !known));
        }
        if file.resample != BILINEAR {
            return Err(format!("resample is {}, only {BILINEAR} (bilinear) is known", file.resample));
        }
        // The order of these operations is that of the image processors, to the last bit.
        let value = |channel: usize, pixel: usize| {
            (pixel as f32 * file.rescale_factor - file.image_mean[channel]) / file.image_std[channel]
        };
        Ok(Self {
            width: file.size.width as usize,
            height: file.size.height as usize,
            filter: Filter::Bilinear,
            table: std::array::from_fn(|channel| std::array::from_fn(|pixel| value(channel, pixel))),
        })
    }

    /// Numbers in a prepared picture.
    pub(crate) fn len(&self) -> usize {
        3 * self.height * self.width
    }

    /// Writes one prepared picture to `out`, `[3, height, width]`.
    pub(crate) fn apply(&self, image: &Rgb, out: &mut [f32]) {
        // Both sides were u32 when they were parsed.
        let (width, height) = (self.width as u32, self.height as u32);
        if (image.width, image.height) == (width, height) {
            return normalize(&image.data, &self.table, out);
        }
        normalize(&resize(image, width, height, self.filter).data, &self.table, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"do_resize": true, "size": {"height": 2, "width": 1}, "resample": 2,
        "rescale_factor": 0.00390625, "image_mean": [0.0, 0.5, 0.0], "image_std": [1.0, 0.5, 1.0]}"#;

    #[test]
    fn pixels_become_channels() {
        let preprocess = Preprocess::parse(FILE).unwrap();
        let image = Rgb { width: 1, height: 2, data: vec![0, 128, 64, 128, 0, 32] };
        let mut out = vec![0.0; preprocess.len()];
        preprocess.apply(&image, &mut out);
        assert_eq!(out, [0.0, 0.5, 0.0, -1.0, 0.25, 0.125]);
    }

    #[test]
    fn other_filters_are_refused() {
        let error = Preprocess::parse(&FILE.replace("\"resample\": 2", "\"resample\": 3")).unwrap_err();
        assert_eq!(error, "resample is 3, only 2 (bilinear) is known");
    }

    #[test]
    fn other_steps_are_refused() {
        let error = Preprocess::parse(&FILE.replace("\"do_resize\"", "\"do_center_crop\"")).unwrap_err();
        assert_eq!(error, "do_center_crop is true, only false is known");
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = Preprocess::parse("{}").unwrap_err();
        assert!(error.starts_with("missing field `size`"), "{error}");
    }

    #[test]
    fn an_empty_picture_is_refused() {
        let error = Preprocess::parse(&FILE.replace("\"width\": 1", "\"width\": 0")).unwrap_err();
        assert_eq!(error, "size is 0 x 2, a picture has pixels");
    }
}
