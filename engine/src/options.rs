//! [`OcelliOptions`]: every knob that `SET ocelli.… = …` turns.

use std::fmt;

use datafusion::common::config::{ConfigExtension, ConfigField, Visit};
use datafusion::common::{config_err, extensions_options};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;

use crate::model::bundled;

extensions_options! {
    /// Options of a session, read when a query is planned.
    pub struct OcelliOptions {
        /// Images that one worker decodes and classifies at a time. More make the model a little faster and LIMIT a little slower.
        pub infer_batch_rows: usize, default = 16
        /// The largest image, in pixels, that is decoded; a larger one is a bad image.
        pub max_image_pixels: u64, default = 64_000_000
        /// The model that classify uses when none is named.
        pub model: String, default = bundled::NAME.to_owned()
        /// What a bad image does: 'raise' an error, or give 'null'.
        pub on_error: OnError, default = OnError::Raise
    }
}

impl ConfigExtension for OcelliOptions {
    const PREFIX: &'static str = "ocelli";
}

impl OcelliOptions {
    /// The options of a session, the defaults when it has none.
    pub fn of(config: &ConfigOptions) -> Self {
        config.extensions.get::<Self>().cloned().unwrap_or_default()
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

impl fmt::Display for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raise => "raise",
            Self::Null => "null",
        })
    }
}

impl ConfigField for OnError {
    fn visit<V: Visit>(&self, v: &mut V, key: &str, description: &'static str) {
        v.some(key, self, description);
    }

    fn set(&mut self, _: &str, value: &str) -> Result<()> {
        *self = match value.to_ascii_lowercase().as_str() {
            "raise" => Self::Raise,
            "null" => Self::Null,
            _ => return config_err!("ocelli.on_error is 'raise' or 'null', got '{value}'"),
        };
        Ok(())
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
    fn a_wrong_value_names_the_right_ones() {
        let error = session().set("ocelli.on_error", "ignore").unwrap_err();
        assert!(error.to_string().contains("'raise' or 'null', got 'ignore'"), "{error}");
    }
}
