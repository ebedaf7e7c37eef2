//! [`Fields`]: the fields of a configuration, with messages that name the option that replaces a value.

use serde_json::{Map, Value};

/// The fields of a JSON object.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// Whether a field that is null counts as absent.
    skips_null: bool,
}

impl<'a> Fields<'a> {
    /// The fields of a file of transformers, which has defaults for absent fields only: a flag that is null is false, and a value that
    /// is null is an error where it is needed.
    ///
    /// # Errors
    /// A message if the value is not an object.
    pub(super) fn new(value: &'a Value) -> Result<Self, String> {
        match value.as_object() {
            Some(object) => Ok(Self { object, skips_null: false }),
            None => Err(format!("it is {}; expected an object", shorten(value))),
        }
    }

    /// The fields of an object of timm, which has defaults for null, too.
    ///
    /// # Errors
    /// A message if the value is not an object.
    pub(super) fn without_null(value: &'a Value) -> Result<Self, String> {
        Ok(Self { skips_null: true, ..Self::new(value)? })
    }

    /// The value of a field; `None` if it is absent.
    pub(super) fn get(self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !(self.skips_null && value.is_null()))
    }

    /// Whether a field is absent or null.
    pub(super) fn is_null(self, key: &str) -> bool {
        self.get(key).is_none_or(Value::is_null)
    }

    /// A flag: a boolean, 0, 1 or null, which is false.
    ///
    /// # Errors
    /// A message for another value. `remedy` names the option that replaces it, here and below.
    pub(super) fn flag(self, key: &str, default: bool, remedy: &str) -> Result<bool, String> {
        let Some(value) = self.get(key) else { return Ok(default) };
        match (value, value.as_u64()) {
            (Value::Null, _) | (_, Some(0)) => Ok(false),
            (Value::Bool(flag), _) => Ok(*flag),
            (_, Some(1)) => Ok(true),
            _ => Err(invalid(key, value, "true or false", remedy)),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// A message for another value.
    pub(super) fn number(self, key: &str, default: f64, remedy: &str) -> Result<f64, String> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_f64().ok_or_else(|| invalid(key, value, "a number", remedy))
    }

    /// A number per channel, or one for all.
    ///
    /// # Errors
    /// A message for another value, or a number that is not finite as f32.
    pub(super) fn per_channel(self, key: &str, default: [f32; 3], remedy: &str) -> Result<[f32; 3], String> {
        let Some(value) = self.get(key) else { return Ok(default) };
        if let Some(all) = finite_f32(value) {
            return Ok([all; 3]);
        }
        let channels: Option<Vec<f32>> = value.as_array().and_then(|values| values.iter().map(finite_f32).collect());
        match channels.as_deref() {
            Some([first, second, third]) => Ok([*first, *second, *third]),
            _ => Err(invalid(key, value, "a number or three", remedy)),
        }
    }
}

fn finite_f32(value: &Value) -> Option<f32> {
    value.as_f64().map(|number| number as f32).filter(|number| number.is_finite())
}

/// `size is [1]; expected a number, or set the option 'size'`
pub(super) fn invalid(key: &str, value: &Value, expected: &str, remedy: &str) -> String {
    format!("{key} is {}; expected {expected}, or {remedy}", shorten(value))
}

/// A value as JSON, of limited length.
fn shorten(value: &Value) -> String {
    const MAX_CHARS: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// An edge in pixels. `None` for another value.
pub(super) fn edge(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|edge| u32::try_from(edge).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMEDY: &str = "set the option 'mean'";

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn values_have_several_forms() {
        let value = value(r#"{"yes": true, "one": 1, "none": null, "half": 0.5, "three": [1, 2.5, 3]}"#);
        let fields = Fields::new(&value).unwrap();
        let flags = ["yes", "one", "none", "absent"].map(|key| fields.flag(key, true, REMEDY));
        assert_eq!(flags, [Ok(true), Ok(true), Ok(false), Ok(true)]);
        assert_eq!(fields.number("half", 1.0, REMEDY), Ok(0.5));
        assert_eq!(fields.number("absent", 1.0, REMEDY), Ok(1.0));
        assert_eq!(fields.per_channel("half", [1.0; 3], REMEDY), Ok([0.5; 3]));
        assert_eq!(fields.per_channel("three", [1.0; 3], REMEDY), Ok([1.0, 2.5, 3.0]));
        assert_eq!(fields.per_channel("absent", [1.0; 3], REMEDY), Ok([1.0; 3]));
    }

    #[test]
    fn null_is_a_value_or_absent() {
        let value = value(r#"{"mean": null}"#);
        let error = Fields::new(&value).unwrap().per_channel("mean", [1.0; 3], REMEDY);
        assert_eq!(error, Err("mean is null; expected a number or three, or set the option 'mean'".to_owned()));
        assert_eq!(Fields::without_null(&value).unwrap().per_channel("mean", [1.0; 3], REMEDY), Ok([1.0; 3]));
        assert!(Fields::new(&value).unwrap().is_null("mean"));
    }

    #[test]
    fn other_values_name_the_option() {
        for (text, problem) in [
            (r#"{"x": "yes"}"#, "x is \"yes\"; expected true or false, or set the option 'mean'"),
            (r#"{"x": 2}"#, "x is 2; expected true or false, or set the option 'mean'"),
        ] {
            assert_eq!(Fields::new(&value(text)).unwrap().flag("x", true, REMEDY), Err(problem.to_owned()));
        }
        for text in [r#"{"x": [1, 2]}"#, r#"{"x": "0.5"}"#, r#"{"x": [1, 2, null]}"#, r#"{"x": 1e39}"#] {
            let error = Fields::new(&value(text)).unwrap().per_channel("x", [1.0; 3], REMEDY).unwrap_err();
            assert!(error.ends_with("; expected a number or three, or set the option 'mean'"), "{error}");
        }
        assert_eq!(Fields::new(&value("[1]")).err(), Some("it is [1]; expected an object".to_owned()));
        assert!(invalid("x", &value(&format!("\"{}\"", "é".repeat(1000))), "a number", REMEDY).len() < 300);
    }
}
