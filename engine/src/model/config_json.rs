//! [`Config`]: the fields of a `config.json`, read when they are needed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::json;

/// The name of the file.
pub(super) const CONFIG: &str = "config.json";

/// The remedy for labels that cannot be understood.
pub(super) const SET_LABELS: &str = "set the option 'labels'";

/// A `config.json` of transformers or timm. A field that is null counts as absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Config {
    fields: Map<String, Value>,
    /// Why the file cannot be read. Its fields then count as absent.
    pub(super) unreadable: Option<String>,
}

impl Config {
    /// Parses a file.
    ///
    /// # Errors
    /// A message if it is not a JSON object.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match json::parse(text)? {
            Value::Object(fields) => Ok(Self { fields, unreadable: None }),
            _ => Err("it is not a JSON object".to_owned()),
        }
    }

    /// A file that cannot be read.
    pub(super) fn from_error(reason: String) -> Self {
        Self { unreadable: Some(reason), ..Self::default() }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    /// The labels in the order of the classes: `id2label` of transformers, or `label_names` of timm.
    ///
    /// # Errors
    /// When a class has no label, or a label is not a string, a number or a boolean.
    pub(super) fn labels(&self) -> Result<Option<Vec<String>>, String> {
        if let Some(id2label) = self.get("id2label") {
            return labels_by_class(id2label).map(Some);
        }
        // timm reads the names from `pretrained_cfg`, and copies those of the file to it.
        let in_cfg = || self.pretrained_cfg()?.get("label_names").filter(|names| !names.is_null());
        let Some(names) = self.get("label_names").or_else(in_cfg) else { return Ok(None) };
        let labels: Option<Vec<String>> = names.as_array().and_then(|names| names.iter().map(label).collect());
        labels.map(Some).ok_or_else(|| format!("label_names is not a list of labels; {SET_LABELS}"))
    }

    /// `problem_type`, as text.
    pub(super) fn problem_type(&self) -> Option<String> {
        self.get("problem_type").map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// The preprocessing of timm.
    pub(super) fn pretrained_cfg(&self) -> Option<&Value> {
        self.get("pretrained_cfg")
    }
}

/// Reads `{"0": "cat", "1": "dog"}`, or a list.
fn labels_by_class(id2label: &Value) -> Result<Vec<String>, String> {
    let invalid = |class: &str| format!("id2label: the label of class {class} is not a string; {SET_LABELS}");
    let mut labels = BTreeMap::new();
    let classes = match id2label {
        Value::Array(values) => {
            for (class, value) in values.iter().enumerate().filter(|(_, value)| !value.is_null()) {
                labels.insert(class, label(value).ok_or_else(|| invalid(&class.to_string()))?);
            }
            values.len()
        }
        Value::Object(values) => {
            for (class, value) in values.iter().filter(|(_, value)| !value.is_null()) {
                let invalid_class = |_| format!("id2label: '{class}' is not the number of a class; {SET_LABELS}");
                let index: usize = class.trim().parse().map_err(invalid_class)?;
                labels.insert(index, label(value).ok_or_else(|| invalid(class))?);
            }
            values.len()
        }
        _ => return Err(format!("id2label is not an object of labels; {SET_LABELS}")),
    };
    if let Some(missing) = (0..classes).find(|class| !labels.contains_key(class)) {
        return Err(format!("id2label has {} labels, but none for class {missing}; {SET_LABELS}", labels.len()));
    }
    Ok(labels.into_values().collect())
}

/// A label: a string, or the text of a number or boolean.
fn label(value: &Value) -> Option<String> {
    match value {
        Value::String(label) => Some(label.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Result<Option<Vec<String>>, String> {
        Config::parse(text)?.labels()
    }

    #[test]
    fn labels_are_ordered_by_class() {
        for (text, expected) in [
            (r#"{"id2label": {"2": "c", "0": "a", "1": "b"}}"#, vec!["a", "b", "c"]),
            (r#"{"id2label": {"0": 7, "1": 8.5, "2": true, "3": NaN}}"#, vec!["7", "8.5", "true", "NaN"]),
            (
                r#"{"id2label": {"10": "k", "0": "a", "1": "b", "2": "c", "3": "d", "4": "e", "5": "f", "6": "g", "7": "h", "8": "i", "9": "j"}}"#,
                vec!["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"],
            ),
            (r#"{"id2label": ["a", "b"]}"#, vec!["a", "b"]),
            (r#"{"id2label": null, "label_names": ["a", "b"]}"#, vec!["a", "b"]),
            (r#"{"pretrained_cfg": {"label_names": ["a", "b"]}, "layer_norm_eps": NaN}"#, vec!["a", "b"]),
            (r#"{"id2label": {}}"#, vec![]),
        ] {
            let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(labels(text), Ok(Some(expected)), "{text}");
        }
        for text in ["{}", r#"{"id2label": null}"#, r#"{"label_names": null, "pretrained_cfg": null, "num_labels": 3}"#]
        {
            assert_eq!(labels(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn other_labels_name_the_option() {
        for (text, problem) in [
            (
                r#"{"id2label": {"0": "a", "2": "c"}}"#,
                "id2label has 2 labels, but none for class 1; set the option 'labels'",
            ),
            (
                r#"{"id2label": {"0": "a", "1": null}}"#,
                "id2label has 1 labels, but none for class 1; set the option 'labels'",
            ),
            (r#"{"id2label": {"a": "0"}}"#, "id2label: 'a' is not the number of a class; set the option 'labels'"),
            (
                r#"{"id2label": {"0": ["a"]}}"#,
                "id2label: the label of class 0 is not a string; set the option 'labels'",
            ),
            (r#"{"id2label": "a"}"#, "id2label is not an object of labels; set the option 'labels'"),
            (r#"{"label_names": ["a", null]}"#, "label_names is not a list of labels; set the option 'labels'"),
            ("[]", "it is not a JSON object"),
        ] {
            assert_eq!(labels(text), Err(problem.to_owned()), "{text}");
        }
    }

    #[test]
    fn the_problem_type_may_be_absent() {
        let problem_type = |text: &str| Config::parse(text).unwrap().problem_type();
        assert_eq!(problem_type(r#"{"problem_type": "regression"}"#).as_deref(), Some("regression"));
        assert_eq!(problem_type(r#"{"problem_type": 7}"#).as_deref(), Some("7"));
        assert_eq!(problem_type(r#"{"problem_type": null}"#), None);
        assert_eq!(Config::from_error("no".to_owned()).problem_type(), None);
    }
}
