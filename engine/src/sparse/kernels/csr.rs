//! [`Csr`]: where the entries of each row are.

use super::prefetch::prefetch;

/// The id of a row or column that is not there.
pub(crate) const NONE: u32 = u32::MAX;

/// Compressed sparse rows: the columns of the entries, one row after the other.
///
/// Values lie beside it, in slices of the same order, because one structure may carry several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Csr {
    /// `[rows + 1]`: row `r` has the entries `offsets[r]..offsets[r + 1]`.
    offsets: Vec<u32>,
    /// `[entries]`
    columns: Vec<u32>,
    is_vector: bool,
}

/// Which place in a [`Csr`] each entry of a table has; [`NONE`] for entries that are left out.
#[derive(Debug)]
pub(crate) struct Order {
    places: Vec<u32>,
    entries: usize,
}

impl Csr {
    /// `[entries] x 2 -> [rows + 1], [entries]`: entries in the order of their rows, those of one row as they came. Entries
    /// whose row or column is [`NONE`] are left out.
    ///
    /// # Panics
    /// When there are 2³² entries or more, or a row is not below `rows` and not `NONE`.
    pub(crate) fn new(row_ids: &[u32], column_ids: &[u32], rows: usize) -> (Self, Order) {
        assert!(u32::try_from(row_ids.len()).is_ok_and(|entries| entries < NONE), "u32 places");
        let is_in = |row: u32, column: u32| row != NONE && column != NONE;
        let mut next = vec![0_u32; rows + 1];
        for (&row, &column) in row_ids.iter().zip(column_ids) {
            if is_in(row, column) {
                next[row as usize + 1] += 1;
            }
        }
        let mut sum = 0;
        for count in &mut next {
            sum += *count;
            *count = sum;
        }
        let entries = sum as usize;
        let offsets = next.clone();
        let mut columns = vec![0; entries];
        let mut places = vec![NONE; row_ids.len()];
        for ((&row, &column), place) in row_ids.iter().zip(column_ids).zip(&mut places) {
            if is_in(row, column) {
                let next = &mut next[row as usize];
                columns[*next as usize] = column;
                *place = *next;
                *next += 1;
            }
        }
        let is_vector = entries == rows && (0..).zip(&offsets).all(|(row, &offset)| row == offset);
        (Self { offsets, columns, is_vector }, Order { places, entries })
    }

    pub(crate) fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(crate) fn entries(&self) -> usize {
        self.columns.len()
    }

    /// Where the entries of a row are.
    #[inline]
    pub(crate) fn row(&self, row: usize) -> std::ops::Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    /// Whether each row has one entry: the entry of a row has its number.
    pub(crate) fn is_vector(&self) -> bool {
        self.is_vector
    }

    /// Has the place of a row on its way.
    #[inline(always)]
    pub(crate) fn prefetch_row(&self, row: usize) {
        prefetch(&self.offsets, row);
    }

    /// The columns of all entries.
    #[inline]
    pub(crate) fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// The first row that begins at this entry or after it.
    pub(crate) fn first_row_at(&self, entry: usize) -> usize {
        self.offsets.partition_point(|&offset| (offset as usize) < entry).min(self.rows())
    }

    pub(crate) fn bytes_held(&self) -> usize {
        (self.offsets.len() + self.columns.len()) * size_of::<u32>()
    }

    /// The bytes that one with so many rows and entries takes, its [`Order`] included.
    pub(crate) fn bytes(rows: usize, entries: usize) -> usize {
        (2 * rows + 2 * entries) * size_of::<u32>()
    }
}

impl Order {
    /// `[entries] -> [entries that are in]`: values in the order of the rows.
    pub(crate) fn apply<T: Copy + Default>(&self, values: &[T]) -> Vec<T> {
        let mut ordered = vec![T::default(); self.entries];
        for (&value, &place) in values.iter().zip(&self.places) {
            if place != NONE {
                ordered[place as usize] = value;
            }
        }
        ordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row after row, all entries looked at for each.
    fn reference_csr(row_ids: &[u32], column_ids: &[u32], values: &[f64], rows: usize) -> Vec<Vec<(u32, f64)>> {
        let entries = || row_ids.iter().zip(column_ids).zip(values);
        (0..rows)
            .map(|row| {
                let of_row = entries().filter(|((r, column), _)| **r as usize == row && **column != NONE);
                of_row.map(|((_, column), value)| (*column, *value)).collect()
            })
            .collect()
    }

    #[test]
    fn entries_are_in_the_order_of_their_rows() {
        let row_ids = [2, 0, NONE, 2, 0, 2, 1];
        let column_ids = [5, 1, 1, 4, 1, 5, NONE];
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        let (csr, order) = Csr::new(&row_ids, &column_ids, 4);
        let values_in_order = order.apply(&values);
        let rows: Vec<Vec<(u32, f64)>> = (0..csr.rows())
            .map(|row| csr.row(row).map(|entry| (csr.columns()[entry], values_in_order[entry])).collect())
            .collect();
        assert_eq!(rows, reference_csr(&row_ids, &column_ids, &values, 4));
        assert_eq!((csr.rows(), csr.entries()), (4, 5));
    }

    #[test]
    fn every_row_is_found_by_the_entries_before_it() {
        let (csr, _) = Csr::new(&[0, 0, 0, 2, 2, 4], &[0; 6], 6);
        let found: Vec<usize> = (0..=7).map(|entry| csr.first_row_at(entry)).collect();
        assert_eq!(found, [0, 1, 1, 1, 3, 3, 5, 6]);
    }

    #[test]
    fn nothing_makes_empty_rows() {
        let (csr, order) = Csr::new(&[], &[], 2);
        assert_eq!((csr.rows(), csr.entries(), csr.row(1)), (2, 0, 0..0));
        assert!(order.apply::<f64>(&[]).is_empty());
    }
}
