//! Kernels for the product of sparse matrices over a semiring (SpGEMM, SpMV), on slices.
//!
//! ```text
//!        A [m, n]            B [n, p]               C [m, p]
//!   row i: (k, a) …    row k: (j, b) …     row i: (j, add of multiply(a, b) over all k) …
//! ```
//!
//! - [`Csr`] is the structure of a matrix. It may have several entries at the same position, as a table may have
//!   several rows.
//! - [`TypedSemiring`] is the semiring: the operator, the monoid, and the types of values and accumulators.
//! - [`gustavson_row`] computes one row of C (Gustavson, "Two fast algorithms for sparse matrices", ACM TOMS 1978). A
//!   [`ColumnIndex`] maps columns to slots of that row: a sparse accumulator (SPA; Gilbert, Moler and Schreiber,
//!   "Sparse matrices in MATLAB", SIAM J. Matrix Anal. Appl. 1992) for few columns, a hash table for rows that are
//!   short relative to the number of columns (Nagasaka et al., "High-performance sparse matrix-matrix products on Intel
//!   KNL and multicore architectures", ICPP 2018, which also finds that sorting the output rows does not pay off).
//! - [`MaskedIndex`] is a column index for `C<M> = A B` and `C<!M> = A B`, where a mask excludes entries of C.
//! - [`spmv_push`] accumulates a stream of entries into a vector: sparse matrix times vector.
//!
//! The kernels take a [`Csr`] and value slices and do not depend on Arrow or DataFusion, so that another backend can
//! use the same interface.

mod accumulator;
mod csr;
mod dense_accumulator;
mod gustavson;
mod masked_index;
mod ops;
mod prefetch;
mod push;
mod scalar;
mod semiring;
#[cfg(test)]
mod tests;

pub(crate) use accumulator::{ColumnIndex, HashIndex, SpaIndex};
pub(crate) use csr::{Csr, CsrPermutation, NULL_ID};
pub(crate) use dense_accumulator::{DenseRow, gustavson_dense_row};
pub(crate) use gustavson::{Accumulators, NullableValues, gustavson_row, gustavson_row_numeric, row_flops};
pub(crate) use masked_index::{MaskKind, MaskedIndex};
pub(crate) use ops::{
    DivOp, LAndMonoid, LAndOp, LOrMonoid, LOrOp, MaxMonoid, MaxOp, MinMonoid, MinOp, MonoidKernel, PlusMonoid, PlusOp,
    TimesOp,
};
pub(crate) use push::{OutputIndex, StreamedSide, merge_accumulators, spmv_push};
pub(crate) use scalar::{Element, Float, Scalar, Widen};
pub(crate) use semiring::{SemiringOps, TypedSemiring};
