//! [`MaskedIndex`]: a [`ColumnIndex`] that excludes columns by a mask.

use super::accumulator::{ColumnIndex, HashIndex, SpaIndex};

/// What the entries of a structural mask mean, as in GraphBLAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) enum MaskKind {
    /// Only these entries of the product are computed: `C<M> = A B`.
    Structural,
    /// All but these entries of the product are computed: `C<!M> = A B`.
    Complemented,
}

/// A column index whose row was given the columns of a mask first. One lookup finds both the mask and the slot of a
/// column: the masked sparse accumulator (MSA) of Milaković, Selvitopi, Nisa, Budimlić and Buluç, "Parallel algorithms
/// for masked sparse matrix-matrix products", 2021.
#[derive(Debug)]
pub(crate) struct MaskedIndex {
    kind: MaskKind,
    table: Table,
}

/// Columns of the mask are 0 and slot `s` is `s + 1`: a column of a structural mask is 0 until it is inserted, and one
/// of a complemented mask remains 0.
#[derive(Debug)]
enum Table {
    Spa(SpaIndex),
    Hash(HashIndex),
}

impl MaskedIndex {
    /// A dense array for `columns` columns.
    pub(crate) fn spa(kind: MaskKind, columns: usize) -> Self {
        // The mask takes a stamp of its own.
        Self { kind, table: Table::Spa(SpaIndex::new(columns + 1)) }
    }

    /// A hash table.
    pub(crate) fn hash(kind: MaskKind) -> Self {
        Self { kind, table: Table::Hash(HashIndex::default()) }
    }

    /// Adds columns of the mask to a row that [`start_row`](ColumnIndex::start_row) has started, before any others.
    /// They count as columns of the row.
    pub(crate) fn mask(&mut self, columns: &[u32]) {
        for &column in columns {
            match &mut self.table {
                Table::Spa(table) => table.get_or_insert(column, 0),
                Table::Hash(table) => table.get_or_insert(column, 0),
            };
        }
    }

    pub(crate) fn memory_size(&self) -> usize {
        match &self.table {
            Table::Spa(table) => table.memory_size(),
            Table::Hash(table) => table.memory_size(),
        }
    }
}

impl ColumnIndex for MaskedIndex {
    fn start_row(&mut self, max_columns: usize) {
        match &mut self.table {
            Table::Spa(table) => table.start_row(max_columns + 1),
            Table::Hash(table) => table.start_row(max_columns),
        }
    }

    #[inline(always)]
    fn find_or_insert(&mut self, column: u32, next: u32) -> Option<u32> {
        let slot = next + 1;
        let found = match (self.kind, &mut self.table) {
            (MaskKind::Structural, Table::Spa(table)) => table.replace_zero(column, slot)?,
            (MaskKind::Structural, Table::Hash(table)) => table.replace_zero(column, slot)?,
            (MaskKind::Complemented, Table::Spa(table)) => table.get_or_insert(column, slot),
            (MaskKind::Complemented, Table::Hash(table)) => table.get_or_insert(column, slot),
        };
        found.checked_sub(1)
    }

    #[inline(always)]
    fn get(&self, column: u32) -> Option<u32> {
        let found = match &self.table {
            Table::Spa(table) => table.find(column)?,
            Table::Hash(table) => table.find(column)?,
        };
        found.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slot of each column, and then the slot that is found for it afterwards; searches the lists.
    fn reference_slots(kind: MaskKind, mask: &[u32], row: &[u32]) -> Vec<Option<u32>> {
        let mut inserted: Vec<u32> = Vec::new();
        let mut slots = Vec::new();
        for column in row {
            if mask.contains(column) != (kind == MaskKind::Structural) {
                slots.push(None);
                continue;
            }
            if !inserted.contains(column) {
                inserted.push(*column);
            }
            slots.push(inserted.iter().position(|other| other == column).map(|slot| slot as u32));
        }
        slots.extend(slots.clone());
        slots
    }

    fn slots(index: &mut MaskedIndex, mask: &[u32], row: &[u32]) -> Vec<Option<u32>> {
        index.start_row(mask.len() + row.len());
        index.mask(mask);
        let mut next = 0;
        let mut slots = Vec::new();
        for &column in row {
            let slot = index.find_or_insert(column, next);
            next += u32::from(slot == Some(next));
            slots.push(slot);
        }
        slots.extend(row.iter().map(|&column| index.get(column)));
        slots
    }

    #[test]
    fn slots_agree_with_linear_search() {
        // The last one is a mask with a column twice.
        let rows: [Vec<u32>; 6] = [
            vec![],
            vec![7],
            vec![3, 3, 3, 0],
            (0..99).rev().collect(),
            (0..64).map(|at| at * 31 % 99).collect(),
            vec![98, 5, 98, 3],
        ];
        for kind in [MaskKind::Structural, MaskKind::Complemented] {
            let (mut spa, mut hash) = (MaskedIndex::spa(kind, 99), MaskedIndex::hash(kind));
            for mask in &rows {
                for row in &rows {
                    let expected = reference_slots(kind, mask, row);
                    assert_eq!(slots(&mut spa, mask, row), expected, "{kind:?} {mask:?} {row:?}");
                    assert_eq!(slots(&mut hash, mask, row), expected, "{kind:?} {mask:?} {row:?}");
                }
            }
        }
    }

    #[test]
    fn stamps_are_reset_before_they_overflow() {
        // Each row uses 4 of the 2^32 stamps.
        let mut spa = MaskedIndex::spa(MaskKind::Complemented, 4);
        let Table::Spa(table) = &mut spa.table else { panic!("the table is dense") };
        table.exhaust_stamps(6);
        for _ in 0..3 {
            assert_eq!(slots(&mut spa, &[1], &[0, 1, 2, 3])[..4], [Some(0), None, Some(1), Some(2)]);
        }
    }
}
