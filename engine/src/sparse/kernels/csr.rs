//! [`Csr`]: the structure of a sparse matrix, in compressed sparse rows.

use super::prefetch::prefetch;

/// The id of a row or column that is absent.
pub(crate) const NULL_ID: u32 = u32::MAX;

/// Compressed sparse rows: row offsets and column indices.
///
/// Values are kept separately, in slices of `nnz` elements, because several value columns can share one structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Csr {
    /// `[rows + 1]`: row `r` has the entries `row_offsets[r]..row_offsets[r + 1]`.
    row_offsets: Vec<u32>,
    /// `[nnz]`
    col_indices: Vec<u32>,
    has_unit_rows: bool,
}

/// The permutation from the entries of a table (COO) to the entries of a [`Csr`].
#[derive(Debug)]
pub(crate) struct CsrPermutation {
    /// The CSR entry of each table entry, [`NULL_ID`] for those that are left out.
    destinations: Vec<u32>,
    nnz: usize,
}

impl Csr {
    /// Converts COO to CSR, stable within each row: `[entries] x 2 -> [rows + 1], [nnz]`. Entries whose row or column
    /// is [`NULL_ID`] are left out.
    ///
    /// # Panics
    /// When there are 2³² - 1 entries or more, or a row id is neither below `rows` nor `NULL_ID`.
    pub(crate) fn new(row_ids: &[u32], column_ids: &[u32], rows: usize) -> (Self, CsrPermutation) {
        assert!(u32::try_from(row_ids.len()).is_ok_and(|entries| entries < NULL_ID), "more entries than u32 indices");
        let is_valid = |row: u32, column: u32| row != NULL_ID && column != NULL_ID;
        let mut next = vec![0_u32; rows + 1];
        for (&row, &column) in row_ids.iter().zip(column_ids) {
            if is_valid(row, column) {
                next[row as usize + 1] += 1;
            }
        }
        let mut sum = 0;
        for count in &mut next {
            sum += *count;
            *count = sum;
        }
        let nnz = sum as usize;
        let row_offsets = next.clone();
        let mut col_indices = vec![0; nnz];
        let mut destinations = vec![NULL_ID; row_ids.len()];
        for ((&row, &column), destination) in row_ids.iter().zip(column_ids).zip(&mut destinations) {
            if is_valid(row, column) {
                let next = &mut next[row as usize];
                col_indices[*next as usize] = column;
                *destination = *next;
                *next += 1;
            }
        }
        let has_unit_rows = nnz == rows && (0..).zip(&row_offsets).all(|(row, &offset)| row == offset);
        (Self { row_offsets, col_indices, has_unit_rows }, CsrPermutation { destinations, nnz })
    }

    pub(crate) fn num_rows(&self) -> usize {
        self.row_offsets.len() - 1
    }

    pub(crate) fn nnz(&self) -> usize {
        self.col_indices.len()
    }

    /// The entries of a row.
    #[inline]
    pub(crate) fn row_range(&self, row: usize) -> std::ops::Range<usize> {
        self.row_offsets[row] as usize..self.row_offsets[row + 1] as usize
    }

    /// Whether each row has exactly one entry, so that row `r` is entry `r`.
    pub(crate) fn has_unit_rows(&self) -> bool {
        self.has_unit_rows
    }

    /// Prefetches the offset of a row.
    #[inline(always)]
    pub(crate) fn prefetch_row(&self, row: usize) {
        prefetch(&self.row_offsets, row);
    }

    /// The column indices of all entries.
    #[inline]
    pub(crate) fn col_indices(&self) -> &[u32] {
        &self.col_indices
    }

    /// The first row that starts at this entry or after it.
    pub(crate) fn first_row_starting_from(&self, entry: usize) -> usize {
        self.row_offsets.partition_point(|&offset| (offset as usize) < entry).min(self.num_rows())
    }

    /// Bytes of the arrays.
    pub(crate) fn memory_size(&self) -> usize {
        (self.row_offsets.len() + self.col_indices.len()) * size_of::<u32>()
    }

    /// Bytes that building a matrix takes, including its [`CsrPermutation`].
    pub(crate) fn estimate_bytes(rows: usize, entries: usize) -> usize {
        (2 * rows + 2 * entries) * size_of::<u32>()
    }
}

impl CsrPermutation {
    /// `[entries] -> [nnz]`: permutes values from table order to CSR order.
    pub(crate) fn apply<T: Copy + Default>(&self, values: &[T]) -> Vec<T> {
        let mut permuted = vec![T::default(); self.nnz];
        for (&value, &destination) in values.iter().zip(&self.destinations) {
            if destination != NULL_ID {
                permuted[destination as usize] = value;
            }
        }
        permuted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans all entries for each row.
    fn reference_csr(row_ids: &[u32], column_ids: &[u32], values: &[f64], rows: usize) -> Vec<Vec<(u32, f64)>> {
        let entries = || row_ids.iter().zip(column_ids).zip(values);
        (0..rows)
            .map(|row| {
                let in_row = entries().filter(|((r, column), _)| **r as usize == row && **column != NULL_ID);
                in_row.map(|((_, column), value)| (*column, *value)).collect()
            })
            .collect()
    }

    #[test]
    fn entries_are_grouped_by_row_in_table_order() {
        let row_ids = [2, 0, NULL_ID, 2, 0, 2, 1];
        let column_ids = [5, 1, 1, 4, 1, 5, NULL_ID];
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        let (csr, permutation) = Csr::new(&row_ids, &column_ids, 4);
        let permuted = permutation.apply(&values);
        let rows: Vec<Vec<(u32, f64)>> = (0..csr.num_rows())
            .map(|row| csr.row_range(row).map(|entry| (csr.col_indices()[entry], permuted[entry])).collect())
            .collect();
        assert_eq!(rows, reference_csr(&row_ids, &column_ids, &values, 4));
        assert_eq!((csr.num_rows(), csr.nnz()), (4, 5));
    }

    #[test]
    fn first_row_starting_from_skips_rows_that_start_earlier() {
        let (csr, _) = Csr::new(&[0, 0, 0, 2, 2, 4], &[0; 6], 6);
        let rows: Vec<usize> = (0..=7).map(|entry| csr.first_row_starting_from(entry)).collect();
        assert_eq!(rows, [0, 1, 1, 1, 3, 3, 5, 6]);
    }

    #[test]
    fn no_entries_give_empty_rows() {
        let (csr, permutation) = Csr::new(&[], &[], 2);
        assert_eq!((csr.num_rows(), csr.nnz(), csr.row_range(1)), (2, 0, 0..0));
        assert!(permutation.apply::<f64>(&[]).is_empty());
    }
}
