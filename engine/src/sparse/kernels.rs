//! The product of sparse matrices over a semiring, row by row.
//!
//! ```text
//!        A [m, n]            B [n, p]               C [m, p]
//!   row i: (k, a) …    row k: (j, b) …     row i: (j, add of multiply(a, b) over all k) …
//! ```
//!
//! - [`Csr`] is where the entries of each row are; entries of one place may be many, as rows of a table are.
//! - [`Ring`] says what is multiplied and what is added up: numbers, paths, truths.
//! - [`multiply_row`] makes a row of C from a row of A and all of B (Gustavson, "Two fast algorithms for sparse matrices",
//!   ACM TOMS 1978). [`Places`] finds where in the row a column already is: an array for few columns, a hash table for
//!   rows that are short beside the number of columns (Nagasaka et al., "High-performance sparse matrix-matrix products on
//!   Intel KNL and multicore architectures", ICPP 2018, which also finds that sorted rows are not worth their price).
//! - [`scatter`] adds entries that come by, one after the other, to a vector: what a product with a vector is.
//!
//! A second backend needs a [`Csr`] and the slices beside it: nothing here knows where they are from.

mod accumulator;
mod csr;
mod dense_accumulator;
mod gustavson;
mod ops;
mod prefetch;
mod push;
mod scalar;
mod semiring;
#[cfg(test)]
mod tests;

pub(crate) use accumulator::{Dense, Hashed, Places};
pub(crate) use csr::{Csr, NONE, Order};
pub(crate) use dense_accumulator::{Full, multiply_full_row};
pub(crate) use gustavson::{Sums, Values, add_row, flops, multiply_row};
pub(crate) use ops::{Add, AllTrue, And, AnyTrue, Greatest, Least, Max, Min, Or, Over, Plus, Sum, Times};
pub(crate) use push::{Moving, Targets, add_sums, scatter};
pub(crate) use scalar::{Float, Number, Value, Widen};
pub(crate) use semiring::{Ring, Semiring};
