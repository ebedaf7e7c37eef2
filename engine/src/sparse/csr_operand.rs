//! [`Indexed`]: one side of a product as a matrix.

use datafusion::error::{DataFusionError, Result};

use super::group_dictionary::Groups;
use super::ids::number;
use super::input::Input;
use super::kernels::{Csr, Order};
use super::key_dictionary::Keys;
use super::spec::SparseMatMul;

/// What the rows of a matrix are; its columns are the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowsAre {
    Groups,
    Keys,
}

/// The rows of an input as entries of a matrix.
pub(super) struct Indexed<'a> {
    pub(super) input: &'a Input,
    pub(super) matrix: Csr,
    /// Where in the matrix each row of the input is.
    pub(super) order: Order,
    pub(super) groups: Groups,
}

impl<'a> Indexed<'a> {
    /// Gives numbers to keys and groups and puts the entries in the order of the rows. The input's columns are so many keys, so
    /// many groups, and values.
    pub(super) fn new(input: &'a Input, keys: usize, groups: usize, known: &Keys, rows_are: RowsAre) -> Result<Self> {
        number(input.rows, "rows of one table")?;
        let columns = keys..keys + groups;
        let (numbers, found) = rayon::join(
            || Groups::new(input.columns(columns.clone()), input.fields(columns.clone()), input.rows),
            || {
                let mut found = Vec::with_capacity(input.rows);
                for arrays in input.batches(0..keys) {
                    known.find(&arrays, &mut found)?;
                }
                Ok::<_, DataFusionError>(found)
            },
        );
        let ((groups, numbers), found) = (numbers?, found?);
        let (matrix, order) = match rows_are {
            RowsAre::Groups => Csr::new(&numbers, &found, groups.count()),
            RowsAre::Keys => Csr::new(&found, &numbers, known.count()),
        };
        Ok(Self { input, matrix, order, groups })
    }
}

/// Bytes that it takes to make a matrix of so many rows of an input, beside the rows themselves.
pub(super) fn index_bytes(matmul: &SparseMatMul, rows: usize) -> usize {
    /// Of `super::key_dictionary::span`, half way between none and all of the numbers that are not there.
    const NUMBERS: usize = 2;
    let values: usize = matmul.products.iter().map(|product| product.width()).sum();
    Csr::bytes(NUMBERS * rows, rows) + rows * (2 * size_of::<u32>() + values)
}
