//! [`MatrixMarketTable`]: a Matrix Market file, `'graph.mtx'` or `'graph.mtx.gz'`, as a table of its entries.
//!
//! ```text
//!           byte ranges                  decompressed                one batch at a time
//!   object ─────────────▶ [`ByteStream`] ────────────▶ [`Reader`] ──────────────────────▶ row  col  value
//!
//! %%MatrixMarket matrix coordinate real symmetric      banner
//! % comments                                           up to the size line
//! 3 3 2                                                rows, columns, entry lines             row  col  value
//! 1 1 2.5                                              one-based row and column, value  ──▶    0    0    2.5
//! 3 1 -1                                                                                ──▶    2    0   -1.0
//!                                                                                              0    2   -1.0
//! ```
//!
//! Rows and columns are zero-based, as in SciPy and GraphBLAS, although the file is one-based. The entries of a pattern matrix (a graph) have
//! the value 1. The mirrored entries of symmetric files are returned as well.
//!
//! `COPY … TO 'graph.mtx'` writes such a file ([`MatrixMarketFormatFactory`]).
//!
//! The file is streamed and never held as a whole. The format is described by NIST: <https://math.nist.gov/MatrixMarket/formats.html>. As in
//! other readers, keywords are case-insensitive, comments and blank lines may appear anywhere, `double` means `real`, values may
//! be `unsigned-integer` up to 2^64 - 1, a pattern may be skew-symmetric, and a skew-symmetric file may store zeros on its diagonal.
//!
//! [`ByteStream`]: byte_stream::ByteStream
//! [`Reader`]: reader::Reader

mod byte_stream;
mod entries;
#[cfg(test)]
mod entries_test;
mod format;
mod header;
mod lines;
mod reader;
mod scan;
mod sink;
mod table;

pub(crate) use format::MatrixMarketFormatFactory;
pub(crate) use table::MatrixMarketTable;
