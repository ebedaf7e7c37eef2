//! [`OcelliOptions`]: the options `ocelli.…` of a session.

mod backend_preferences;
mod size;

use std::any::Any;
use std::fmt;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::common::config_err;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;

pub use backend_preferences::{BackendChoice, DeviceChoice, PrecisionChoice};
pub(crate) use backend_preferences::{BackendKind, BackendPreferences};
pub use size::parse_size;

/// The built-in model, which is the default of `ocelli.model`.
pub(crate) const DEFAULT_MODEL: &str = "resnet20-cifar10";

/// The smallest value of `ocelli.max_expression_depth`.
const MIN_EXPRESSION_DEPTH: usize = 10;

/// Options of a session, read when a query is planned.
///
/// Implemented by hand, because DataFusion's `extensions_options!` lists options without their prefix and `SHOW ocelli.model` would not
/// find them.
#[derive(Debug, Clone, PartialEq)]
pub struct OcelliOptions {
    /// The backend of models that do not set one: `'auto'`, `'gpu'`, `'ort'` (ONNX Runtime) or `'rten'`. Read when a model is
    /// created.
    pub backend: BackendChoice,
    /// Whether a sort with a limit (TopK) is evaluated before the model (`defer_infer`).
    pub defer_infer: bool,
    /// The device of models that do not set one: `'auto'` (a hardware GPU if present), `'cpu'` or `'gpu'`.
    pub device: DeviceChoice,
    /// Images per micro-batch. Larger micro-batches make the model slightly faster and LIMIT slightly slower.
    pub infer_batch_rows: usize,
    /// Whether model calls are lifted into operators (`lift_infer`); otherwise they are evaluated as scalar functions.
    pub lift_infer: bool,
    /// The fraction of images that cannot be decoded, from 0 to 1, above which a query fails. Applies where such images are not
    /// errors by themselves.
    pub max_error_ratio: f64,
    /// The number of levels of an expression, above which a statement is an error. A level may need several kilobytes of the stack.
    pub max_expression_depth: usize,
    /// The largest image that is decoded, in pixels; a larger one counts as invalid.
    pub max_image_pixels: u64,
    /// The model of calls that do not name one.
    pub model: String,
    /// The handling of images that cannot be decoded.
    pub on_error: OnError,
    /// The precision on a GPU of models that do not set one: `'auto'` (that of their weights), `'f32'` or `'f16'`.
    pub precision: PrecisionChoice,
    /// Whether unread model outputs are removed (`prune_infer`).
    pub prune_infer: bool,
    /// Whether equal model calls of a query are evaluated once (`share_infer`).
    pub share_infer: bool,
    /// Whether joins that multiply sparse matrices run as sparse products (`sparse_matmul`).
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
            max_expression_depth: 500,
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
    /// The options of a session, or the defaults if it has none.
    pub fn from_config(config: &ConfigOptions) -> Self {
        config.extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// The preferences for backend, device and precision.
    pub(crate) fn backend_preferences(&self) -> BackendPreferences {
        BackendPreferences { backend: self.backend, device: self.device, precision: self.precision }
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
            "defer_infer" => self.defer_infer = parse_bool(key, value)?,
            "lift_infer" => self.lift_infer = parse_bool(key, value)?,
            "max_error_ratio" => self.max_error_ratio = parse_ratio(key, value)?,
            "precision" => self.precision = precision(value)?,
            "prune_infer" => self.prune_infer = parse_bool(key, value)?,
            "share_infer" => self.share_infer = parse_bool(key, value)?,
            "sparse_matmul" => self.sparse_matmul = parse_bool(key, value)?,
            "infer_batch_rows" => self.infer_batch_rows = parse_integer(key, value)?,
            "max_expression_depth" => self.max_expression_depth = parse_depth(key, value)?,
            "max_image_pixels" => self.max_image_pixels = parse_integer(key, value)?,
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
            entry("backend", self.backend.to_string(), "The backend of models: 'auto', 'gpu', 'ort' or 'rten'."),
            entry(
                "defer_infer",
                self.defer_infer.to_string(),
                "Whether a sort with a limit is evaluated before the model.",
            ),
            entry("device", self.device.to_string(), "The device of models: 'auto', 'cpu' or 'gpu'."),
            entry("infer_batch_rows", self.infer_batch_rows.to_string(), "Images per micro-batch."),
            entry(
                "lift_infer",
                self.lift_infer.to_string(),
                "Whether model calls are lifted into operators; otherwise they are evaluated as scalar functions.",
            ),
            entry(
                "max_error_ratio",
                self.max_error_ratio.to_string(),
                "The fraction of images that cannot be decoded above which a query fails, from 0 to 1.",
            ),
            entry(
                "max_expression_depth",
                self.max_expression_depth.to_string(),
                "The number of levels of an expression, above which a statement is an error.",
            ),
            entry(
                "max_image_pixels",
                self.max_image_pixels.to_string(),
                "The largest image that is decoded, in pixels; a larger one counts as invalid.",
            ),
            entry("model", self.model.clone(), "The model of calls that do not name one."),
            entry(
                "on_error",
                self.on_error.to_string(),
                "The handling of images that cannot be decoded: 'raise' an error, or return 'null'.",
            ),
            entry("precision", self.precision.to_string(), "The precision of models on a GPU: 'auto', 'f32' or 'f16'."),
            entry("prune_infer", self.prune_infer.to_string(), "Whether unread model outputs are removed."),
            entry(
                "share_infer",
                self.share_infer.to_string(),
                "Whether equal model calls of a query are evaluated once.",
            ),
            entry(
                "sparse_matmul",
                self.sparse_matmul.to_string(),
                "Whether joins that multiply sparse matrices run as sparse products.",
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

fn parse_integer<T: std::str::FromStr>(key: &str, value: &str) -> Result<T> {
    match value.trim().parse() {
        Ok(number) => Ok(number),
        Err(_) => config_err!("ocelli.{key} must be an integer, got '{value}'"),
    }
}

fn parse_depth(key: &str, value: &str) -> Result<usize> {
    match value.trim().parse() {
        // The statement that raises it has levels, too.
        Ok(depth) if depth >= MIN_EXPRESSION_DEPTH => Ok(depth),
        _ => config_err!("ocelli.{key} must be an integer from {MIN_EXPRESSION_DEPTH}, got '{value}'"),
    }
}

fn parse_bool(key: &str, value: &str) -> Result<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => config_err!("ocelli.{key} must be true or false, got '{value}'"),
    }
}

fn parse_ratio(key: &str, value: &str) -> Result<f64> {
    match value.trim().parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => config_err!("ocelli.{key} must be a number from 0 to 1, got '{value}'"),
    }
}

fn on_error(value: &str) -> Result<OnError> {
    match OnError::parse(value) {
        Some(on_error) => Ok(on_error),
        None => config_err!("ocelli.on_error must be 'raise' or 'null', got '{value}'"),
    }
}

/// The handling of images that cannot be decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnError {
    /// The query fails and names the image.
    #[default]
    Raise,
    /// The result for the image is NULL.
    Null,
}

impl OnError {
    /// Parses `raise` or `null`, in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Raise, Self::Null].into_iter().find(|variant| variant.to_string().eq_ignore_ascii_case(text))
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
        let options = OcelliOptions::from_config(&config);
        assert_eq!((options.on_error, options.max_image_pixels), (OnError::Null, 100));
    }

    #[test]
    fn every_entry_can_be_set_to_its_value() {
        let (mut config, options) = (session(), OcelliOptions::default());
        for entry in options.entries() {
            config.set(&entry.key, &entry.value.unwrap()).unwrap();
        }
        assert_eq!(OcelliOptions::from_config(&config), options);
    }

    #[test]
    fn an_invalid_value_names_the_valid_ones() {
        for (key, value, sentence) in [
            ("ocelli.on_error", "ignore", "ocelli.on_error must be 'raise' or 'null', got 'ignore'"),
            ("ocelli.max_error_ratio", "5%", "ocelli.max_error_ratio must be a number from 0 to 1, got '5%'"),
            ("ocelli.lift_infer", "maybe", "ocelli.lift_infer must be true or false, got 'maybe'"),
            ("ocelli.infer_batch_rows", "-1", "ocelli.infer_batch_rows must be an integer, got '-1'"),
            ("ocelli.max_expression_depth", "9", "ocelli.max_expression_depth must be an integer from 10, got '9'"),
            ("ocelli.nope", "1", "option 'ocelli.nope' does not exist; SHOW ALL lists the options"),
        ] {
            let error = session().set(key, value).unwrap_err();
            assert!(error.to_string().contains(sentence), "{error}");
        }
    }
}
