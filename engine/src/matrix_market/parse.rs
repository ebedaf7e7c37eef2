//! [`HeaderLines`], then [`Entries`]: the text of a Matrix Market file, piece by piece, as entries of a matrix.
//!
//! ```text
//! %%MatrixMarket matrix coordinate real symmetric      banner
//! % From a comment to the sizes.                       comments
//! 3 3 2                                                rows, columns, lines of entries        row  col  value
//! 1 1 2.5                                              a row, a column (from 1), a value  ──▶   0    0    2.5
//! 3 1 -1                                                                                  ──▶   2    0   -1.0
//!                                                                                               0    2   -1.0
//! ```
//!
//! The format is described by NIST: <https://math.nist.gov/MatrixMarket/formats.html>. We take more where other readers
//! do: upper and lower case are the same, comments and empty lines may stand anywhere, `double` is `real`,
//! `unsigned-integer` is `integer`, and a pattern may be skew-symmetric.
//!
//! Here is neither a file nor a table: bytes in, numbers out.

mod entries;
#[cfg(test)]
mod entries_test;
mod header;
mod lines;

pub(crate) use entries::{Block, Entries};
pub(crate) use header::{Field, Header, HeaderLines};
