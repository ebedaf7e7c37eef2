//! [`scatter`]: a product with a vector, of entries that come by.

use super::csr::NONE;
use super::gustavson::{Matrix, Sums, Values};
use super::prefetch::prefetch;
use super::scalar::Value;
use super::semiring::Semiring;

/// Entries ahead whose values are fetched: as many as a processor can wait for at a time.
const AHEAD: usize = 64;

/// Which of the factors comes by; the other one lies still in a [`Csr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moving {
    Left,
    Right,
}

/// Where a sum belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Targets<'a> {
    /// To the entry that comes by: its place.
    Moving(&'a [u32]),
    /// To the entry that lies still: its column.
    Still,
}

/// `[entries] x [n, p] -> [places]`: adds the product of each entry that comes by with each entry of the row `rows[entry]` of
/// the one that lies still, to the place of either. Entries with the row [`NONE`] meet nothing.
///
/// Without NULLs, which places have a sum is known to whoever knows what meets what; `sums.valid` is kept only when it is
/// there.
///
/// Time: the number of products. Source: the "push" step of Yang, Buluç, Owens, "Implementing push-pull efficiently in
/// GraphBLAS", ICPP 2018, where the vector is whatever lies still.
pub(crate) fn scatter<R: Semiring>(
    ring: R,
    (moving, rows, values): (Moving, &[u32], &Values<R::Value>),
    (still, still_values): Matrix<'_, R::Value>,
    targets: Targets<'_>,
    sums: &mut Sums<R::Sum>,
) {
    let keeps_valid = !sums.valid.is_empty();
    let multiply = |a, b| match moving {
        Moving::Left => ring.multiply(a, b),
        Moving::Right => ring.multiply(b, a),
    };
    if let (true, false, Some(vector), Targets::Moving(places)) =
        (still.is_vector(), keeps_valid, &still_values.numbers, targets)
    {
        let entries = rows.iter().copied().zip(places.iter().copied());
        match &values.numbers {
            Some(numbers) => {
                let entries = entries.zip(numbers.iter().copied());
                scatter_vector::<R>(ring, multiply, rows, entries, vector, &mut sums.sums);
            }
            None => {
                let entries = entries.map(|entry| (entry, R::Value::ONE));
                scatter_vector::<R>(ring, multiply, rows, entries, vector, &mut sums.sums);
            }
        }
        return;
    }
    for (entry, &row) in rows.iter().enumerate() {
        if row == NONE {
            continue;
        }
        for other in still.row(row as usize) {
            let place = match targets {
                Targets::Moving(places) => places[entry],
                Targets::Still => still.columns()[other],
            } as usize;
            if !keeps_valid {
                let product = multiply(values.number(entry), still_values.number(other));
                ring.add(&mut sums.sums[place], product);
                continue;
            }
            let (a, b) = (values.nullable(entry), still_values.nullable(other));
            let (left, right) = if moving == Moving::Left { (a, b) } else { (b, a) };
            if let Some(product) = ring.multiply_nullable(left, right) {
                ring.add(&mut sums.sums[place], product);
                sums.valid[place] = true;
            }
        }
    }
}

/// [`scatter`] past a vector with a value for each key, which is where most of the time goes: no row is looked up, values are
/// fetched ahead, and entries of one place that follow each other are added up before they are put there.
#[inline(always)]
fn scatter_vector<R: Semiring>(
    ring: R,
    multiply: impl Fn(R::Value, R::Value) -> R::Sum,
    rows: &[u32],
    entries: impl Iterator<Item = ((u32, u32), R::Value)>,
    vector: &[R::Value],
    sums: &mut [R::Sum],
) {
    let mut here = (NONE, R::ZERO);
    for (at, ((row, place), value)) in entries.enumerate() {
        if let Some(&ahead) = rows.get(at + AHEAD) {
            prefetch(vector, ahead as usize);
        }
        if row == NONE {
            continue;
        }
        if place != here.0 {
            if let Some(sum) = sums.get_mut(here.0 as usize) {
                *sum = here.1;
            }
            here = (place, sums[place as usize]);
        }
        ring.add(&mut here.1, multiply(value, vector[row as usize]));
    }
    if let Some(sum) = sums.get_mut(here.0 as usize) {
        *sum = here.1;
    }
}

/// `[places of one] -> [places of another]`: adds sums to others of the same ring, each to the place that is given for it.
pub(crate) fn add_sums<R: Semiring>(ring: R, from: &Values<R::Sum>, places: &[u32], to: &mut Sums<R::Sum>) {
    for (at, &place) in places.iter().enumerate() {
        if let Some(sum) = from.nullable(at) {
            ring.add(&mut to.sums[place as usize], sum);
            if let Some(valid) = to.valid.get_mut(place as usize) {
                *valid = true;
            }
        }
    }
}
