//! [`NamedOption`]: the option of SET, RESET and SHOW, for messages that name it.

use std::borrow::Cow;

use datafusion::common::plan_datafusion_err;
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::{ResetStatement, Statement};
use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName, Set, Statement as SqlStatement};

use crate::error::{Error, is_near, user_message};

/// The option that a statement sets, resets or shows.
#[derive(Debug)]
pub(super) struct NamedOption {
    name: String,
    /// As written, for SET.
    value: Option<String>,
}

impl NamedOption {
    /// `None` for other statements.
    pub(super) fn from_statement(statement: &Statement) -> Option<Self> {
        match statement {
            Statement::Reset(ResetStatement::Variable(name)) => Some(Self { name: option_name(name), value: None }),
            Statement::Statement(statement) => match statement.as_ref() {
                SqlStatement::Set(Set::SingleAssignment { variable, values, .. }) => {
                    let values: Vec<Cow<'_, str>> = values.iter().map(text).collect();
                    Some(Self { name: option_name(variable), value: Some(values.join(", ")) })
                }
                SqlStatement::ShowVariable { variable } => {
                    let verbose = variable.len() > 1
                        && variable.last().is_some_and(|last| last.value.eq_ignore_ascii_case("verbose"));
                    let name = &variable[..variable.len() - usize::from(verbose)];
                    Some(Self { name: option_name(&ObjectName::from(name.to_vec())), value: None })
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The error of the statement as a sentence that names the option.
    pub(super) fn explain(&self, error: DataFusionError, state: &SessionState) -> DataFusionError {
        let options = state.config_options().entries().into_iter().chain(state.runtime_env().config_entries());
        let known: Vec<String> = options.map(|option| option.key).collect();
        let name = &self.name;
        if !known.contains(name) {
            return match nearest_option(name, &known) {
                Some(near) => plan_datafusion_err!("option '{name}' does not exist; did you mean '{near}'?"),
                None => plan_datafusion_err!("option '{name}' does not exist; SHOW ALL lists the options"),
            };
        }
        match &self.value {
            // Our messages are complete.
            Some(value) if !name.starts_with("ocelli.") && Error::find(&error).is_none() => {
                plan_datafusion_err!("{name} cannot be '{value}': {}", reason(&error))
            }
            _ => error,
        }
    }
}

/// `datafusion.execution.batch_size`, with the aliases that DataFusion has.
fn option_name(name: &ObjectName) -> String {
    let parts = name.0.iter().map(|part| part.as_ident().map_or_else(|| part.to_string(), |ident| ident.value.clone()));
    let name = parts.collect::<Vec<_>>().join(".").to_lowercase();
    match name.as_str() {
        "timezone" | "time.zone" => "datafusion.execution.time_zone".to_owned(),
        _ => name,
    }
}

fn text(value: &Expr) -> Cow<'_, str> {
    match value {
        Expr::Identifier(Ident { value, .. }) => Cow::Borrowed(value),
        Expr::Value(value) => match value.value.clone().into_string() {
            Some(text) => Cow::Owned(text),
            None => Cow::Owned(value.to_string()),
        },
        other => Cow::Owned(other.to_string()),
    }
}

/// Why DataFusion does not take a value: what is expected, where the message names a type of Rust.
fn reason(error: &DataFusionError) -> String {
    let mut next = error;
    while let DataFusionError::Context(context, inner) = next {
        let expected = match context.strip_prefix("Error parsing '").and_then(|rest| rest.rsplit_once("' as ")) {
            Some((_, "bool")) => "expected true or false",
            Some((_, "usize" | "u64" | "u32" | "u8")) => "expected an integer from 0",
            Some((_, "i32" | "i64")) => "expected an integer",
            Some((_, "f64")) => "expected a number",
            _ => "",
        };
        if !expected.is_empty() {
            return expected.to_owned();
        }
        next = inner;
    }
    let message = user_message(error);
    if message.starts_with("Unsupported ") {
        return "expected a literal, such as 'text', 5 or true".to_owned();
    }
    message
}

/// The option that a name probably stands for: it may lack the part before its last dot, and each part may be misspelled.
fn nearest_option<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let (group, last) = split_group(name);
    let is_match = |option: &str| {
        let (known_group, known_last) = split_group(option);
        match group.is_empty() {
            true => last == known_last,
            false => is_near(group, known_group) && is_near(last, known_last),
        }
    };
    known.iter().map(String::as_str).find(|option| is_match(option))
}

/// `datafusion.execution` and `batch_size`.
fn split_group(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn option(sql: &str) -> Option<(String, Option<String>)> {
        let statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
        NamedOption::from_statement(&statement).map(|option| (option.name, option.value))
    }

    #[test]
    fn options_of_statements() {
        for (sql, name, value) in [
            ("SET datafusion.execution.Batch_Size = 5", "datafusion.execution.batch_size", Some("5")),
            ("SET ocelli.device = 'a b'", "ocelli.device", Some("a b")),
            ("SET ocelli.device = gpu", "ocelli.device", Some("gpu")),
            ("SET a.b = 1 + 1", "a.b", Some("1 + 1")),
            ("SET timezone = 'UTC'", "datafusion.execution.time_zone", Some("UTC")),
            ("RESET ocelli.model", "ocelli.model", None),
            ("SHOW ocelli.model", "ocelli.model", None),
            ("SHOW ocelli.model VERBOSE", "ocelli.model", None),
        ] {
            assert_eq!(option(sql), Some((name.to_owned(), value.map(str::to_owned))), "{sql}");
        }
        assert_eq!(option("SELECT 1"), None);
    }

    #[test]
    fn near_options_are_suggested() {
        let known = ["ocelli.model", "ocelli.device", "datafusion.execution.batch_size"].map(str::to_owned);
        for (name, near) in [
            ("ocelli.modle", Some("ocelli.model")),
            ("batch_size", Some("datafusion.execution.batch_size")),
            ("datafusion.exection.batchsize", Some("datafusion.execution.batch_size")),
            ("ocelli.nope", None),
            ("datafusion.nope", None),
            ("model_", None),
        ] {
            assert_eq!(nearest_option(name, &known), near, "{name}");
        }
    }
}
