//! [`Places`]: where in a row of the product a column already is.

use super::csr::NONE;

/// Finds the place of a column in the row that is being made.
pub(crate) trait Places {
    /// Forgets the row before. At most `columns` different ones will be asked for.
    fn begin(&mut self, columns: usize);

    /// The place of a column; `next` when it is new, which it is not any more then.
    fn place(&mut self, column: u32, next: u32) -> u32;

    /// The place of a column that is there.
    fn known(&self, column: u32) -> u32;
}

/// `[columns]` places. Rows are told apart by counting on from row to row, so that nothing is cleared.
#[derive(Debug)]
pub(crate) struct Dense {
    /// The place, counted from the first row on.
    places: Vec<u32>,
    /// What the place 0 of this row is in that count.
    base: u32,
    /// Places that this row has.
    used: u32,
}

impl Dense {
    pub(crate) fn new(columns: usize) -> Self {
        Self { places: vec![0; columns], base: 1, used: 0 }
    }
}

impl Places for Dense {
    fn begin(&mut self, columns: usize) {
        self.base += self.used;
        self.used = 0;
        let columns = columns.min(self.places.len());
        // Some 4 billion columns later, the count starts again.
        if u32::try_from(columns).ok().and_then(|columns| self.base.checked_add(columns)).is_none() {
            self.places.fill(0);
            self.base = 1;
        }
    }

    #[inline(always)]
    fn place(&mut self, column: u32, next: u32) -> u32 {
        let place = &mut self.places[column as usize];
        if *place >= self.base {
            return *place - self.base;
        }
        *place = self.base + next;
        self.used = next + 1;
        next
    }

    #[inline(always)]
    fn known(&self, column: u32) -> u32 {
        self.places[column as usize] - self.base
    }
}

/// A table of columns and their places, at most half full, that is cleared for each row.
#[derive(Debug, Default)]
pub(crate) struct Hashed {
    slots: Vec<(u32, u32)>,
    /// `64 - log2(slots that this row uses)`
    shift: u32,
    mask: usize,
}

impl Hashed {
    /// The slots for a row of so many columns.
    pub(crate) fn slots(columns: usize) -> usize {
        (2 * columns).next_power_of_two().max(16)
    }

    #[inline(always)]
    fn slot(&self, column: u32) -> usize {
        // Fibonacci hashing: the upper bits of a product with 2^64 / golden ratio.
        (u64::from(column).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize
    }
}

impl Places for Hashed {
    fn begin(&mut self, columns: usize) {
        let slots = Self::slots(columns);
        if slots > self.slots.len() {
            self.slots.resize(slots, (NONE, 0));
        }
        self.slots[..slots].fill((NONE, 0));
        self.shift = 64 - slots.trailing_zeros();
        self.mask = slots - 1;
    }

    #[inline(always)]
    fn place(&mut self, column: u32, next: u32) -> u32 {
        let mut slot = self.slot(column);
        loop {
            let (found, place) = &mut self.slots[slot];
            if *found == column {
                return *place;
            }
            if *found == NONE {
                (*found, *place) = (column, next);
                return next;
            }
            slot = (slot + 1) & self.mask;
        }
    }

    #[inline(always)]
    fn known(&self, column: u32) -> u32 {
        let mut slot = self.slot(column);
        while self.slots[slot].0 != column {
            slot = (slot + 1) & self.mask;
        }
        self.slots[slot].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list that is searched.
    #[derive(Default)]
    struct Reference(Vec<u32>);

    impl Places for Reference {
        fn begin(&mut self, _: usize) {
            self.0.clear();
        }

        fn place(&mut self, column: u32, next: u32) -> u32 {
            let found = self.0.iter().position(|known| *known == column);
            found.map_or_else(
                || {
                    self.0.push(column);
                    next
                },
                |place| place as u32,
            )
        }

        fn known(&self, column: u32) -> u32 {
            self.0.iter().position(|known| *known == column).unwrap() as u32
        }
    }

    fn places(table: &mut impl Places, rows: &[Vec<u32>]) -> Vec<u32> {
        let mut all = Vec::new();
        for row in rows {
            table.begin(row.len());
            let mut next = 0;
            for &column in row {
                let place = table.place(column, next);
                next = next.max(place + 1);
                all.push(place);
            }
            all.extend(row.iter().map(|&column| table.known(column)));
        }
        all
    }

    fn rows() -> Vec<Vec<u32>> {
        let mut rows = vec![vec![], vec![7], vec![3, 3, 3], (0..100).rev().collect()];
        // Multiples of a power of two: what a poor hash puts into one slot.
        rows.push((0..64).map(|column| column * 4096 % 999).chain(0..64).collect());
        rows
    }

    #[test]
    fn tables_agree_with_a_search() {
        let expected = places(&mut Reference::default(), &rows());
        assert_eq!(places(&mut Dense::new(1000), &rows()), expected);
        assert_eq!(places(&mut Hashed::default(), &rows()), expected);
    }

    #[test]
    fn the_count_starts_again_before_it_overflows() {
        let mut dense = Dense::new(3);
        dense.begin(3);
        assert_eq!((dense.place(2, 0), dense.place(0, 1)), (0, 1));
        dense.base = u32::MAX - 2;
        dense.used = 1;
        dense.begin(3);
        assert_eq!((dense.place(0, 0), dense.place(2, 1), dense.place(0, 2)), (0, 1, 0));
    }
}
