//! [`Refusal`]: why an aggregation over a join stays as it is.

use std::fmt;

use datafusion::error::DataFusionError;

use crate::error::explain;

/// Why an aggregation is not a product.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is not over a join.
    NoJoin,
    /// The kernels do not hold it.
    Because(String),
}

/// What cannot be planned as a product, because of names say, may well be a join.
impl From<DataFusionError> for Refusal {
    fn from(error: DataFusionError) -> Self {
        Self::Because(format!("it cannot be planned: {}", explain(&error)))
    }
}

pub(super) fn because<T>(reason: impl fmt::Display) -> Result<T, Refusal> {
    Err(Refusal::Because(reason.to_string()))
}
