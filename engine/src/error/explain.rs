//! [`explain`] turns what DataFusion says to programmers into what a person can act on.

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use super::Error;

/// One sentence for any error of a query: what is wrong, where, and what would work.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> datafusion::error::Result<()> {
/// let ocelli = ocelli::Ocelli::builder().build()?;
/// let error = ocelli.sql("SELEC 1").await.unwrap_err();
/// assert!(ocelli::explain(&error).starts_with("SQL syntax: expected an SQL statement, found SELEC"));
/// # Ok(())
/// # }
/// ```
pub fn explain(error: &DataFusionError) -> String {
    if let Some(ours) = Error::find(error) {
        return ours.to_string();
    }
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => explain(inner),
        DataFusionError::Shared(inner) => explain(inner),
        DataFusionError::Collection(all) => all.first().map_or_else(|| first_line(&error.to_string()), explain),
        DataFusionError::External(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(inner) => explain(inner),
            None => first_line(&inner.to_string()),
        },
        DataFusionError::ArrowError(inner, _) => arrow(inner),
        DataFusionError::SQL(inner, _) => syntax(inner),
        DataFusionError::SchemaError(inner, _) => schema(inner),
        DataFusionError::ResourcesExhausted(text) => {
            // In front of it there is a list of everybody who holds some.
            let reason = text.rsplit("Error: ").next().unwrap_or(text);
            format!("not enough memory: {}; a larger memory limit may help", first_line(reason))
        }
        DataFusionError::NotImplemented(text) => format!("not supported: {}", unsupported(text)),
        DataFusionError::Internal(text) => format!("internal error, please report it: {}", first_line(text)),
        DataFusionError::Plan(text) | DataFusionError::Execution(text) | DataFusionError::Configuration(text) => {
            plain(text)
        }
        other => first_line(&other.to_string()),
    }
}

fn arrow(error: &ArrowError) -> String {
    if let ArrowError::ExternalError(inner) = error
        && let Some(inner) = inner.downcast_ref::<DataFusionError>()
    {
        return explain(inner);
    }
    first_line(&error.to_string())
}

/// `Expected: an SQL statement, found: SELEC at Line: 1, Column: 1` without its capitals and colons.
fn syntax(error: &ParserError) -> String {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => first_line(text),
        ParserError::RecursionLimitExceeded => return "SQL syntax: the statement is nested too deeply".to_owned(),
    };
    let text = match text.strip_suffix("found: EOF") {
        Some(text) => format!("{text}found: the end of the text"),
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
            format!("column '{}' does not exist: there is no table here", field.name)
        }
        SchemaError::FieldNotFound { field, valid_fields } => {
            let mut names: Vec<&str> = Vec::new();
            for field in valid_fields {
                // Tables that are joined may have columns of one name.
                if !names.contains(&field.name.as_str()) {
                    names.push(&field.name);
                }
            }
            let (name, hint) = (field.flat_name(), case_hint(field, &names));
            format!("column '{name}' does not exist{hint}; the columns are {}", names.join(", "))
        }
        SchemaError::AmbiguousReference { field } => {
            format!("column '{}' is in more than one table; write it as table.{}", field.name, field.name)
        }
        other => first_line(&other.to_string()),
    }
}

/// Unquoted names are folded to lower case, the one surprise that every newcomer meets.
fn case_hint(field: &Column, names: &[&str]) -> String {
    match names.iter().find(|name| name.eq_ignore_ascii_case(&field.name) && **name != field.name) {
        Some(name) => format!(" (\"{name}\" does, in double quotes)"),
        None => String::new(),
    }
}

/// What the planner cannot do, without the dump of its data structures.
fn unsupported(text: &str) -> String {
    match text.split_once("Physical plan does not support logical expression ") {
        Some((_, dump)) if dump.contains("Subquery") || dump.starts_with("OuterReferenceColumn") => {
            "a subquery that uses its outer query in this way; a join can say the same".to_owned()
        }
        Some((_, dump)) => {
            let kind = dump.split(['(', ' ', '{']).next().unwrap_or(dump);
            format!("an expression of the kind {kind} here")
        }
        None => first_line(text),
    }
}

/// Sentences of DataFusion that can be said better, else the sentence itself.
fn plain(text: &str) -> String {
    if let Some(sentence) = no_such_signature(text) {
        return sentence;
    }
    let text = first_line(text);
    if let Some(name) = between(&text, "table '", "' not found") {
        return missing_table(name);
    }
    if let Some((name, rest)) = text.strip_prefix("Invalid function '").and_then(|rest| rest.split_once("'.")) {
        let hint = rest.trim().strip_prefix("Did you mean ").map(|hint| format!("; did you mean {hint}"));
        return format!("function '{name}' does not exist{}", hint.unwrap_or_default());
    }
    if let Some((name, known)) = between(&text, "Unknown parameter name '", "]").and_then(|text| text.split_once("'. "))
    {
        let known = known.trim_start_matches("Valid parameters are: [");
        return format!("parameter '{name}' does not exist; the parameters are {known}");
    }
    if let Some(product) = between(&text, "Cannot coerce arithmetic expression ", " to valid types") {
        return format!(
            "{product} cannot be computed; arithmetic takes numbers, which CAST(… AS DOUBLE) makes of texts"
        );
    }
    let of_truths = "Cannot infer common argument type for logical boolean operation ";
    if let Some(operation) = text.strip_prefix(of_truths) {
        return format!("{operation} cannot be computed; AND and OR take truths, which comparisons give");
    }
    if let Some((name, _)) = text.strip_prefix("Config value \"").and_then(|rest| rest.split_once("\" not found on ")) {
        return format!("option '{name}' does not exist; SHOW ALL lists the options");
    }
    text
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.strip_suffix(end)
}

/// `No function matches the given name and argument types 'avg(Utf8)'. … Candidate functions: …`, which DataFusion puts
/// behind an internal error.
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
    let known = if known.is_empty() { String::new() } else { format!("; it takes {}", known.join(", ")) };
    Some(format!("no function fits the call {call}{known}"))
}

/// A name without quotes is cut at its dots, so that `photos.parquet` is a table `parquet` of a schema `photos`.
fn missing_table(name: &str) -> String {
    let name = name.strip_prefix("datafusion.").unwrap_or(name);
    let name = name.strip_prefix("public.").unwrap_or(name);
    let file = if name.ends_with(".parquet") { name.to_owned() } else { format!("{name}.parquet") };
    format!("table '{name}' does not exist; a file is a table when its name is quoted: FROM '{file}'")
}

/// All in one line, without the kind of error in front, and a backtrace or a dump behind.
fn first_line(text: &str) -> String {
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

/// The text up to what `Debug` prints of a Rust value, `Name { field: …`.
fn without_dump(text: &str) -> &str {
    let Some((before, _)) = text.split_once(" { ") else {
        return text;
    };
    match before.rsplit_once(' ') {
        // Inside of quotes it is the user's own text.
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
    fn kinds_and_layers_are_peeled_off() {
        let inner = DataFusionError::Plan("Error during planning: no\nsuch thing".to_owned());
        let error = DataFusionError::Context("rule x".to_owned(), Box::new(DataFusionError::External(Box::new(inner))));
        assert_eq!(explain(&error), "no such thing");
    }

    #[test]
    fn our_error_is_found_in_any_layer() {
        let ours = Error::UnknownModel { name: "nope".to_owned(), known: "m".to_owned() };
        let error = ArrowError::ExternalError(Box::new(DataFusionError::from(ours).context("somewhere")));
        let error = DataFusionError::ArrowError(Box::new(error), None);
        assert_eq!(explain(&error), "model 'nope' does not exist; known models: m");
    }

    #[test]
    fn data_structures_are_not_dumped() {
        let text = "Physical plan does not support logical expression ScalarSubquery(Subquery { plan: .. })";
        let error = DataFusionError::NotImplemented(text.to_owned());
        assert_eq!(
            explain(&error),
            "not supported: a subquery that uses its outer query in this way; a join can say the same"
        );
    }

    #[test]
    fn a_call_that_fits_no_function_lists_those_that_there_are() {
        let text = "Internal error: Function 'avg' failed to match any signature.\nThis issue was likely caused by a bug. \
                    No function matches the given name and argument types 'avg(Utf8)'. You might need to add explicit type \
                    casts.\n\tCandidate functions:\n\tavg(Decimal)\n\tavg(Float64)";
        let error = DataFusionError::Plan(text.to_owned());
        assert_eq!(explain(&error), "no function fits the call avg(Utf8); it takes avg(Decimal), avg(Float64)");
    }

    #[test]
    fn debug_prints_are_cut_off() {
        let error = DataFusionError::Plan("Substring is not valid Substring { expr: Value(1), from: None }".to_owned());
        assert_eq!(explain(&error), "Substring is not valid");
        let error = DataFusionError::Plan("a brace { in a sentence".to_owned());
        assert_eq!(explain(&error), "a brace { in a sentence");
    }

    #[test]
    fn unknown_names_say_which() {
        for (text, sentence) in [
            (
                "Unknown parameter name 'm'. Valid parameters are: [image, model]",
                "parameter 'm' does not exist; the parameters are image, model",
            ),
            (
                "Cannot coerce arithmetic expression Utf8 * Float64 to valid types",
                "Utf8 * Float64 cannot be computed; arithmetic takes numbers, which CAST(… AS DOUBLE) makes of texts",
            ),
            (
                "Cannot infer common argument type for logical boolean operation Float64 AND Float64",
                "Float64 AND Float64 cannot be computed; AND and OR take truths, which comparisons give",
            ),
            (
                "Config value \"nope\" not found on OcelliOptions",
                "option 'nope' does not exist; SHOW ALL lists the options",
            ),
            (
                "Invalid function 'clasify'. Did you mean 'classify'?",
                "function 'clasify' does not exist; did you mean 'classify'?",
            ),
        ] {
            assert_eq!(explain(&DataFusionError::Plan(text.to_owned())), sentence);
        }
    }

    #[test]
    fn a_missing_table_is_told_about_files() {
        let error = DataFusionError::Plan("table 'datafusion.public.photos' not found".to_owned());
        assert_eq!(
            explain(&error),
            "table 'photos' does not exist; a file is a table when its name is quoted: FROM 'photos.parquet'"
        );
    }
}
