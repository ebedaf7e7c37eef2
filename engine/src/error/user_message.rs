//! [`user_message`]: turns DataFusion errors, which are written for programmers, into messages for users.

use std::path::Path;

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use super::near_names::is_near;
use super::{Error, TABLE_EXTENSIONS};

/// The message of any error of a query, in one sentence: subject, problem, remedy.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> datafusion::error::Result<()> {
/// let ocelli = ocelli::Ocelli::builder().build()?;
/// let error = ocelli.sql("SELEC 1").await.unwrap_err();
/// assert!(ocelli::user_message(&error).starts_with("SQL syntax: expected an SQL statement, found SELEC"));
/// # Ok(())
/// # }
/// ```
pub fn user_message(error: &DataFusionError) -> String {
    if let Some(ours) = Error::find(error) {
        return ours.to_string();
    }
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => user_message(inner),
        DataFusionError::Shared(inner) => user_message(inner),
        DataFusionError::Collection(all) => {
            all.first().map_or_else(|| strip_prefixes(&error.to_string()), user_message)
        }
        DataFusionError::External(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(inner) => user_message(inner),
            None => strip_prefixes(&inner.to_string()),
        },
        DataFusionError::ArrowError(inner, _) => arrow(inner),
        DataFusionError::SQL(inner, _) => syntax_message(inner),
        DataFusionError::SchemaError(inner, _) => schema(inner),
        DataFusionError::ResourcesExhausted(text) => {
            // A list of all memory consumers precedes it.
            let reason = text.rsplit("Error: ").next().unwrap_or(text);
            format!("not enough memory: {}; a larger memory limit may help", strip_prefixes(reason))
        }
        DataFusionError::NotImplemented(text) => format!("not supported: {}", unsupported(text)),
        DataFusionError::Internal(text) if text.contains("No suitable object store found for ") => {
            let url = text.split("No suitable object store found for ").nth(1).and_then(|rest| rest.split(". ").next());
            format!("there is no object store for {}", url.unwrap_or_default())
        }
        DataFusionError::Internal(text) => format!("internal error, please report it: {}", strip_prefixes(text)),
        DataFusionError::Plan(text) | DataFusionError::Execution(text) | DataFusionError::Configuration(text) => {
            rewrite_message(text)
        }
        other => strip_prefixes(&other.to_string()),
    }
}

fn arrow(error: &ArrowError) -> String {
    if let ArrowError::ExternalError(inner) = error
        && let Some(inner) = inner.downcast_ref::<DataFusionError>()
    {
        return user_message(inner);
    }
    strip_prefixes(&error.to_string())
}

/// `Expected: an SQL statement, found: SELEC at Line: 1, Column: 1` without its capitals and colons.
fn syntax_message(error: &ParserError) -> String {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => strip_prefixes(text),
        ParserError::RecursionLimitExceeded => {
            let remedy = "remove parentheses or subqueries, or raise datafusion.sql_parser.recursion_limit";
            return format!("SQL syntax: the statement is nested too deeply; {remedy}");
        }
    };
    let text = match text.strip_suffix("found: EOF") {
        Some(text) => format!("{text}found: the end of the input"),
        None => text,
    };
    let text = [
        ("Expected: ", "expected "),
        (", found: ", ", found "),
        (" at Line: ", " at line "),
        (", Column: ", ", column "),
    ]
    .iter()
    .fold(text, |text, (from, to)| text.replace(from, to));
    format!("SQL syntax: {text}")
}

fn schema(error: &SchemaError) -> String {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } if valid_fields.is_empty() => {
            format!("column '{}' does not exist: the query has no table", field.name)
        }
        SchemaError::FieldNotFound { field, valid_fields } => {
            let mut names: Vec<&str> = Vec::new();
            for field in valid_fields {
                // Joined tables may share column names.
                if !names.contains(&field.name.as_str()) {
                    names.push(&field.name);
                }
            }
            let (name, hint) = (field.flat_name(), case_hint(field, &names));
            format!("column '{name}' does not exist{hint}; the columns are {}", names.join(", "))
        }
        SchemaError::AmbiguousReference { field } => {
            format!("column '{}' is ambiguous; qualify it as table.{}", field.name, field.name)
        }
        other => strip_prefixes(&other.to_string()),
    }
}

/// Unquoted identifiers are folded to lower case.
fn case_hint(field: &Column, names: &[&str]) -> String {
    match names.iter().find(|name| name.eq_ignore_ascii_case(&field.name) && **name != field.name) {
        Some(name) => format!(" (\"{name}\" does, in double quotes)"),
        None => String::new(),
    }
}

/// The message of an unsupported feature, without the debug output of plans.
fn unsupported(text: &str) -> String {
    match text.split_once("Physical plan does not support logical expression ") {
        Some((_, dump)) if dump.contains("Subquery") || dump.starts_with("OuterReferenceColumn") => {
            "this kind of correlated subquery; rewrite it as a join".to_owned()
        }
        Some((_, dump)) => {
            let kind = dump.split(['(', ' ', '{']).next().unwrap_or(dump);
            format!("an expression of type {kind} here")
        }
        None => strip_prefixes(text),
    }
}

/// Rewrites known messages of DataFusion; others are returned as they are.
fn rewrite_message(text: &str) -> String {
    if let Some(sentence) = no_such_signature(text) {
        return sentence;
    }
    let text = strip_prefixes(text);
    if let Some(name) = between(&text, "table '", "' not found") {
        return missing_table(name);
    }
    if let Some((name, rest)) = text.strip_prefix("Invalid function '").and_then(|rest| rest.split_once("'.")) {
        // DataFusion suggests the nearest name, however far it is.
        let suggestion = between(rest.trim(), "Did you mean '", "'?").filter(|suggestion| is_near(name, suggestion));
        return match suggestion {
            Some(suggestion) => format!("function '{name}' does not exist; did you mean '{suggestion}'?"),
            None => format!("function '{name}' does not exist; SHOW FUNCTIONS lists the functions"),
        };
    }
    if let Some((name, known)) = between(&text, "Unknown parameter name '", "]").and_then(|text| text.split_once("'. "))
    {
        let known = known.trim_start_matches("Valid parameters are: [");
        return format!("parameter '{name}' does not exist; the parameters are {known}");
    }
    if let Some(product) = between(&text, "Cannot coerce arithmetic expression ", " to valid types") {
        return format!(
            "cannot evaluate {product}: arithmetic needs numeric operands; use CAST(… AS DOUBLE) on strings"
        );
    }
    let boolean_prefix = "Cannot infer common argument type for logical boolean operation ";
    if let Some(operation) = text.strip_prefix(boolean_prefix) {
        return format!("cannot apply {operation}: AND and OR take boolean operands, such as comparisons");
    }
    if let Some((name, _)) = text.strip_prefix("Config value \"").and_then(|rest| rest.split_once("\" not found on ")) {
        return format!("option '{name}' does not exist; SHOW ALL lists the options");
    }
    text
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.strip_suffix(end)
}

/// `No function matches the given name and argument types 'avg(Utf8)'. … Candidate functions: …`, which DataFusion
/// appends to an internal error.
fn no_such_signature(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("No function matches the given name and argument types '")?;
    let (call, rest) = rest.split_once("'.")?;
    let known: Vec<&str> = match rest.split_once("Candidate functions:") {
        Some((_, list)) => {
            let lines = list.lines().map(str::trim);
            lines.filter(|line| !line.is_empty() && !line.contains("(UserDefined)")).collect()
        }
        None => Vec::new(),
    };
    let known = if known.is_empty() { String::new() } else { format!("; candidates are {}", known.join(", ")) };
    Some(format!("no function matches the call {call}{known}"))
}

/// An unquoted name is split at its dots: `photos.parquet` is the table `parquet` of the schema `photos`.
fn missing_table(name: &str) -> String {
    let name = name.strip_prefix("datafusion.").unwrap_or(name);
    let name = name.strip_prefix("public.").unwrap_or(name);
    if Path::new(name).extension().is_none() && Path::new(name).is_file() {
        return format!(
            "table '{name}' does not exist, and the name of the file '{name}' has no extension; expected \
             {TABLE_EXTENSIONS}"
        );
    }
    if Path::new(name).is_dir() {
        return format!("table '{name}' does not exist; to read the folder, end its name with a slash: FROM '{name}/'");
    }
    let file = if Path::new(name).extension().is_some() { name.to_owned() } else { format!("{name}.parquet") };
    format!("table '{name}' does not exist; to read a file, quote its name: FROM '{file}'")
}

/// One line, without the prefixes of error types and without backtraces and debug output.
fn strip_prefixes(text: &str) -> String {
    const KINDS: [&str; 15] = [
        "Csv error: ",
        "Json error: ",
        "Parser error: ",
        "Parquet argument error: ",
        "Cast error: ",
        "Resources exhausted: ",
        "Error during planning: ",
        "Execution error: ",
        "External error: ",
        "Schema error: ",
        "Invalid or Unsupported Configuration: ",
        "Arrow error: ",
        "Parquet error: ",
        "Object Store error: ",
        "This feature is not implemented: ",
    ];
    let mut text = text.split("\n\nbacktrace:").next().unwrap_or(text).trim();
    while let Some(rest) = KINDS.iter().find_map(|kind| text.strip_prefix(kind)) {
        text = rest;
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    without_dump(&text).to_owned()
}

/// The text up to the debug output of a Rust value, `Name { field: …`.
fn without_dump(text: &str) -> &str {
    let Some((before, _)) = text.split_once(" { ") else {
        return text;
    };
    match before.rsplit_once(' ') {
        // Inside quotes it is text of the user.
        Some((sentence, name)) if name.starts_with(char::is_uppercase) && before.matches('\'').count() % 2 == 0 => {
            sentence.trim_end_matches([':', ','])
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_wrappers_are_removed() {
        let inner = DataFusionError::Plan("Error during planning: no\nsuch thing".to_owned());
        let error = DataFusionError::Context("rule x".to_owned(), Box::new(DataFusionError::External(Box::new(inner))));
        assert_eq!(user_message(&error), "no such thing");
    }

    #[test]
    fn engine_errors_are_found_in_any_wrapper() {
        let ours = Error::ModelNotFound { name: "nope".to_owned(), known: "m".to_owned() };
        let error = ArrowError::ExternalError(Box::new(DataFusionError::from(ours).context("somewhere")));
        let error = DataFusionError::ArrowError(Box::new(error), None);
        assert_eq!(user_message(&error), "model 'nope' does not exist; known models: m");
    }

    #[test]
    fn plans_are_not_printed() {
        let text = "Physical plan does not support logical expression ScalarSubquery(Subquery { plan: .. })";
        let error = DataFusionError::NotImplemented(text.to_owned());
        assert_eq!(user_message(&error), "not supported: this kind of correlated subquery; rewrite it as a join");
    }

    #[test]
    fn an_unmatched_call_lists_the_candidates() {
        let text = "Internal error: Function 'avg' failed to match any signature.\nThis issue was likely caused by a bug. \
                    No function matches the given name and argument types 'avg(Utf8)'. You might need to add explicit type \
                    casts.\n\tCandidate functions:\n\tavg(Decimal)\n\tavg(Float64)";
        let error = DataFusionError::Plan(text.to_owned());
        assert_eq!(
            user_message(&error),
            "no function matches the call avg(Utf8); candidates are avg(Decimal), avg(Float64)"
        );
    }

    #[test]
    fn debug_output_is_removed() {
        let error = DataFusionError::Plan("Substring is not valid Substring { expr: Value(1), from: None }".to_owned());
        assert_eq!(user_message(&error), "Substring is not valid");
        let error = DataFusionError::Plan("a brace { in a sentence".to_owned());
        assert_eq!(user_message(&error), "a brace { in a sentence");
    }

    #[test]
    fn messages_are_rewritten() {
        for (text, sentence) in [
            (
                "Unknown parameter name 'm'. Valid parameters are: [image, model]",
                "parameter 'm' does not exist; the parameters are image, model",
            ),
            (
                "Cannot coerce arithmetic expression Utf8 * Float64 to valid types",
                "cannot evaluate Utf8 * Float64: arithmetic needs numeric operands; use CAST(… AS DOUBLE) on strings",
            ),
            (
                "Cannot infer common argument type for logical boolean operation Float64 AND Float64",
                "cannot apply Float64 AND Float64: AND and OR take boolean operands, such as comparisons",
            ),
            (
                "Config value \"nope\" not found on OcelliOptions",
                "option 'nope' does not exist; SHOW ALL lists the options",
            ),
            (
                "Invalid function 'clasify'. Did you mean 'classify'?",
                "function 'clasify' does not exist; did you mean 'classify'?",
            ),
            (
                "Invalid function 'cuont'. Did you mean 'count'?",
                "function 'cuont' does not exist; did you mean 'count'?",
            ),
            (
                "Invalid function 'md7'. Did you mean 'map'?",
                "function 'md7' does not exist; SHOW FUNCTIONS lists the functions",
            ),
            (
                "Invalid function 'levenshtein_distance'. Did you mean 'cosine_distance'?",
                "function 'levenshtein_distance' does not exist; SHOW FUNCTIONS lists the functions",
            ),
        ] {
            assert_eq!(user_message(&DataFusionError::Plan(text.to_owned())), sentence);
        }
    }

    #[test]
    fn a_missing_table_mentions_files() {
        let error = DataFusionError::Plan("table 'datafusion.public.photos' not found".to_owned());
        assert_eq!(
            user_message(&error),
            "table 'photos' does not exist; to read a file, quote its name: FROM 'photos.parquet'"
        );
    }
}
