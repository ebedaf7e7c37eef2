//! [`ModelOptions`]: the `OPTIONS (…)` of `CREATE MODEL`.

use ocelli_udf::image::Resampling;

use super::activation::Activation;
use super::preprocess::{Channels, Crop, CropRounding, Layout, PreprocessOverrides, Resize};
use crate::backend::ModelBackendOptions;
use crate::options::{BackendChoice, DeviceChoice, PrecisionChoice};

/// Options of a model. Each overrides the setting in the files.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ModelOptions {
    /// Backend, device, adapter and precision.
    pub(crate) backend: ModelBackendOptions,
    /// A text file with one label per line.
    pub(crate) labels: Option<String>,
    /// The tensor that `embed` returns.
    pub(crate) embedding: Option<String>,
    /// The function that turns outputs into scores.
    pub(crate) activation: Option<Activation>,
    pub(crate) preprocess: PreprocessOverrides,
}

/// The option names listed in messages.
const NAMES: &str = "activation, adapter, backend, channels, crop, device, embedding, labels, layout, mean, precision, \
                     rescale_factor, resample, size, std";

impl ModelOptions {
    /// Parses pairs of key and value. Keys are case-insensitive.
    ///
    /// # Errors
    /// A message for an unknown or repeated option, or an invalid value.
    pub(crate) fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut options = Self::default();
        let preprocess = &mut options.preprocess;
        let mut seen = Vec::new();
        for (key, value) in pairs {
            let value = value.trim();
            if seen.contains(&key.to_ascii_lowercase()) {
                return Err(format!("option '{key}' is given twice"));
            }
            seen.push(key.to_ascii_lowercase());
            match key.to_ascii_lowercase().as_str() {
                "activation" => options.activation = Some(Activation::parse(value)?),
                "adapter" if value.is_empty() => {
                    return Err("adapter must be a substring of a GPU's name, got ''".to_owned());
                }
                "adapter" => options.backend.adapter = Some(value.to_owned()),
                "backend" => options.backend.backend = Some(BackendChoice::parse(value)?),
                "device" => options.backend.device = Some(DeviceChoice::parse(value)?),
                "precision" => options.backend.precision = Some(PrecisionChoice::parse(value)?),
                "labels" => options.labels = Some(value.to_owned()),
                "embedding" => options.embedding = Some(value.to_owned()),
                "size" => preprocess.size = Some(parse_size(value)?),
                "crop" => preprocess.crop = Some(parse_crop(value)?),
                "resample" => preprocess.resample = Some(parse_resample(value)?),
                "rescale_factor" => preprocess.rescale_factor = Some(parse_number(key, value)?),
                "mean" => preprocess.mean = Some(parse_per_channel(key, value)?),
                "std" => preprocess.std = Some(parse_per_channel(key, value)?),
                "channels" => {
                    preprocess.channels = Some(parse_enum(key, value, ["rgb", "bgr"], [Channels::Rgb, Channels::Bgr])?)
                }
                "layout" => {
                    preprocess.layout = Some(parse_enum(key, value, ["nchw", "nhwc"], [Layout::Nchw, Layout::Nhwc])?)
                }
                _ => return Err(format!("option '{key}' does not exist; the options are {NAMES}")),
            }
        }
        Ok(options)
    }

    /// Whether an option applies to image models only.
    pub(crate) fn has_image_options(&self) -> bool {
        *self != Self { backend: self.backend.clone(), ..Self::default() }
    }
}

fn parse_size(value: &str) -> Result<Resize, String> {
    match (value, parse_edges(value)) {
        ("none", _) => Ok(Resize::None),
        (_, Some((edge, None))) => Ok(Resize::ShortestEdge(edge)),
        (_, Some((width, Some(height)))) => Ok(Resize::Exact(width, height)),
        _ => Err(format!(
            "size must be '256' for the shortest edge, '256x256' for width and height, or 'none', got '{value}'"
        )),
    }
}

fn parse_crop(value: &str) -> Result<Option<Crop>, String> {
    match (value, parse_edges(value)) {
        ("none", _) => Ok(None),
        (_, Some((width, height))) => {
            Ok(Some(Crop { width, height: height.unwrap_or(width), rounding: CropRounding::Even }))
        }
        _ => Err(format!("crop must be '224', '224x224' for width and height, or 'none', got '{value}'")),
    }
}

/// Parses `224` or `640x480`.
fn parse_edges(value: &str) -> Option<(u32, Option<u32>)> {
    match value.split_once('x') {
        None => Some((value.parse().ok()?, None)),
        Some((width, height)) => Some((width.trim().parse().ok()?, Some(height.trim().parse().ok()?))),
    }
}

fn parse_resample(value: &str) -> Result<Resampling, String> {
    let names: Vec<&str> = Resampling::NAMES.iter().map(|(name, _)| *name).collect();
    Resampling::from_name(value).ok_or_else(|| format!("resample must be one of {}, got '{value}'", names.join(", ")))
}

fn parse_number(key: &str, value: &str) -> Result<f64, String> {
    let number = value.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| format!("{key} must be a number, got '{value}'"))
}

/// Parses `0.485, 0.456, 0.406`, or one number for all channels.
fn parse_per_channel(key: &str, value: &str) -> Result<[f32; 3], String> {
    let values: Result<Vec<f32>, String> =
        value.split(',').map(|part| parse_number(key, part).map(|number| number as f32)).collect();
    match values.as_deref() {
        Ok([all]) => Ok([*all; 3]),
        Ok([a, b, c]) => Ok([*a, *b, *c]),
        _ => Err(format!("{key} must be three numbers, as in '0.5, 0.5, 0.5', got '{value}'")),
    }
}

fn parse_enum<T: Copy>(key: &str, value: &str, names: [&str; 2], values: [T; 2]) -> Result<T, String> {
    let position = names.iter().position(|name| name.eq_ignore_ascii_case(value));
    let [first, second] = names;
    position.map(|index| values[index]).ok_or_else(|| format!("{key} must be '{first}' or '{second}', got '{value}'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preprocess::PreprocessConfig;

    #[test]
    fn options_override_the_configuration() {
        let options = ModelOptions::parse([
            ("SIZE", "232"),
            ("crop", "192x160"),
            ("resample", "Bicubic"),
            ("mean", "104,117,123"),
            ("std", "1"),
            ("rescale_factor", "1"),
            ("channels", "BGR"),
            ("layout", "nhwc"),
        ]);
        assert_eq!(
            options.unwrap().preprocess.apply(PreprocessConfig::imagenet(224, 224)).to_string(),
            "resize shortest edge 232 (bicubic), crop 192 x 160, - (104, 117, 123), BGR, NHWC"
        );
        let options =
            ModelOptions::parse([("backend", "rten"), ("device", "auto"), ("Activation", "Sigmoid")]).unwrap();
        assert!(options.preprocess.is_empty() && options.has_image_options());
        assert_eq!(options.activation, Some(Activation::Sigmoid));
    }

    #[test]
    fn invalid_values_are_named() {
        for (key, value, problem) in [
            ("bakend", "rten", "option 'bakend' does not exist; the options are activation, adapter"),
            ("backend", "tract", "backend must be 'auto', 'gpu', 'ort' or 'rten', got 'tract'"),
            ("device", "tpu", "device must be 'auto', 'cpu' or 'gpu', got 'tpu'"),
            ("adapter", " ", "adapter must be a substring of a GPU's name, got ''"),
            ("precision", "f8", "precision must be 'auto', 'f32' or 'f16', got 'f8'"),
            ("size", "large", "size must be '256' for the shortest edge"),
            ("crop", "1x2x3", "crop must be '224'"),
            (
                "resample",
                "cubic",
                "resample must be one of nearest, box, bilinear, hamming, bicubic, lanczos, got 'cubic'",
            ),
            ("mean", "1,2", "mean must be three numbers"),
            ("std", "a", "std must be three numbers"),
            ("rescale_factor", "inf", "rescale_factor must be a number, got 'inf'"),
            ("rescale_factor", "half", "rescale_factor must be a number, got 'half'"),
            ("activation", "tanh", "activation must be 'softmax', 'sigmoid' or 'none', got 'tanh'"),
            ("layout", "hwc", "layout must be 'nchw' or 'nhwc', got 'hwc'"),
        ] {
            let error = ModelOptions::parse([(key, value)]).unwrap_err();
            assert!(error.starts_with(problem), "{error}");
        }
    }
}
