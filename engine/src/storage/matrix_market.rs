//! [`MatrixMarket`]: a file of a sparse matrix, `'graph.mtx'` or `'graph.mtx.gz'`, as a table of its entries.
//!
//! ```text
//!             ranges             unpacked             a batch at a time
//!   object ──────────▶ [`Text`] ──────────▶ [`Reader`] ──────────────────▶ row  col  value
//!                                            with the parser in `parse`     0    2   -1.0
//! ```
//!
//! Rows and columns count from 0, as in SciPy and GraphBLAS, though the file counts from 1. A matrix without values, a
//! graph, has the value 1 everywhere. What a symmetric file leaves out is there: both directions of every edge.
//!
//! The file is read as it is needed, never as a whole.
//!
//! [`Text`]: text::Text
//! [`Reader`]: reader::Reader

mod entries;
#[cfg(test)]
mod entries_test;
mod header;
mod lines;
mod reader;
mod scan;
mod table;
mod text;

pub(crate) use table::MatrixMarket;
