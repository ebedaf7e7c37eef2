//! [`spmv_push`]: sparse matrix times vector, over a stream of entries.

use super::csr::NULL_ID;
use super::gustavson::{Accumulators, Matrix, NullableValues};
use super::prefetch::prefetch;
use super::scalar::Element;
use super::semiring::SemiringOps;

/// How many entries ahead values are prefetched: about as many loads as a core keeps in flight.
const PREFETCH_DISTANCE: usize = 64;

/// Which operand is streamed. The other one is resident, as a [`Csr`](super::Csr).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamedSide {
    Left,
    Right,
}

/// The accumulator that a product is added to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OutputIndex<'a> {
    /// `[entries]`: given for each streamed entry.
    Streamed(&'a [u32]),
    /// The column of the resident entry.
    Resident,
}

/// `[entries] x [n, p] -> [groups]`: multiplies each streamed entry with each entry of the resident row `rows[entry]`,
/// and adds the product to the accumulator that `output_index` gives. Entries with the row [`NULL_ID`] match nothing.
///
/// Without NULLs the caller already knows which accumulators are set, so `validity` is maintained only if it is
/// present.
///
/// Time: O(flops). Source: the "push" step of Yang, Buluç and Owens, "Implementing push-pull efficiently in GraphBLAS",
/// ICPP 2018, where the vector is the resident operand.
pub(crate) fn spmv_push<S: SemiringOps>(
    semiring: S,
    (streamed, rows, values): (StreamedSide, &[u32], &NullableValues<S::Value>),
    (resident, resident_values): Matrix<'_, S::Value>,
    output_index: OutputIndex<'_>,
    output: &mut Accumulators<S::Accumulator>,
) {
    let keeps_validity = !output.validity.is_empty();
    let multiply = |a, b| match streamed {
        StreamedSide::Left => semiring.multiply(a, b),
        StreamedSide::Right => semiring.multiply(b, a),
    };
    if let (true, false, Some(vector), OutputIndex::Streamed(groups)) =
        (resident.has_unit_rows(), keeps_validity, &resident_values.values, output_index)
    {
        let entries = rows.iter().copied().zip(groups.iter().copied());
        match &values.values {
            Some(values) => {
                let entries = entries.zip(values.iter().copied());
                spmv_push_dense::<S>(semiring, multiply, rows, entries, vector, &mut output.values);
            }
            None => {
                let entries = entries.map(|entry| (entry, S::Value::ONE));
                spmv_push_dense::<S>(semiring, multiply, rows, entries, vector, &mut output.values);
            }
        }
        return;
    }
    for (entry, &row) in rows.iter().enumerate() {
        if row == NULL_ID {
            continue;
        }
        for resident_entry in resident.row_range(row as usize) {
            let group = match output_index {
                OutputIndex::Streamed(groups) => groups[entry],
                OutputIndex::Resident => resident.col_indices()[resident_entry],
            } as usize;
            if !keeps_validity {
                let product = multiply(values.value(entry), resident_values.value(resident_entry));
                semiring.add(&mut output.values[group], product);
                continue;
            }
            let (a, b) = (values.get(entry), resident_values.get(resident_entry));
            let (left, right) = if streamed == StreamedSide::Left { (a, b) } else { (b, a) };
            if let Some(product) = semiring.multiply_nullable(left, right) {
                semiring.add(&mut output.values[group], product);
                output.validity[group] = true;
            }
        }
    }
}

/// [`spmv_push`] with a dense vector, the hot case: needs no row lookup, prefetches the values, and accumulates a run
/// of entries of one group in a register before storing it.
#[inline(always)]
fn spmv_push_dense<S: SemiringOps>(
    semiring: S,
    multiply: impl Fn(S::Value, S::Value) -> S::Accumulator,
    rows: &[u32],
    entries: impl Iterator<Item = ((u32, u32), S::Value)>,
    vector: &[S::Value],
    output: &mut [S::Accumulator],
) {
    // The group of the current run, and its accumulator.
    let mut run = (NULL_ID, S::IDENTITY);
    for (at, ((row, group), value)) in entries.enumerate() {
        if let Some(&ahead) = rows.get(at + PREFETCH_DISTANCE) {
            prefetch(vector, ahead as usize);
        }
        if row == NULL_ID {
            continue;
        }
        if group != run.0 {
            if let Some(accumulator) = output.get_mut(run.0 as usize) {
                *accumulator = run.1;
            }
            run = (group, output[group as usize]);
        }
        semiring.add(&mut run.1, multiply(value, vector[row as usize]));
    }
    if let Some(accumulator) = output.get_mut(run.0 as usize) {
        *accumulator = run.1;
    }
}

/// `[n] -> [groups]`: merges accumulators of the same semiring, the i-th into `groups[i]`.
pub(crate) fn merge_accumulators<S: SemiringOps>(
    semiring: S,
    from: &NullableValues<S::Accumulator>,
    groups: &[u32],
    to: &mut Accumulators<S::Accumulator>,
) {
    for (at, &group) in groups.iter().enumerate() {
        if let Some(value) = from.get(at) {
            semiring.add(&mut to.values[group as usize], value);
            if let Some(valid) = to.validity.get_mut(group as usize) {
                *valid = true;
            }
        }
    }
}
