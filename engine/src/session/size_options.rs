//! [`resolve_sizes`]: sizes such as `'2GB'` in SET, of which DataFusion takes only those in K, M and G.

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Set, Statement as SqlStatement, Value};

use crate::options::parse_size;

/// The options that are sizes in bytes.
const SIZE_OPTIONS: [&str; 5] = [
    "datafusion.runtime.memory_limit",
    "datafusion.runtime.max_temp_directory_size",
    "datafusion.runtime.metadata_cache_limit",
    "datafusion.runtime.list_files_cache_limit",
    "datafusion.runtime.file_statistics_cache_limit",
];

/// Rewrites `SET datafusion.runtime.memory_limit = '2GB'` to a unit of DataFusion, whose `'2G'` keeps its meaning of 2 GiB.
///
/// # Errors
/// When the value of such an option is no size.
pub(super) fn resolve_sizes(statement: &mut Statement) -> Result<()> {
    let Statement::Statement(statement) = statement else {
        return Ok(());
    };
    let SqlStatement::Set(Set::SingleAssignment { variable, values, .. }) = &mut **statement else {
        return Ok(());
    };
    let option = variable.to_string().to_lowercase();
    let [Expr::Value(value)] = values.as_slice() else {
        return Ok(());
    };
    let text = match &value.value {
        Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
        Value::Number(number, _) => number.clone(),
        _ => return Ok(()),
    };
    if !SIZE_OPTIONS.contains(&option.as_str()) || is_datafusion_size(&text) {
        return Ok(());
    }
    match parse_size(&text) {
        Ok(bytes) => {
            let kibibytes = format!("{}K", bytes as f64 / 1024.0);
            *values = vec![Expr::Value(Value::SingleQuotedString(kibibytes).into())];
            Ok(())
        }
        Err(reason) => plan_err!("{option} cannot be '{text}': {reason}"),
    }
}

/// Whether DataFusion takes a size: `1.5G`, or zero.
fn is_datafusion_size(text: &str) -> bool {
    let number = text.strip_suffix(['K', 'M', 'G']).and_then(|number| number.parse::<f64>().ok());
    text == "0" || number.is_some_and(|number| number.is_finite() && number >= 0.0)
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn resolved(sql: &str) -> Result<String> {
        let mut statement = DFParser::parse_sql(sql)?.pop_front().expect("a statement");
        resolve_sizes(&mut statement)?;
        Ok(statement.to_string())
    }

    #[test]
    fn sizes_are_those_of_the_command_line() {
        for (size, bytes) in [
            ("'2GB'", 2_000_000_000),
            ("'512MiB'", 512 << 20),
            ("'1.5 gb'", 1_500_000_000),
            ("1000001", 1_000_001),
            ("'2G'", 2 << 30),
            ("'0'", 0),
        ] {
            let sql = resolved(&format!("SET datafusion.runtime.memory_limit = {size}")).unwrap();
            let (_, value) = sql.split_once(" = ").unwrap();
            let read = SessionContext::parse_capacity_limit("memory_limit", value.trim_matches('\''));
            assert_eq!(read.unwrap(), bytes, "{sql}");
        }
    }

    #[test]
    fn other_values_and_options_are_unchanged() {
        for sql in [
            "SET datafusion.runtime.memory_limit = '1.5G'",
            "SET datafusion.runtime.temp_directory = '2GB'",
            "SET ocelli.model = '2GB'",
            "SELECT '2GB'",
        ] {
            assert_eq!(resolved(sql).unwrap(), sql);
        }
    }

    #[test]
    fn a_value_that_is_no_size_is_named() {
        let error = resolved("SET datafusion.runtime.memory_limit = 'much'").unwrap_err().to_string();
        assert!(error.contains("datafusion.runtime.memory_limit cannot be 'much': a size is a number"), "{error}");
    }
}
