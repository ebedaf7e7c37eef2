//! [`scatter`]: a product with a vector, of entries that come by.

use super::csr::{Csr, NONE};
use super::ring::Semiring;
use super::row::{Sums, Values};

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
/// Time: the number of products. Source: the "push" step of Yang, Buluç, Owens, "Implementing push-pull efficiently in
/// GraphBLAS", ICPP 2018, where the vector is whatever lies still.
pub(crate) fn scatter<R: Semiring>(
    ring: R,
    one: R::Value,
    (moving, rows, values): (Moving, &[u32], &Values<R::Value>),
    (still, still_values): (&Csr, &Values<R::Value>),
    targets: Targets<'_>,
    sums: &mut Sums<R::Sum>,
) {
    let nullable = values.valid.is_some() || still_values.valid.is_some();
    for (entry, &row) in rows.iter().enumerate() {
        if row == NONE {
            continue;
        }
        for other in still.row(row as usize) {
            let place = match targets {
                Targets::Moving(places) => places[entry],
                Targets::Still => still.columns()[other],
            } as usize;
            if nullable {
                let (a, b) = (values.nullable(entry, one), still_values.nullable(other, one));
                let (left, right) = if moving == Moving::Left { (a, b) } else { (b, a) };
                if let Some(product) = ring.multiply_nullable(left, right) {
                    ring.add(&mut sums.sums[place], product);
                    sums.valid[place] = true;
                }
            } else {
                let (a, b) = (values.number(entry, one), still_values.number(other, one));
                let (left, right) = if moving == Moving::Left { (a, b) } else { (b, a) };
                ring.add(&mut sums.sums[place], ring.multiply(left, right));
                sums.valid[place] = true;
            }
        }
    }
}
