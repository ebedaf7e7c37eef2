//! [`OcelliOptions`]: every knob that `SET ocelli.… = …` turns.

mod backend_preferences;

use std::any::Any;
use std::fmt;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::common::config_err;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;

pub(crate) use backend_preferences::SessionBackend;
pub use backend_preferences::{BackendChoice, DeviceChoice, PrecisionChoice};

/// The built-in model, which is the default of `ocelli.model`.
pub(crate) const DEFAULT_MODEL: &str = "resnet20-cifar10";

/// Options of a session, read when a query is planned.
///
/// DataFusion's own macro for such a struct lists the options without their prefix, so that `SHOW ocelli.model` finds none.
#[derive(Debug, Clone, PartialEq)]
pub struct OcelliOptions {
    /// What runs models that name no backend: `'auto'`, `'gpu'`, `'ort'` (ONNX Runtime) or `'rten'`. A model that is created
    /// takes the one of that moment.
    pub backend: BackendChoice,
    /// Whether a sort with a limit comes before the model (`defer_infer`).
    pub defer_infer: bool,
    /// Where models run that name no device: `'auto'` (a real GPU when there is one), `'cpu'` or `'gpu'`.
    pub device: DeviceChoice,
    /// Images that one worker decodes and classifies at a time. More make the model a little faster and LIMIT a little
    /// slower.
    pub infer_batch_rows: usize,
    /// Whether calls are moved into operators (`lift_infer`); they are computed where they stand otherwise.
    pub lift_infer: bool,
    /// The share of bad images, of all that a query looks at, above which it fails, from 0 to 1. Counts where bad images are
    /// no errors by themselves.
    pub max_error_ratio: f64,
    /// The largest image, in pixels, that is decoded; a larger one is a bad image.
    pub max_image_pixels: u64,
    /// The model that `classify` uses when none is named.
    pub model: String,
    /// What a bad image does.
    pub on_error: OnError,
    /// How models compute on a GPU that say nothing themselves: `'auto'` (as many bits as their weights have), `'f32'` or `'f16'`.
    pub precision: PrecisionChoice,
    /// Whether results that nobody reads are left out (`prune_infer`).
    pub prune_infer: bool,
    /// Whether one pass of a model serves all parts of a query (`share_infer`).
    pub share_infer: bool,
    /// Whether joins that multiply matrices run as such (`sparse_matmul`).
    pub sparse_matmul: bool,
}

impl Default for OcelliOptions {
    fn default() -> Self {
        Self {
            backend: BackendChoice::default(),
            defer_infer: true,
            device: DeviceChoice::default(),
            infer_batch_rows: 16,
            lift_infer: true,
            max_error_ratio: 1.0,
            max_image_pixels: 64_000_000,
            model: DEFAULT_MODEL.to_owned(),
            on_error: OnError::Raise,
            precision: PrecisionChoice::default(),
            prune_infer: true,
            share_infer: true,
            sparse_matmul: true,
        }
    }
}

impl OcelliOptions {
    /// The options of a session, the defaults when it has none.
    pub fn of(config: &ConfigOptions) -> Self {
        config.extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// What they say about where models run.
    pub(crate) fn session_backend(&self) -> SessionBackend {
        SessionBackend { backend: self.backend, device: self.device, precision: self.precision }
    }
}

impl ConfigExtension for OcelliOptions {
    const PREFIX: &'static str = "ocelli";
}

impl ExtensionOptions for OcelliOptions {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "backend" => self.backend = backend(value)?,
            "device" => self.device = device(value)?,
            "defer_infer" => self.defer_infer = truth(key, value)?,
            "lift_infer" => self.lift_infer = truth(key, value)?,
            "max_error_ratio" => self.max_error_ratio = share(key, value)?,
            "precision" => self.precision = precision(value)?,
            "prune_infer" => self.prune_infer = truth(key, value)?,
            "share_infer" => self.share_infer = truth(key, value)?,
            "sparse_matmul" => self.sparse_matmul = truth(key, value)?,
            "infer_batch_rows" => self.infer_batch_rows = whole_number(key, value)?,
            "max_image_pixels" => self.max_image_pixels = whole_number(key, value)?,
            "model" => value.clone_into(&mut self.model),
            "on_error" => self.on_error = on_error(value)?,
            _ => return config_err!("option 'ocelli.{key}' does not exist; SHOW ALL lists the options"),
        }
        Ok(())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let entry = |key: &str, value: String, description| ConfigEntry {
            key: format!("{}.{key}", Self::PREFIX),
            value: Some(value),
            description,
        };
        vec![
            entry("backend", self.backend.to_string(), "What runs models: 'auto', 'gpu', 'ort' or 'rten'."),
            entry("defer_infer", self.defer_infer.to_string(), "Whether a sort with a limit comes before the model."),
            entry("device", self.device.to_string(), "Where models run: 'auto', 'cpu' or 'gpu'."),
            entry(
                "infer_batch_rows",
                self.infer_batch_rows.to_string(),
                "Images that one worker decodes and classifies at a time.",
            ),
            entry(
                "lift_infer",
                self.lift_infer.to_string(),
                "Whether calls are moved into operators; they are computed where they stand otherwise.",
            ),
            entry(
                "max_error_ratio",
                self.max_error_ratio.to_string(),
                "The share of bad images above which a query fails, from 0 to 1.",
            ),
            entry(
                "max_image_pixels",
                self.max_image_pixels.to_string(),
                "The largest image, in pixels, that is decoded; a larger one is a bad image.",
            ),
            entry("model", self.model.clone(), "The model that classify uses when none is named."),
            entry("on_error", self.on_error.to_string(), "What a bad image does: 'raise' an error, or give 'null'."),
            entry("precision", self.precision.to_string(), "How models compute on a GPU: 'auto', 'f32' or 'f16'."),
            entry("prune_infer", self.prune_infer.to_string(), "Whether results that nobody reads are left out."),
            entry(
                "share_infer",
                self.share_infer.to_string(),
                "Whether one pass of a model serves all parts of a query.",
            ),
            entry(
                "sparse_matmul",
                self.sparse_matmul.to_string(),
                "Whether joins that multiply sparse matrices run as such products.",
            ),
        ]
    }
}

fn backend(value: &str) -> Result<BackendChoice> {
    BackendChoice::parse(value.trim()).or_else(|reason| config_err!("ocelli.{reason}"))
}

fn device(value: &str) -> Result<DeviceChoice> {
    DeviceChoice::parse(value.trim()).or_else(|reason| config_err!("ocelli.{reason}"))
}

fn precision(value: &str) -> Result<PrecisionChoice> {
    PrecisionChoice::parse(value.trim()).or_else(|reason| config_err!("ocelli.{reason}"))
}

fn whole_number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T> {
    match value.trim().parse() {
        Ok(number) => Ok(number),
        Err(_) => config_err!("ocelli.{key} must be a whole number, got '{value}'"),
    }
}

fn truth(key: &str, value: &str) -> Result<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => config_err!("ocelli.{key} must be true or false, got '{value}'"),
    }
}

fn share(key: &str, value: &str) -> Result<f64> {
    match value.trim().parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => config_err!("ocelli.{key} must be a number from 0 to 1, got '{value}'"),
    }
}

fn on_error(value: &str) -> Result<OnError> {
    match OnError::parse(value) {
        Some(on_error) => Ok(on_error),
        None => config_err!("ocelli.on_error must be 'raise' or 'null', got '{value}'"),
    }
}

/// What to do with an image that cannot be decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnError {
    /// The query fails and names the image.
    #[default]
    Raise,
    /// The image's result is NULL.
    Null,
}

impl OnError {
    /// `raise` or `null`, in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Raise, Self::Null].into_iter().find(|known| known.to_string().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raise => "raise",
            Self::Null => "null",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> ConfigOptions {
        let mut config = ConfigOptions::new();
        config.extensions.insert(OcelliOptions::default());
        config
    }

    #[test]
    fn options_are_set_by_name() {
        let mut config = session();
        config.set("ocelli.on_error", "NULL").unwrap();
        config.set("ocelli.max_image_pixels", "100").unwrap();
        let options = OcelliOptions::of(&config);
        assert_eq!((options.on_error, options.max_image_pixels), (OnError::Null, 100));
    }

    #[test]
    fn every_entry_can_be_set_to_what_it_is() {
        let (mut config, options) = (session(), OcelliOptions::default());
        for entry in options.entries() {
            config.set(&entry.key, &entry.value.unwrap()).unwrap();
        }
        assert_eq!(OcelliOptions::of(&config), options);
    }

    #[test]
    fn a_wrong_value_names_the_right_ones() {
        for (key, value, sentence) in [
            ("ocelli.on_error", "ignore", "ocelli.on_error must be 'raise' or 'null', got 'ignore'"),
            ("ocelli.max_error_ratio", "5%", "ocelli.max_error_ratio must be a number from 0 to 1, got '5%'"),
            ("ocelli.lift_infer", "maybe", "ocelli.lift_infer must be true or false, got 'maybe'"),
            ("ocelli.infer_batch_rows", "-1", "ocelli.infer_batch_rows must be a whole number, got '-1'"),
            ("ocelli.nope", "1", "option 'ocelli.nope' does not exist; SHOW ALL lists the options"),
        ] {
            let error = session().set(key, value).unwrap_err();
            assert!(error.to_string().contains(sentence), "{error}");
        }
    }
}
