//! What we do to SQL statements before DataFusion plans them.

mod named_arguments;

pub(crate) use named_arguments::fill_gaps;
