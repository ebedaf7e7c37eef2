//! [`ColumnIndex`]: the map from columns to accumulator slots of one output row.

use super::csr::NULL_ID;

/// Maps the columns of the current output row to slots, numbered in insertion order.
pub(crate) trait ColumnIndex {
    /// Clears the map for a new row, which will have at most `max_columns` distinct columns.
    fn start_row(&mut self, max_columns: usize);

    /// Returns the slot of `column`, inserting it at slot `next` if it is absent. `None` if a mask excludes the column.
    fn find_or_insert(&mut self, column: u32, next: u32) -> Option<u32>;

    /// Returns the slot of a column that was passed to [`find_or_insert`](Self::find_or_insert), `None` if a mask
    /// excludes it.
    fn get(&self, column: u32) -> Option<u32>;
}

/// Sparse accumulator (SPA): a dense `[columns]` array of slots. Generation stamps make clearing it between rows free.
#[derive(Debug)]
pub(crate) struct SpaIndex {
    /// `[columns]`: slot plus the `generation` of the row that inserted it.
    stamped_slots: Vec<u32>,
    /// The stamp of slot 0 in the current row. Larger than all stamps of earlier rows.
    generation: u32,
    /// Slots of the current row.
    used: u32,
}

impl SpaIndex {
    pub(crate) fn new(columns: usize) -> Self {
        Self { stamped_slots: vec![0; columns], generation: 1, used: 0 }
    }

    pub(crate) fn memory_size(&self) -> usize {
        self.stamped_slots.capacity() * size_of::<u32>()
    }

    /// Leaves this many stamps until the array has to be cleared.
    #[cfg(test)]
    pub(super) fn exhaust_stamps(&mut self, left: u32) {
        self.generation = u32::MAX - left;
    }

    /// Returns the slot of `column`, inserting it at `slot` if it is absent. `slot` is no smaller than earlier ones.
    #[inline(always)]
    pub(super) fn get_or_insert(&mut self, column: u32, slot: u32) -> u32 {
        let stamped_slot = &mut self.stamped_slots[column as usize];
        if *stamped_slot >= self.generation {
            return *stamped_slot - self.generation;
        }
        *stamped_slot = self.generation + slot;
        self.used = slot + 1;
        slot
    }

    /// Returns the slot of `column`, after replacing slot 0 by `slot`. `slot` is no smaller than earlier ones.
    #[inline(always)]
    pub(super) fn replace_zero(&mut self, column: u32, slot: u32) -> Option<u32> {
        let stamped_slot = &mut self.stamped_slots[column as usize];
        if *stamped_slot == self.generation {
            *stamped_slot += slot;
            self.used = slot + 1;
        }
        stamped_slot.checked_sub(self.generation)
    }

    /// The slot of `column`, if it was inserted.
    #[inline(always)]
    pub(super) fn find(&self, column: u32) -> Option<u32> {
        self.stamped_slots[column as usize].checked_sub(self.generation)
    }
}

impl ColumnIndex for SpaIndex {
    fn start_row(&mut self, max_columns: usize) {
        self.generation += self.used;
        self.used = 0;
        let columns = max_columns.min(self.stamped_slots.len());
        // Stamps have 32 bits: before they overflow, clear the array and start over.
        if u32::try_from(columns).ok().and_then(|columns| self.generation.checked_add(columns)).is_none() {
            self.stamped_slots.fill(0);
            self.generation = 1;
        }
    }

    #[inline(always)]
    fn find_or_insert(&mut self, column: u32, next: u32) -> Option<u32> {
        Some(self.get_or_insert(column, next))
    }

    #[inline(always)]
    fn get(&self, column: u32) -> Option<u32> {
        Some(self.stamped_slots[column as usize] - self.generation)
    }
}

/// Hash accumulator: an open-addressing table, at most half full, that is cleared for each row.
#[derive(Debug, Default)]
pub(crate) struct HashIndex {
    /// `(column, slot)`, with [`NULL_ID`] as the column of an empty bucket.
    buckets: Vec<(u32, u32)>,
    /// `64 - log2(buckets used by this row)`
    shift: u32,
    mask: usize,
}

impl HashIndex {
    /// Bytes of the table, which keeps the size of the longest row.
    pub(crate) fn memory_size(&self) -> usize {
        self.buckets.capacity() * size_of::<(u32, u32)>()
    }

    /// The number of buckets for a row of `columns` columns.
    fn num_buckets(columns: usize) -> usize {
        (2 * columns).next_power_of_two().max(16)
    }

    #[inline(always)]
    fn bucket(&self, column: u32) -> usize {
        // Fibonacci hashing: the upper bits of the product with 2^64 / golden ratio.
        (u64::from(column).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize
    }

    /// Returns the slot of `column`, inserting it at `slot` if it is absent.
    #[inline(always)]
    pub(super) fn get_or_insert(&mut self, column: u32, slot: u32) -> u32 {
        let mut bucket = self.bucket(column);
        loop {
            let (key, found) = &mut self.buckets[bucket];
            if *key == column {
                return *found;
            }
            if *key == NULL_ID {
                (*key, *found) = (column, slot);
                return slot;
            }
            bucket = (bucket + 1) & self.mask;
        }
    }

    /// Returns the slot of `column`, after replacing slot 0 by `slot`.
    #[inline(always)]
    pub(super) fn replace_zero(&mut self, column: u32, slot: u32) -> Option<u32> {
        let bucket = self.find_bucket(column)?;
        let found = &mut self.buckets[bucket].1;
        if *found == 0 {
            *found = slot;
        }
        Some(*found)
    }

    /// The slot of `column`, if it was inserted.
    #[inline(always)]
    pub(super) fn find(&self, column: u32) -> Option<u32> {
        Some(self.buckets[self.find_bucket(column)?].1)
    }

    #[inline(always)]
    fn find_bucket(&self, column: u32) -> Option<usize> {
        let mut bucket = self.bucket(column);
        loop {
            match self.buckets[bucket].0 {
                key if key == column => return Some(bucket),
                NULL_ID => return None,
                _ => bucket = (bucket + 1) & self.mask,
            }
        }
    }
}

impl ColumnIndex for HashIndex {
    fn start_row(&mut self, max_columns: usize) {
        let num_buckets = Self::num_buckets(max_columns);
        if num_buckets > self.buckets.len() {
            self.buckets.resize(num_buckets, (NULL_ID, 0));
        }
        self.buckets[..num_buckets].fill((NULL_ID, 0));
        self.shift = 64 - num_buckets.trailing_zeros();
        self.mask = num_buckets - 1;
    }

    #[inline(always)]
    fn find_or_insert(&mut self, column: u32, next: u32) -> Option<u32> {
        Some(self.get_or_insert(column, next))
    }

    #[inline(always)]
    fn get(&self, column: u32) -> Option<u32> {
        let mut bucket = self.bucket(column);
        while self.buckets[bucket].0 != column {
            bucket = (bucket + 1) & self.mask;
        }
        Some(self.buckets[bucket].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linear search in a list.
    #[derive(Default)]
    struct Reference(Vec<u32>);

    impl ColumnIndex for Reference {
        fn start_row(&mut self, _: usize) {
            self.0.clear();
        }

        fn find_or_insert(&mut self, column: u32, next: u32) -> Option<u32> {
            self.get(column).or_else(|| {
                self.0.push(column);
                Some(next)
            })
        }

        fn get(&self, column: u32) -> Option<u32> {
            self.0.iter().position(|inserted| *inserted == column).map(|slot| slot as u32)
        }
    }

    fn slots(index: &mut impl ColumnIndex, rows: &[Vec<u32>]) -> Vec<u32> {
        let mut slots = Vec::new();
        for row in rows {
            index.start_row(row.len());
            let mut next = 0;
            for &column in row {
                let slot = index.find_or_insert(column, next).unwrap();
                next = next.max(slot + 1);
                slots.push(slot);
            }
            slots.extend(row.iter().map(|&column| index.get(column).unwrap()));
        }
        slots
    }

    fn rows() -> Vec<Vec<u32>> {
        let mut rows = vec![vec![], vec![7], vec![3, 3, 3], (0..100).rev().collect()];
        // Multiples of a power of two, which a poor hash function maps to one bucket.
        rows.push((0..64).map(|column| column * 4096 % 999).chain(0..64).collect());
        rows
    }

    #[test]
    fn spa_and_hash_agree_with_linear_search() {
        let expected = slots(&mut Reference::default(), &rows());
        assert_eq!(slots(&mut SpaIndex::new(1000), &rows()), expected);
        assert_eq!(slots(&mut HashIndex::default(), &rows()), expected);
    }

    #[test]
    fn memory_grows_with_the_longest_row() {
        assert_eq!(SpaIndex::new(1000).memory_size(), 4000);
        let mut hash = HashIndex::default();
        assert_eq!(hash.memory_size(), 0);
        hash.start_row(1000);
        let bytes = hash.memory_size();
        assert!(bytes >= 2 * 1000 * size_of::<(u32, u32)>(), "{bytes}");
        hash.start_row(1);
        assert_eq!(hash.memory_size(), bytes);
    }

    #[test]
    fn generation_is_reset_before_it_overflows() {
        let mut spa = SpaIndex::new(3);
        spa.start_row(3);
        assert_eq!((spa.get_or_insert(2, 0), spa.get_or_insert(0, 1)), (0, 1));
        spa.generation = u32::MAX - 2;
        spa.used = 1;
        spa.start_row(3);
        assert_eq!((spa.get_or_insert(0, 0), spa.get_or_insert(2, 1), spa.get_or_insert(0, 2)), (0, 1, 0));
    }
}
