//! [`NoMatch`]: why an aggregation over a join is not rewritten.

use std::fmt;

use datafusion::error::DataFusionError;

use crate::error::user_message;

/// Why an aggregation is not a sparse product.
#[derive(Debug)]
pub(super) enum NoMatch {
    /// Its input is not a join. Not worth reporting.
    NotAJoin,
    /// It is over a join, but the kernels cannot compute it. Holds the reason, for EXPLAIN VERBOSE and the log.
    Unsupported(String),
}

/// A product that fails to plan (for duplicate column names, for example) stays a join, which may well plan.
impl From<DataFusionError> for NoMatch {
    fn from(error: DataFusionError) -> Self {
        Self::Unsupported(format!("the product cannot be planned: {}", user_message(&error)))
    }
}

pub(super) fn unsupported<T>(reason: impl fmt::Display) -> Result<T, NoMatch> {
    Err(NoMatch::Unsupported(reason.to_string()))
}
