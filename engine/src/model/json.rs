//! [`parse`]: reads JSON as Python's `json` module does.

use serde_json::Value;

/// The numbers that Python writes and reads, although they are not JSON. `-Infinity` contains `Infinity` and comes first.
const CONSTANTS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Parses a text. NaN, Infinity and -Infinity become the strings of these names: no field that is read may be one of them.
///
/// # Errors
/// A message with the line and the column.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&quote_constants(text)))
        .map_err(|error| error.to_string())
}

/// Quotes the constants outside of strings.
fn quote_constants(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let (mut rest, mut is_string) = (text, false);
    while let Some(first) = rest.chars().next() {
        let constant = CONSTANTS.into_iter().find(|constant| !is_string && rest.starts_with(constant));
        let length = match constant {
            Some(constant) => {
                quoted.push('"');
                quoted.push_str(constant);
                quoted.push('"');
                constant.len()
            }
            None => {
                // A backslash and the character after it.
                let length = match is_string && first == '\\' {
                    true => rest.char_indices().nth(2).map_or(rest.len(), |(index, _)| index),
                    false => first.len_utf8(),
                };
                is_string ^= first == '"';
                quoted.push_str(&rest[..length]);
                length
            }
        };
        rest = &rest[length..];
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_of_python_are_read() {
        // json.dumps({"a": nan, "b": [inf, -inf], "NaN": "Infinity \"NaN\""})
        let text = r#"{"a": NaN, "b": [Infinity, -Infinity], "NaN": "Infinity \"NaN\""}"#;
        let expected = r#"{"a": "NaN", "b": ["Infinity", "-Infinity"], "NaN": "Infinity \"NaN\""}"#;
        assert_eq!(parse(text), Ok(serde_json::from_str::<Value>(expected).unwrap()));
        assert_eq!(parse(r#"{"é\\": 1}"#), Ok(serde_json::from_str::<Value>(r#"{"é\\": 1}"#).unwrap()));
    }

    #[test]
    fn other_texts_are_errors() {
        for (text, problem) in [
            (r#"{"a": 1,}"#, "trailing comma at line 1 column 9"),
            ("{", "EOF while parsing an object at line 1 column 1"),
            (r#"{"a": NaNs}"#, "expected `,` or `}` at line 1 column 12"),
            ("'a'", "expected value at line 1 column 1"),
            ("\"\\", "EOF while parsing a string at line 1 column 2"),
        ] {
            assert_eq!(parse(text), Err(problem.to_owned()), "{text}");
        }
    }
}
