//! [`Full`]: a row of the product with a sum for every column, there or not.

use super::gustavson::{Matrix, Sums, each};
use super::semiring::Semiring;

/// `[columns]` sums, and which of them are of this row. A product is added without asking whether its column is new, which
/// pays for itself when most are not.
#[derive(Debug, Default)]
pub(crate) struct Full<S> {
    sums: Vec<S>,
    /// `[columns]`, rounded up to eight: 1 for a column of this row.
    marks: Vec<u8>,
}

impl<S: Copy> Full<S> {
    pub(crate) fn bytes(&self) -> usize {
        self.sums.capacity() * size_of::<S>() + self.marks.capacity()
    }

    fn resize(&mut self, columns: usize, zero: S) {
        self.sums.resize(columns, zero);
        self.marks.resize(columns.next_multiple_of(8), 0);
    }

    /// Appends the sums of this row in the order of their columns, and forgets them.
    fn take(&mut self, zero: S, sums: &mut Vec<S>, mut columns: Option<&mut Vec<u32>>) {
        let (marks, _) = self.marks.as_chunks_mut::<8>();
        for (at, marks) in marks.iter_mut().enumerate() {
            let mut word = u64::from_le_bytes(*marks);
            if word == 0 {
                continue;
            }
            *marks = [0; 8];
            while word != 0 {
                let column = 8 * at + word.trailing_zeros() as usize / 8;
                word &= word - 1;
                sums.push(std::mem::replace(&mut self.sums[column], zero));
                if let Some(columns) = &mut columns {
                    columns.push(column as u32);
                }
            }
        }
    }
}

/// `[n] x [n, p] -> [p]`: as `multiply_row`, of matrices without NULLs, with the columns in ascending order. Those of another
/// ring over the same row are the same and need not be given again.
pub(crate) fn multiply_full_row<R: Semiring>(
    ring: R,
    (left, left_values): Matrix<'_, R::Value>,
    (right, right_values): Matrix<'_, R::Value>,
    (row, width): (usize, usize),
    full: &mut Full<R::Sum>,
    columns: Option<&mut Vec<u32>>,
    sums: &mut Sums<R::Sum>,
) {
    full.resize(width, R::ZERO);
    for entry in left.row(row) {
        let left_value = left_values.number(entry);
        let range = right.row(left.columns()[entry] as usize);
        each(right, right_values, range, |column, right_value| {
            ring.add(&mut full.sums[column as usize], ring.multiply(left_value, right_value));
            full.marks[column as usize] = 1;
        });
    }
    full.take(R::ZERO, &mut sums.sums, columns);
}
