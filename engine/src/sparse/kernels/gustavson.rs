//! [`multiply_row`]: a row of the product.

use std::ops::Range;

use super::accumulator::Places;
use super::csr::Csr;
use super::prefetch::prefetch;
use super::scalar::Value;
use super::semiring::Semiring;

/// The values of a [`Csr`], in its order.
#[derive(Debug, Default)]
pub(crate) struct Values<T> {
    /// `[entries]`; without them, each entry is one.
    pub(crate) numbers: Option<Vec<T>>,
    /// `[entries]`; without it, none is NULL.
    pub(crate) valid: Option<Vec<bool>>,
}

impl<T: Value> Values<T> {
    pub(crate) fn bytes(&self) -> usize {
        let numbers = self.numbers.as_ref().map_or(0, |numbers| numbers.len() * size_of::<T>());
        numbers + self.valid.as_ref().map_or(0, Vec::len)
    }

    /// Has the value of an entry on its way.
    pub(crate) fn prefetch(&self, entry: usize) {
        if let Some(numbers) = &self.numbers {
            prefetch(numbers, entry);
        }
    }

    #[inline(always)]
    pub(crate) fn number(&self, entry: usize) -> T {
        self.numbers.as_ref().map_or(T::ONE, |numbers| numbers[entry])
    }

    #[inline(always)]
    pub(crate) fn nullable(&self, entry: usize) -> Option<T> {
        self.valid.as_ref().is_none_or(|valid| valid[entry]).then(|| self.number(entry))
    }
}

/// A matrix: where its entries are, and what.
pub(crate) type Matrix<'a, T> = (&'a Csr, &'a Values<T>);

/// What the products of each place have added up to.
#[derive(Debug, Default)]
pub(crate) struct Sums<S> {
    /// `[places]`
    pub(crate) sums: Vec<S>,
    /// `[places]`: whether anything but NULL was added. Empty when there are no NULLs.
    pub(crate) valid: Vec<bool>,
}

impl<S: Copy> Sums<S> {
    /// Without places, with room for so many.
    pub(crate) fn with_capacity(places: usize) -> Self {
        Self { sums: Vec::with_capacity(places), valid: Vec::new() }
    }

    /// Keeps from now on which places hold more than NULLs: until now, those that were met.
    pub(crate) fn start_valid(&mut self, met: &[bool]) {
        self.valid = met.to_vec();
        self.valid.resize(self.sums.len(), false);
    }

    /// So many places to which nothing was added yet, behind those that there are.
    pub(crate) fn extend(&mut self, places: usize, zero: S, nullable: bool) {
        self.sums.resize(self.sums.len() + places, zero);
        if nullable {
            self.valid.resize(self.valid.len() + places, false);
        }
    }
}

/// How many products a row is made of, with the memory that it is made of on its way: each row of B is somewhere else, and
/// waiting for one after the other is most of the time of a product whose matrices are larger than the cache.
///
/// `fetch` is told where each row of B begins, to do the same for its values.
pub(crate) fn flops(left: &Csr, right: &Csr, row: usize, mut fetch: impl FnMut(usize)) -> usize {
    /// Entries ahead whose rows of B are looked up soon.
    const AHEAD: usize = 32;
    let mut flops = 0;
    for entry in left.row(row) {
        if let Some(&ahead) = left.columns().get(entry + AHEAD) {
            right.prefetch_row(ahead as usize);
        }
        let range = right.row(left.columns()[entry] as usize);
        prefetch(right.columns(), range.start);
        fetch(range.start);
        flops += range.len();
    }
    flops
}

/// `[n] x [n, p] -> [p]`, of which those that are there: the columns of a row of the product, in the order in which they were
/// met, and for each what its products add up to, behind the rows that are there already.
///
/// The places have to have begun with this row. Time: the number of products.
pub(crate) fn multiply_row<R: Semiring>(
    ring: R,
    (left, left_values): Matrix<'_, R::Value>,
    (right, right_values): Matrix<'_, R::Value>,
    row: usize,
    places: &mut impl Places,
    columns: &mut Vec<u32>,
    sums: &mut Sums<R::Sum>,
) {
    let start = columns.len();
    let nullable = left_values.valid.is_some() || right_values.valid.is_some();
    let mut next = 0;
    // A column for the first time has a place, which is behind all others, and a sum of nothing.
    let mut place = |column: u32, columns: &mut Vec<u32>, sums: &mut Sums<R::Sum>| {
        let place = places.place(column, next);
        if place == next {
            next += 1;
            columns.push(column);
            sums.sums.push(R::ZERO);
            if nullable {
                sums.valid.push(false);
            }
        }
        start + place as usize
    };
    for entry in left.row(row) {
        let range = right.row(left.columns()[entry] as usize);
        if nullable {
            let left = left_values.nullable(entry);
            for other in range {
                let place = place(right.columns()[other], columns, sums);
                if let Some(product) = ring.multiply_nullable(left, right_values.nullable(other)) {
                    ring.add(&mut sums.sums[place], product);
                    sums.valid[place] = true;
                }
            }
            continue;
        }
        let left = left_values.number(entry);
        each(right, right_values, range, |column, right| {
            let place = place(column, columns, sums);
            ring.add(&mut sums.sums[place], ring.multiply(left, right));
        });
    }
}

/// [`multiply_row`] by another ring, for a row whose columns have their places already.
pub(crate) fn add_row<R: Semiring>(
    ring: R,
    (left, left_values): Matrix<'_, R::Value>,
    (right, right_values): Matrix<'_, R::Value>,
    row: usize,
    places: &impl Places,
    start: usize,
    sums: &mut Sums<R::Sum>,
) {
    let nullable = left_values.valid.is_some() || right_values.valid.is_some();
    for entry in left.row(row) {
        let range = right.row(left.columns()[entry] as usize);
        if nullable {
            let left = left_values.nullable(entry);
            for other in range {
                let place = start + places.known(right.columns()[other]) as usize;
                if let Some(product) = ring.multiply_nullable(left, right_values.nullable(other)) {
                    ring.add(&mut sums.sums[place], product);
                    sums.valid[place] = true;
                }
            }
            continue;
        }
        let left = left_values.number(entry);
        each(right, right_values, range, |column, right| {
            let place = start + places.known(column) as usize;
            ring.add(&mut sums.sums[place], ring.multiply(left, right));
        });
    }
}

/// The columns and values of some entries, none of which is NULL.
#[inline(always)]
pub(super) fn each<T: Value>(csr: &Csr, values: &Values<T>, range: Range<usize>, mut visit: impl FnMut(u32, T)) {
    let columns = &csr.columns()[range.clone()];
    match &values.numbers {
        Some(numbers) => columns.iter().zip(&numbers[range]).for_each(|(&column, &value)| visit(column, value)),
        None => columns.iter().for_each(|&column| visit(column, T::ONE)),
    }
}
