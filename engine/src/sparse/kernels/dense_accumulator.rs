//! [`DenseRow`]: an output row with an accumulator for every column.

use super::gustavson::{Accumulators, Matrix, for_each_entry};
use super::semiring::SemiringOps;

/// Dense accumulator with occupancy flags: `[columns]` accumulators. Adding a product does not branch on whether its
/// column is new, which pays off when most products fall on columns that are already occupied.
#[derive(Debug, Default)]
pub(crate) struct DenseRow<T> {
    accumulators: Vec<T>,
    /// `[columns]`, rounded up to a multiple of eight: 1 for each column of the current row.
    occupied: Vec<u8>,
}

impl<T: Copy> DenseRow<T> {
    pub(crate) fn memory_size(&self) -> usize {
        self.accumulators.capacity() * size_of::<T>() + self.occupied.capacity()
    }

    fn resize(&mut self, columns: usize, identity: T) {
        self.accumulators.resize(columns, identity);
        self.occupied.resize(columns.next_multiple_of(8), 0);
    }

    /// Appends the occupied accumulators in column order and resets them.
    fn drain(&mut self, identity: T, values: &mut Vec<T>, mut columns: Option<&mut Vec<u32>>) {
        let (occupied, _) = self.occupied.as_chunks_mut::<8>();
        for (at, flags) in occupied.iter_mut().enumerate() {
            let mut word = u64::from_le_bytes(*flags);
            if word == 0 {
                continue;
            }
            *flags = [0; 8];
            while word != 0 {
                let column = 8 * at + word.trailing_zeros() as usize / 8;
                word &= word - 1;
                values.push(std::mem::replace(&mut self.accumulators[column], identity));
                if let Some(columns) = &mut columns {
                    columns.push(column as u32);
                }
            }
        }
    }
}

/// `[n] x [n, p] -> [p]`: [`gustavson_row`](super::gustavson_row) with a dense accumulator, for matrices without NULLs.
/// Appends the columns in ascending order, unless another aggregate over the same row did so already (`columns` is
/// `None`).
pub(crate) fn gustavson_dense_row<S: SemiringOps>(
    semiring: S,
    (left, left_values): Matrix<'_, S::Value>,
    (right, right_values): Matrix<'_, S::Value>,
    (row, num_columns): (usize, usize),
    dense: &mut DenseRow<S::Accumulator>,
    columns: Option<&mut Vec<u32>>,
    output: &mut Accumulators<S::Accumulator>,
) {
    dense.resize(num_columns, S::IDENTITY);
    for entry in left.row_range(row) {
        let left_value = left_values.value(entry);
        let range = right.row_range(left.col_indices()[entry] as usize);
        for_each_entry(right, right_values, range, |column, right_value| {
            semiring.add(&mut dense.accumulators[column as usize], semiring.multiply(left_value, right_value));
            dense.occupied[column as usize] = 1;
        });
    }
    dense.drain(S::IDENTITY, &mut output.values, columns);
}
