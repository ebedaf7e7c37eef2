//! [`gustavson_row`]: one row of a sparse matrix product.

use std::ops::Range;

use super::accumulator::ColumnIndex;
use super::csr::Csr;
use super::prefetch::prefetch;
use super::scalar::Element;
use super::semiring::SemiringOps;

/// Values with their validity, in the entry order of a [`Csr`] or of a streamed batch.
#[derive(Debug, Default)]
pub(crate) struct NullableValues<T> {
    /// `[entries]`; `None` for an iso-valued matrix, whose entries are all one.
    pub(crate) values: Option<Vec<T>>,
    /// `[entries]`; `None` when no value is NULL.
    pub(crate) validity: Option<Vec<bool>>,
}

impl<T: Element> NullableValues<T> {
    pub(crate) fn memory_size(&self) -> usize {
        let values = self.values.as_ref().map_or(0, |values| values.len() * size_of::<T>());
        values + self.validity.as_ref().map_or(0, Vec::len)
    }

    /// Prefetches the value of an entry.
    pub(crate) fn prefetch(&self, entry: usize) {
        if let Some(values) = &self.values {
            prefetch(values, entry);
        }
    }

    /// The value of an entry that is not NULL.
    #[inline(always)]
    pub(crate) fn value(&self, entry: usize) -> T {
        self.values.as_ref().map_or(T::ONE, |values| values[entry])
    }

    /// The value of an entry, `None` for NULL.
    #[inline(always)]
    pub(crate) fn get(&self, entry: usize) -> Option<T> {
        self.validity.as_ref().is_none_or(|validity| validity[entry]).then(|| self.value(entry))
    }
}

/// A matrix: structure and values.
pub(crate) type Matrix<'a, T> = (&'a Csr, &'a NullableValues<T>);

/// The accumulators of output entries, with their validity.
#[derive(Debug, Default)]
pub(crate) struct Accumulators<T> {
    /// `[slots]`
    pub(crate) values: Vec<T>,
    /// `[slots]`: whether anything but NULL was added. Empty when there are no NULLs.
    pub(crate) validity: Vec<bool>,
}

impl<T: Copy> Accumulators<T> {
    /// No slots, with capacity for `slots`.
    pub(crate) fn with_capacity(slots: usize) -> Self {
        Self { values: Vec::with_capacity(slots), validity: Vec::new() }
    }

    pub(crate) fn memory_size(&self) -> usize {
        self.values.capacity() * size_of::<T>() + self.validity.capacity()
    }

    /// Starts to maintain `validity`. Before the first NULL, exactly the touched slots are valid.
    pub(crate) fn materialize_validity(&mut self, touched: &[bool]) {
        self.validity = touched.to_vec();
        self.validity.resize(self.values.len(), false);
    }

    /// Appends `slots` slots at the identity.
    pub(crate) fn extend(&mut self, slots: usize, identity: T, nullable: bool) {
        self.values.resize(self.values.len() + slots, identity);
        if nullable {
            self.validity.resize(self.validity.len() + slots, false);
        }
    }
}

/// Counts the multiplications (flops) of an output row and prefetches the rows of B it reads: for matrices larger than
/// the cache, the latency of these scattered reads dominates the product.
///
/// `prefetch_value` is called with the first entry of each of these rows, to prefetch its values.
pub(crate) fn row_flops(left: &Csr, right: &Csr, row: usize, mut prefetch_value: impl FnMut(usize)) -> usize {
    /// How many entries ahead the offsets of rows of B are prefetched.
    const PREFETCH_DISTANCE: usize = 32;
    let mut flops = 0;
    for entry in left.row_range(row) {
        if let Some(&ahead) = left.col_indices().get(entry + PREFETCH_DISTANCE) {
            right.prefetch_row(ahead as usize);
        }
        let range = right.row_range(left.col_indices()[entry] as usize);
        prefetch(right.col_indices(), range.start);
        prefetch_value(range.start);
        flops += range.len();
    }
    flops
}

/// `[n] x [n, p] -> [p]`, sparse: Gustavson's row-wise SpGEMM for one row, symbolic and numeric phase in one. Appends
/// the columns of the output row, in the order of their first occurrence, and an accumulator for each. With a
/// [`MaskedIndex`](super::MaskedIndex), these are the columns that the mask keeps.
///
/// The caller has called [`ColumnIndex::start_row`]. Time: O(flops of the row).
pub(crate) fn gustavson_row<S: SemiringOps>(
    semiring: S,
    (left, left_values): Matrix<'_, S::Value>,
    (right, right_values): Matrix<'_, S::Value>,
    row: usize,
    index: &mut impl ColumnIndex,
    columns: &mut Vec<u32>,
    output: &mut Accumulators<S::Accumulator>,
) {
    let start = columns.len();
    let nullable = left_values.validity.is_some() || right_values.validity.is_some();
    let mut next = 0;
    // The slot of a column that no mask excludes. A new column gets the next slot, at the identity.
    let mut find_or_insert = |column: u32, columns: &mut Vec<u32>, output: &mut Accumulators<S::Accumulator>| {
        let slot = index.find_or_insert(column, next)?;
        if slot == next {
            next += 1;
            columns.push(column);
            output.values.push(S::IDENTITY);
            if nullable {
                output.validity.push(false);
            }
        }
        Some(start + slot as usize)
    };
    for entry in left.row_range(row) {
        let range = right.row_range(left.col_indices()[entry] as usize);
        if nullable {
            let left = left_values.get(entry);
            for right_entry in range {
                let Some(slot) = find_or_insert(right.col_indices()[right_entry], columns, output) else { continue };
                if let Some(product) = semiring.multiply_nullable(left, right_values.get(right_entry)) {
                    semiring.add(&mut output.values[slot], product);
                    output.validity[slot] = true;
                }
            }
            continue;
        }
        let left = left_values.value(entry);
        for_each_entry(right, right_values, range, |column, right| {
            if let Some(slot) = find_or_insert(column, columns, output) {
                semiring.add(&mut output.values[slot], semiring.multiply(left, right));
            }
        });
    }
}

/// The numeric phase of [`gustavson_row`] alone: for another semiring over a row whose columns are in `index` already.
/// `start` is the first accumulator of the row.
pub(crate) fn gustavson_row_numeric<S: SemiringOps>(
    semiring: S,
    (left, left_values): Matrix<'_, S::Value>,
    (right, right_values): Matrix<'_, S::Value>,
    row: usize,
    index: &impl ColumnIndex,
    start: usize,
    output: &mut Accumulators<S::Accumulator>,
) {
    let nullable = left_values.validity.is_some() || right_values.validity.is_some();
    for entry in left.row_range(row) {
        let range = right.row_range(left.col_indices()[entry] as usize);
        if nullable {
            let left = left_values.get(entry);
            for right_entry in range {
                let Some(slot) = index.get(right.col_indices()[right_entry]) else { continue };
                let slot = start + slot as usize;
                if let Some(product) = semiring.multiply_nullable(left, right_values.get(right_entry)) {
                    semiring.add(&mut output.values[slot], product);
                    output.validity[slot] = true;
                }
            }
            continue;
        }
        let left = left_values.value(entry);
        for_each_entry(right, right_values, range, |column, right| {
            if let Some(slot) = index.get(column) {
                semiring.add(&mut output.values[start + slot as usize], semiring.multiply(left, right));
            }
        });
    }
}

/// Visits the column and value of entries, none of which is NULL.
#[inline(always)]
pub(super) fn for_each_entry<T: Element>(
    csr: &Csr,
    values: &NullableValues<T>,
    range: Range<usize>,
    mut visit: impl FnMut(u32, T),
) {
    let columns = &csr.col_indices()[range.clone()];
    match &values.values {
        Some(values) => columns.iter().zip(&values[range]).for_each(|(&column, &value)| visit(column, value)),
        None => columns.iter().for_each(|&column| visit(column, T::ONE)),
    }
}
