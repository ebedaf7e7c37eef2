//! [`parse`]: reads a `preprocessor_config.json` as the image processors of Hugging Face's transformers do.
//!
//! The file names its processor, whose class has defaults for absent fields: a scalar `size` is the shortest edge or both edges, ConvNeXT
//! crops by a `crop_pct`, LeViT enlarges first, EfficientNet divides by the standard deviation twice. Null is not the default: a flag
//! that is null is false. A setting that an option replaces is not read.

mod processors;

use ocelli_udf::image::Resampling;
use serde_json::Value;

use super::fields::{Fields, edge, invalid};
use super::overrides::{
    PreprocessOverrides, SET_ALL, SET_CHANNELS, SET_CROP, SET_MEAN, SET_RESAMPLE, SET_RESCALE_FACTOR, SET_SIZE,
    SET_SIZE_AND_CROP, SET_STD,
};
use super::{Channels, Crop, CropRounding, Layout, PreprocessConfig, Resize};
use crate::model::json;
use processors::{Kind, Processor};

/// The edge from which ConvNeXT resizes to a square instead of cropping.
const CONVNEXT_SQUARE_EDGE: u32 = 384;

/// Reads the configuration, with the options applied, and remarks on how it was read, to be appended to the name of the file.
///
/// # Errors
/// A message if a field is missing or has an unsupported value; it names the option that replaces it.
pub(crate) fn parse(text: &str, overrides: &PreprocessOverrides) -> Result<(PreprocessConfig, String), String> {
    let unreadable = |reason: String| format!("{reason}; correct it, or {SET_ALL}");
    let value = json::parse(text).map_err(unreadable)?;
    let fields = Fields::new(&value).map_err(unreadable)?;
    let name = processor_name(fields);
    let file = File { fields, processor: Processor::find(&name), name };
    let mut remarks = Vec::new();
    if file.processor.is_unknown() && !file.name.is_empty() {
        remarks.push(format!("processor '{}' is unknown and read as a generic one", file.name));
    }
    file.check_padding(overrides)?;
    let resize = overrides.size.map_or_else(|| file.resize(), Ok)?;
    let filter = match (overrides.resample, resize) {
        (Some(filter), _) => filter,
        // The filter of an image that is not resized is not read.
        (None, Resize::None) => file.processor.filter,
        (None, _) => file.filter(&mut remarks)?,
    };
    let config = PreprocessConfig {
        resize,
        filter,
        crop: overrides.crop.map_or_else(|| file.crop(), Ok)?,
        rescale: overrides.rescale_factor.map_or_else(|| file.rescale_factor(), Ok)?,
        mean: overrides.mean.map_or_else(|| file.mean(), Ok)?,
        std: overrides.std.map_or_else(|| file.std(), Ok)?,
        channels: overrides.channels.map_or_else(|| file.channels(), Ok)?,
        layout: Layout::Nchw,
    };
    let remarks = if remarks.is_empty() { String::new() } else { format!(", whose {}", remarks.join(" and whose ")) };
    Ok((config, remarks))
}

/// The name of the processor, in either of two fields; empty if there is none.
fn processor_name(fields: Fields) -> String {
    let name = ["image_processor_type", "feature_extractor_type"].into_iter().find_map(|key| {
        let value = fields.get(key).filter(|value| !value.is_null())?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    });
    name.unwrap_or_default()
}

/// A configuration and its processor. Each method reads one setting.
struct File<'a> {
    fields: Fields<'a>,
    processor: &'static Processor,
    name: String,
}

impl File<'_> {
    /// Padding to the largest image of a batch is ignored: each image is a batch.
    fn check_padding(&self, overrides: &PreprocessOverrides) -> Result<(), String> {
        let is_replaced = overrides.size.is_some() && overrides.crop.is_some();
        let is_ignored = !self.processor.is_unknown() && self.fields.is_null("pad_size");
        if !is_replaced && !is_ignored && self.fields.flag("do_pad", false, SET_SIZE_AND_CROP)? {
            return Err(format!("do_pad is true, which is not supported; {SET_SIZE_AND_CROP}"));
        }
        Ok(())
    }

    /// `size` as in the file. The remedy depends on what it is needed for.
    fn size(&self, remedy: &str) -> Result<Resize, String> {
        const EXPECTED: &str = "a number, shortest_edge, or height and width";
        match (self.fields.get("size"), self.processor.size) {
            (Some(value), _) => {
                parse_size(value, self.processor.is_shortest).ok_or_else(|| invalid("size", value, EXPECTED, remedy))
            }
            (None, Some(default)) => Ok(default),
            (None, None) => Err(format!("size is missing; {remedy}")),
        }
    }

    fn resize(&self) -> Result<Resize, String> {
        if !self.fields.flag("do_resize", true, SET_SIZE)? {
            return Ok(Resize::None);
        }
        let enlarge = |edge: u32, crop_pct: f64| (f64::from(edge) / crop_pct) as u32;
        let size = self.size(SET_SIZE)?;
        Ok(match (self.processor.kind, size) {
            (Kind::ConvNext, Resize::ShortestEdge(edge) | Resize::ShortestEdgeAtMost(edge, _)) => {
                if edge >= CONVNEXT_SQUARE_EDGE {
                    return Ok(Resize::Exact(edge, edge));
                }
                Resize::ShortestEdge(enlarge(edge, self.fields.number("crop_pct", 224.0 / 256.0, SET_SIZE)?))
            }
            (Kind::ConvNext, _) => {
                return Err(format!("size has no shortest_edge, which '{}' needs; {SET_SIZE}", self.name));
            }
            (Kind::Levit, Resize::ShortestEdge(edge) | Resize::ShortestEdgeAtMost(edge, _)) => {
                Resize::ShortestEdge((256.0 / 224.0 * f64::from(edge)) as u32)
            }
            (Kind::PoolFormer, _) if self.fields.get("crop_pct").is_none_or(|value| !value.is_null()) => {
                let crop_pct = self.fields.number("crop_pct", 0.9, SET_SIZE)?;
                match size {
                    Resize::ShortestEdge(edge) | Resize::ShortestEdgeAtMost(edge, _) => {
                        Resize::ShortestEdge(enlarge(edge, crop_pct))
                    }
                    Resize::Exact(width, height) if width == height => Resize::ShortestEdge(enlarge(width, crop_pct)),
                    Resize::Exact(width, height) => Resize::Exact(enlarge(width, crop_pct), enlarge(height, crop_pct)),
                    Resize::None => Resize::None,
                }
            }
            (Kind::Unknown, _) if !self.fields.is_null("crop_pct") => {
                return Err(format!("crop_pct is set, which is not supported for '{}'; {SET_SIZE}", self.name));
            }
            _ => size,
        })
    }

    fn filter(&self, remarks: &mut Vec<String>) -> Result<Resampling, String> {
        const EXPECTED: &str = "a number of Pillow's filters, 0 to 5";
        let Some(value) = self.fields.get("resample") else { return Ok(self.processor.filter) };
        if let Some(name) = value.as_str() {
            // transformers takes numbers and members of enumerations; anything else is bilinear.
            if name != Resampling::Bilinear.name() {
                remarks.push(format!("resample '{name}' is read as bilinear, as by transformers"));
            }
            return Ok(Resampling::Bilinear);
        }
        let filter = value.as_u64().and_then(Resampling::from_pillow);
        filter.ok_or_else(|| invalid("resample", value, EXPECTED, SET_RESAMPLE))
    }

    fn crop(&self) -> Result<Option<Crop>, String> {
        let crop = |width, height| Ok(Some(Crop { width, height, rounding: CropRounding::Floor }));
        let crops = self.fields.flag("do_center_crop", self.processor.crops, SET_CROP)?;
        if self.processor.kind == Kind::ConvNext
            && self.fields.flag("do_resize", true, SET_CROP)?
            && let Resize::ShortestEdge(edge) | Resize::ShortestEdgeAtMost(edge, _) = self.size(SET_CROP)?
            && edge < CONVNEXT_SQUARE_EDGE
        {
            if crops {
                return Err(format!("do_center_crop is true, which is not supported for '{}'; {SET_CROP}", self.name));
            }
            return crop(edge, edge);
        }
        if !crops || self.processor.kind == Kind::Segformer {
            return Ok(None);
        }
        let Some(value) = self.fields.get("crop_size") else {
            return match (self.processor.crop_size, self.processor.kind) {
                (Some((width, height)), _) => crop(width, height),
                (None, Kind::Unknown) => match self.size(SET_CROP)? {
                    Resize::Exact(width, height) => crop(width, height),
                    Resize::ShortestEdge(edge) | Resize::ShortestEdgeAtMost(edge, _) => crop(edge, edge),
                    Resize::None => Ok(None),
                },
                (None, _) => Err(format!("crop_size is missing; {SET_CROP}")),
            };
        };
        match parse_size(value, false) {
            Some(Resize::Exact(width, height)) => crop(width, height),
            Some(Resize::ShortestEdge(edge)) => crop(edge, edge),
            _ => Err(invalid("crop_size", value, "a number, or height and width", SET_CROP)),
        }
    }

    fn rescale_factor(&self) -> Result<f64, String> {
        match self.fields.flag("do_rescale", true, SET_RESCALE_FACTOR)? {
            true => self.fields.number("rescale_factor", 1.0 / 255.0, SET_RESCALE_FACTOR),
            false => Ok(1.0),
        }
    }

    fn normalizes(&self, remedy: &str) -> Result<bool, String> {
        Ok(self.processor.kind != Kind::MobileVit && self.fields.flag("do_normalize", true, remedy)?)
    }

    fn mean(&self) -> Result<[f32; 3], String> {
        let mean = match self.normalizes(SET_MEAN)? {
            true => self.fields.per_channel("image_mean", self.processor.mean, SET_MEAN)?,
            false => [0.0; 3],
        };
        let is_offset = matches!(self.processor.kind, Kind::EfficientNet | Kind::Unknown)
            && self.fields.flag("rescale_offset", false, SET_MEAN)?
            && self.fields.flag("do_rescale", true, SET_MEAN)?;
        match (is_offset, self.processor.kind) {
            (false, _) => Ok(mean),
            // 1 is subtracted after rescaling.
            (true, Kind::EfficientNet) => Ok(mean.map(|mean| mean + 1.0)),
            (true, _) => Err(format!("rescale_offset is true, which is not supported for '{}'; {SET_MEAN}", self.name)),
        }
    }

    fn std(&self) -> Result<[f32; 3], String> {
        let image_std = || self.fields.per_channel("image_std", self.processor.std, SET_STD);
        let std = if self.normalizes(SET_STD)? { image_std()? } else { [1.0; 3] };
        if self.processor.kind != Kind::EfficientNet || !self.fields.flag("include_top", true, SET_STD)? {
            return Ok(std);
        }
        // Divides once more, with or without the normalization.
        let again = image_std()?;
        Ok([std[0] * again[0], std[1] * again[1], std[2] * again[2]])
    }

    fn channels(&self) -> Result<Channels, String> {
        let flips = match self.processor.kind {
            Kind::MobileVit => self.fields.flag("do_flip_channel_order", true, SET_CHANNELS)?,
            Kind::Unknown => self.fields.flag("do_flip_channel_order", false, SET_CHANNELS)?,
            _ => false,
        };
        Ok(if flips { Channels::Bgr } else { Channels::Rgb })
    }
}

/// Parses `224`, `[height, width]`, `{"shortest_edge": 224}` or `{"height": 224, "width": 224}`.
fn parse_size(size: &Value, is_shortest: bool) -> Option<Resize> {
    if let Some(edge) = edge(size) {
        return Some(if is_shortest { Resize::ShortestEdge(edge) } else { Resize::Exact(edge, edge) });
    }
    if let Some([height, width]) = size.as_array().map(Vec::as_slice) {
        return Some(Resize::Exact(edge(width)?, edge(height)?));
    }
    let keys = ["shortest_edge", "longest_edge", "width", "height"];
    match keys.map(|key| size.get(key).and_then(edge)) {
        [Some(short), None, None, None] => Some(Resize::ShortestEdge(short)),
        [Some(short), Some(long), None, None] => Some(Resize::ShortestEdgeAtMost(short, long)),
        [None, None, Some(width), Some(height)] => Some(Resize::Exact(width, height)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
