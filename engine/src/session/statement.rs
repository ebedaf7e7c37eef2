//! [`Statement`]: one SQL statement, of DataFusion or ours, and its rewrites before planning.

use std::fmt;
use std::sync::{Arc, LazyLock};

use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::DataFrame;
use datafusion::sql::parser::DFParser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::Ocelli;
use super::copy_target::resolve_copy_target;
use super::function_kinds::check_function_kinds;
use super::named_option::NamedOption;
use super::show_functions::resolve_show_functions;
use super::size_options::resolve_sizes;
use crate::infer::functions;
use crate::model::statements::{CreateModel, DescribeModel, DropModel, ShowModels};
use crate::sparse;
use crate::sql::{
    TokenCursor, fold_constant_arguments, limit_expression_depth, reject_ignored_clauses, resolve_named_arguments,
};

/// A parsed SQL statement. `Display` prints equivalent SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement(StatementKind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum StatementKind {
    CreateModel(CreateModel),
    DropModel(DropModel),
    ShowModels(ShowModels),
    DescribeModel(DescribeModel),
    /// All other statements.
    DataFusion(Box<datafusion::sql::parser::Statement>),
}

impl Statement {
    /// Parses the only statement of a parser.
    ///
    /// # Errors
    /// The first syntax error, an expression of more than `max_depth` levels, or a clause that DataFusion would ignore.
    pub(super) fn parse(parser: &mut DFParser, max_depth: usize) -> Result<Self> {
        let mut tokens = TokenCursor::new(&mut parser.parser);
        let kind = if let Some(statement) = CreateModel::parse(&mut tokens)? {
            StatementKind::CreateModel(statement)
        } else if let Some(statement) = DropModel::parse(&mut tokens)? {
            StatementKind::DropModel(statement)
        } else if let Some(statement) = ShowModels::parse(&mut tokens) {
            StatementKind::ShowModels(statement)
        } else if let Some(statement) = DescribeModel::parse(&mut tokens)? {
            StatementKind::DescribeModel(statement)
        } else {
            let mut statement = parser.parse_statement()?;
            limit_expression_depth(&mut statement, max_depth)?;
            StatementKind::DataFusion(Box::new(statement))
        };
        let next = parser.parser.peek_token();
        if !matches!(next.token, Token::SemiColon | Token::EOF) {
            return Ok(parser.parser.expected("end of statement", next)?);
        }
        Self(kind).rewrite()
    }

    /// Rewrites what DataFusion does not plan as it is written.
    fn rewrite(mut self) -> Result<Self> {
        if let StatementKind::DataFusion(statement) = &mut self.0 {
            reject_ignored_clauses(statement)?;
            resolve_copy_target(statement)?;
            resolve_sizes(statement)?;
            resolve_show_functions(statement)?;
            resolve_named_arguments(statement, parameters());
            sparse::check_table_functions(statement)?;
        }
        Ok(self)
    }

    /// Executes the statement, or plans it if it is a query.
    pub(crate) async fn execute(self, ocelli: &Ocelli) -> Result<DataFrame> {
        match self.0 {
            StatementKind::CreateModel(statement) => statement.execute(&ocelli.models()).await,
            StatementKind::DropModel(statement) => statement.execute(&ocelli.models()),
            StatementKind::ShowModels(statement) => statement.execute(&ocelli.models()).await,
            StatementKind::DescribeModel(statement) => statement.execute(&ocelli.models()),
            StatementKind::DataFusion(statement) => execute_datafusion(*statement, ocelli).await,
        }
    }
}

async fn execute_datafusion(mut statement: datafusion::sql::parser::Statement, ocelli: &Ocelli) -> Result<DataFrame> {
    let context = ocelli.context();
    sparse::expand_table_functions(&mut statement, context).await?;
    let state = context.state();
    check_function_kinds(&mut statement, &state)?;
    fold_constant_arguments(&mut statement, &state, is_constant_argument);
    let option = NamedOption::from_statement(&statement);
    let result = match state.statement_to_plan(statement).await {
        Ok(plan) => context.execute_logical_plan(plan).await,
        Err(error) => Err(error),
    };
    match option {
        Some(option) => result.map_err(|error| option.explain(error, &state)),
        None => result,
    }
}

/// Whether an argument of one of our functions is a parameter: all but the image, and the model of `predict`.
fn is_constant_argument(function: &str, position: usize) -> bool {
    match function {
        "predict" => position == 0,
        _ => position > 0 && parameters().iter().any(|(name, _)| name == function),
    }
}

/// The names of our functions and of their parameters, for functions with named parameters.
fn parameters() -> &'static [(String, Vec<String>)] {
    static PARAMETERS: LazyLock<Vec<(String, Vec<String>)>> = LazyLock::new(|| {
        let named = |function: Arc<ScalarUDF>| {
            Some((function.name().to_owned(), function.signature().parameter_names.clone()?))
        };
        functions::all_functions().into_iter().filter_map(named).collect()
    });
    &PARAMETERS
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            StatementKind::CreateModel(statement) => statement.fmt(f),
            StatementKind::DropModel(statement) => statement.fmt(f),
            StatementKind::ShowModels(statement) => statement.fmt(f),
            StatementKind::DescribeModel(statement) => statement.fmt(f),
            StatementKind::DataFusion(statement) => statement.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::ScriptTokens;
    use datafusion::sql::parser::DFParserBuilder;
    use datafusion::sql::sqlparser::dialect::GenericDialect;

    fn parse(text: &str) -> std::result::Result<Vec<String>, String> {
        let mut script = ScriptTokens::new(text);
        let mut statements = Vec::new();
        while let Some(tokens) = script.next(&GenericDialect {}).unwrap() {
            let mut parser = DFParserBuilder::new(tokens).build().unwrap();
            let statement = Statement::parse(&mut parser, 500).map_err(|error| crate::user_message(&error))?;
            statements.push(statement.to_string());
        }
        Ok(statements)
    }

    #[test]
    fn display_parses_back() {
        for text in [
            "CREATE MODEL pets STORED AS ONNX LOCATION 'models/pets/'",
            "CREATE OR REPLACE MODEL pets STORED AS ONNX LOCATION 'a''b'",
            "CREATE MODEL IF NOT EXISTS \"two words\" STORED AS ONNX LOCATION 's3://b/m' OPTIONS ('mean' '1,2,3', 'size' '8')",
            "DROP MODEL pets",
            "DROP MODEL IF EXISTS \"a\"\"b\"",
            "SHOW MODELS",
            "DESCRIBE MODEL pets",
            "SELECT 1",
        ] {
            assert_eq!(parse(text), Ok(vec![text.to_owned()]));
        }
    }

    #[test]
    fn scripts_have_several_statements_comments_and_any_case() {
        let text =
            "-- first\ncreate Model m stored As onnx location 'x' /* and */ options (Device auto, 'Backend' \"rten\");;
            show models; DESC model M; SELECT 1; drop model if exists m;";
        assert_eq!(
            parse(text).unwrap(),
            [
                "CREATE MODEL m STORED AS ONNX LOCATION 'x' OPTIONS ('Device' 'auto', 'Backend' 'rten')",
                "SHOW MODELS",
                "DESCRIBE MODEL M",
                "SELECT 1",
                "DROP MODEL IF EXISTS m",
            ]
        );
        assert_eq!(parse(" ; ;").unwrap(), [""; 0]);
    }

    #[test]
    fn tables_may_be_named_model() {
        for text in ["DESCRIBE model", "DROP TABLE model", "SELECT model FROM models"] {
            assert_eq!(parse(text), Ok(vec![text.to_owned()]));
        }
    }

    #[test]
    fn a_wrong_token_says_what_was_expected() {
        for (text, problem) in [
            ("CREATE MODEL", "expected a name for the model, found the end of the input"),
            ("CREATE MODEL 'm'", "expected a name for the model, found 'm' at line 1, column 14"),
            ("CREATE MODEL m AS", "expected STORED AS ONNX, found AS at line 1, column 16"),
            ("CREATE MODEL m STORED ONNX", "expected AS, found ONNX at line 1, column 23"),
            ("CREATE MODEL m STORED AS PT", "expected ONNX, found PT at line 1, column 26"),
            ("CREATE MODEL m STORED AS ONNX 'x'", "expected LOCATION, found 'x' at line 1, column 31"),
            (
                "CREATE MODEL m STORED AS ONNX LOCATION x",
                "expected the location in quotes, found x at line 1, column 40",
            ),
            (
                "CREATE OR REPLACE MODEL IF NOT EXISTS m",
                "expected a name for the model (OR REPLACE and IF NOT EXISTS exclude each other), found IF at line 1, column 25",
            ),
            ("CREATE MODEL IF m", "expected NOT EXISTS, found m at line 1, column 17"),
            (
                "CREATE MODEL m STORED AS ONNX LOCATION 'x' OPTIONS 'a'",
                "expected ( and pairs of an option and its value, found 'a' at line 1, column 52",
            ),
            (
                "CREATE MODEL m STORED AS ONNX LOCATION 'x' OPTIONS ('a')",
                "expected a value for option 'a', found ) at line 1, column 56",
            ),
            (
                "CREATE MODEL m STORED AS ONNX LOCATION 'x' OPTIONS ('a' 'b' 'c' 'd')",
                "expected , or ), found 'c' at line 1, column 61",
            ),
            (
                "CREATE MODEL m STORED AS ONNX LOCATION 'x' WITH",
                "expected OPTIONS or the end of the statement, found WITH at line 1, column 44",
            ),
            ("DROP MODEL", "expected a name for the model, found the end of the input"),
            ("DROP MODEL IF m", "expected EXISTS, found m at line 1, column 15"),
            ("DROP MODEL m n", "expected end of statement, found n at line 1, column 14"),
            ("DESCRIBE MODEL m n", "expected end of statement, found n at line 1, column 18"),
            ("SHOW MODELS m", "expected end of statement, found m at line 1, column 13"),
        ] {
            assert_eq!(parse(text), Err(format!("SQL syntax: {problem}")), "{text}");
        }
    }
}
