//! MIN and MAX of floats, whose results in DataFusion depend on the order of rows.

mod float_keys;
mod min_max;
mod rule;

pub(crate) use min_max::{float_max_udaf, float_min_udaf};
pub(crate) use rule::FloatMinMax;
