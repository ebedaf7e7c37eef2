//! [`Script`]: the statements of a script, parsed one by one.

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::sql::parser::DFParserBuilder;
use datafusion::sql::sqlparser::dialect::dialect_from_str;

use super::{Ocelli, Statement};
use crate::options::OcelliOptions;
use crate::sql::ScriptTokens;

/// The statements of a script. Each is parsed when it is asked for, because `SET datafusion.sql_parser.dialect` changes how those after it
/// are read.
///
/// Ends after the first syntax error, whose location is that in the script.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> datafusion::error::Result<()> {
/// let ocelli = ocelli::Ocelli::builder().build()?;
/// for statement in ocelli.script("SET datafusion.sql_parser.dialect = 'MySQL'; SELECT `a` FROM (SELECT 1 AS a) AS t") {
///     ocelli.execute_statement(statement?).await?.collect().await?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Script<'a> {
    ocelli: &'a Ocelli,
    tokens: ScriptTokens<'a>,
    has_failed: bool,
}

impl<'a> Script<'a> {
    pub(super) fn new(ocelli: &'a Ocelli, text: &'a str) -> Self {
        Self { ocelli, tokens: ScriptTokens::new(text), has_failed: false }
    }

    /// Whether nothing but comments and semicolons follows the last statement.
    pub fn is_finished(&self) -> bool {
        self.tokens.is_finished()
    }

    fn parse_next(&mut self) -> Result<Option<Statement>> {
        let state = self.ocelli.context().state();
        let options = &state.config_options().sql_parser;
        let Some(dialect) = dialect_from_str(options.dialect) else {
            return plan_err!("datafusion.sql_parser.dialect is '{}'; expected an SQL dialect name", options.dialect);
        };
        let Some(tokens) = self.tokens.next(dialect.as_ref())? else {
            return Ok(None);
        };
        let mut parser = DFParserBuilder::new(tokens)
            .with_dialect(dialect.as_ref())
            .with_recursion_limit(options.recursion_limit.into())
            .build()?;
        let max_depth = OcelliOptions::from_config(state.config_options()).max_expression_depth;
        Statement::parse(&mut parser, max_depth).map(Some)
    }
}

impl Iterator for Script<'_> {
    type Item = Result<Statement>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let next = self.parse_next().transpose();
        self.has_failed = matches!(next, Some(Err(_)));
        next
    }
}
