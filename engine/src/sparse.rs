//! Products of sparse matrices: the optimizer rule that recognizes them, logical node, physical operators and kernels.

mod build;
mod call_expansion;
mod cost;
mod csr_operand;
mod dataframe;
mod exec;
mod group_dictionary;
mod group_interner;
mod ids;
mod input;
mod integer_code;
mod join_fallback_exec;
mod kernels;
mod key_dictionary;
mod node;
mod operands;
mod planner;
mod rule;
mod semiring;
mod semiring_dispatch;
mod spec;
mod spgemm;
mod spgemm_values;
mod spill;
mod spmv;
mod spmv_stream;
mod spmv_values;
mod table_functions;

pub(crate) use call_expansion::{check as check_table_functions, expand as expand_table_functions};
pub use dataframe::DataFrameSparseExt;
pub(crate) use planner::SparseMatMulExtensionPlanner;
pub(crate) use rule::{FuseSparseMatMul, annotate_explain};
pub use semiring::Semiring;
pub use table_functions::{FUNCTIONS as TABLE_FUNCTIONS, TableFunction};
