//! [`PreprocessOverrides`]: the preprocessing options of `CREATE MODEL`, which replace the settings of a file.

use ocelli_udf::image::Resampling;

use super::{Channels, Crop, Layout, PreprocessConfig, Resize};

/// Preprocessing options. The setting that an option replaces is not read: it may be missing or invalid.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PreprocessOverrides {
    /// The resize before the crop.
    pub(crate) size: Option<Resize>,
    /// `Some(None)` disables cropping.
    pub(crate) crop: Option<Option<Crop>>,
    pub(crate) resample: Option<Resampling>,
    pub(crate) rescale_factor: Option<f64>,
    pub(crate) mean: Option<[f32; 3]>,
    pub(crate) std: Option<[f32; 3]>,
    pub(crate) channels: Option<Channels>,
    pub(crate) layout: Option<Layout>,
}

/// The remedies for values that cannot be understood.
pub(super) const SET_SIZE: &str = "set the option 'size'";
pub(super) const SET_CROP: &str = "set the option 'crop'";
pub(super) const SET_SIZE_AND_CROP: &str = "set the options 'size' and 'crop'";
pub(super) const SET_RESAMPLE: &str = "set the option 'resample'";
pub(super) const SET_RESCALE_FACTOR: &str = "set the option 'rescale_factor'";
pub(super) const SET_MEAN: &str = "set the option 'mean'";
pub(super) const SET_STD: &str = "set the option 'std'";
pub(super) const SET_CHANNELS: &str = "set the option 'channels'";

/// The remedy for a file of which nothing can be read.
pub(crate) const SET_ALL: &str =
    "set the options 'size', 'crop', 'resample', 'rescale_factor', 'mean', 'std' and 'channels'";

impl PreprocessOverrides {
    /// Whether no option is set.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the options replace every setting of a file. The layout is a property of the graph.
    pub(crate) fn is_complete(&self) -> bool {
        let Self { size, crop, resample, rescale_factor, mean, std, channels, layout: _ } = self;
        let is_geometry_set = size.is_some() && crop.is_some() && resample.is_some();
        is_geometry_set && rescale_factor.is_some() && mean.is_some() && std.is_some() && channels.is_some()
    }

    /// The configuration with the options applied.
    pub(crate) fn apply(&self, config: PreprocessConfig) -> PreprocessConfig {
        PreprocessConfig {
            resize: self.size.unwrap_or(config.resize),
            filter: self.resample.unwrap_or(config.filter),
            crop: self.crop.unwrap_or(config.crop),
            rescale: self.rescale_factor.unwrap_or(config.rescale),
            mean: self.mean.unwrap_or(config.mean),
            std: self.std.unwrap_or(config.std),
            channels: self.channels.unwrap_or(config.channels),
            layout: self.layout.unwrap_or(config.layout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_options_replace_a_file() {
        let mut overrides = PreprocessOverrides { layout: Some(Layout::Nhwc), ..Default::default() };
        assert!(!overrides.is_empty() && !overrides.is_complete());
        overrides.size = Some(Resize::None);
        overrides.crop = Some(None);
        overrides.resample = Some(Resampling::Box);
        (overrides.mean, overrides.std) = (Some([0.0; 3]), Some([1.0; 3]));
        overrides.rescale_factor = Some(1.0);
        assert!(!overrides.is_complete());
        overrides.channels = Some(Channels::Bgr);
        assert!(overrides.is_complete());
        assert_eq!(overrides.apply(PreprocessConfig::imagenet(8, 8)).to_string(), "resize none (box), BGR, NHWC");
    }
}
