//! [`OperandValues`]: the values of both operands of an SpGEMM for one [`SemiringAggregate`], type-erased.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::error::Result;

use super::kernels::{
    Accumulators, ColumnIndex, Csr, CsrPermutation, DenseRow, HashIndex, MaskedIndex, NullableValues, SemiringOps,
    SpaIndex, gustavson_dense_row, gustavson_row, gustavson_row_numeric,
};
use super::semiring_dispatch::{ArrowScalar, SemiringVisitor};
use super::spec::SemiringAggregate;

/// Reads a value column from its batches.
pub(super) fn read_values<T: ArrowScalar>(column: &[ArrayRef]) -> Result<NullableValues<T>> {
    let rows = column.iter().map(|array| array.len()).sum();
    let mut values = Vec::with_capacity(rows);
    for array in column {
        T::append_from_array(array, &mut values)?;
    }
    let validity = column
        .iter()
        .any(|array| array.null_count() > 0)
        .then(|| column.iter().flat_map(|array| (0..array.len()).map(|row| array.is_valid(row))).collect());
    Ok(NullableValues { values: Some(values), validity })
}

/// [`read_values`] in CSR order. Without a column, the matrix is iso-valued.
pub(super) fn read_permuted<T: ArrowScalar>(
    column: Option<Vec<ArrayRef>>,
    permutation: &CsrPermutation,
) -> Result<NullableValues<T>> {
    let Some(column) = column else {
        return Ok(NullableValues { values: None, validity: None });
    };
    let values = read_values::<T>(&column)?;
    drop(column);
    Ok(NullableValues {
        values: values.values.map(|values| permutation.apply(&values)),
        validity: values.validity.map(|validity| permutation.apply(&validity)),
    })
}

/// The array of the output type of an aggregate.
pub(super) fn accumulators_to_array<T: ArrowScalar>(
    accumulators: Accumulators<T>,
    aggregate: &SemiringAggregate,
) -> Result<ArrayRef> {
    let nulls = (!accumulators.validity.is_empty())
        .then(|| NullBuffer::from(accumulators.validity))
        .filter(|nulls| nulls.null_count() > 0);
    T::build_array(accumulators.values, nulls, &aggregate.output_type)
}

/// The values of both operands in CSR order, for one aggregate.
pub(super) trait OperandValues: Send + Sync {
    /// Allocates an output block for about `capacity` entries.
    fn new_block(self: Arc<Self>, capacity: usize) -> Box<dyn OutputBlock>;

    /// Prefetches the value of an entry of the right operand.
    fn prefetch(&self, entry: usize);

    /// Whether any value is NULL.
    fn has_nulls(&self) -> bool;

    /// Bytes of the values.
    fn memory_size(&self) -> usize;
}

/// An output row, and the structures of the operands it is computed from.
pub(super) struct OutputRow<'a> {
    pub(super) left: &'a Csr,
    pub(super) right: &'a Csr,
    pub(super) row: usize,
}

/// The accumulators of consecutive output rows.
pub(super) trait OutputBlock: Send {
    /// Symbolic and numeric phase of a row: appends its columns and their accumulators.
    fn accumulate_row(&mut self, row: &OutputRow<'_>, index: &mut RowIndex, columns: &mut Vec<u32>);

    /// Numeric phase of a row whose `nnz` columns are in `index`.
    fn accumulate_row_numeric(&mut self, row: &OutputRow<'_>, index: &RowIndex, nnz: usize);

    /// Computes a row with a dense accumulator of `num_columns` columns, from operands without NULLs. Appends the
    /// columns to `columns` if it is given.
    fn accumulate_dense_row(&mut self, row: &OutputRow<'_>, num_columns: usize, columns: Option<&mut Vec<u32>>);

    /// Takes the rows accumulated since the last call, as an array.
    fn take_column(&mut self) -> Result<ArrayRef>;

    /// Bytes of the accumulators.
    fn memory_size(&self) -> usize;
}

/// The column index of a row: SPA or hash accumulator, or either of them with a mask.
pub(super) enum RowIndex {
    Spa(SpaIndex),
    Hash(HashIndex),
    Masked(MaskedIndex),
}

impl RowIndex {
    /// [`ColumnIndex::start_row`]
    pub(super) fn start_row(&mut self, max_columns: usize) {
        match self {
            Self::Spa(index) => index.start_row(max_columns),
            Self::Hash(index) => index.start_row(max_columns),
            Self::Masked(index) => index.start_row(max_columns),
        }
    }

    /// Bytes of the index.
    pub(super) fn memory_size(&self) -> usize {
        match self {
            Self::Spa(index) => index.memory_size(),
            Self::Hash(index) => index.memory_size(),
            Self::Masked(index) => index.memory_size(),
        }
    }
}

struct TypedValues<S: SemiringOps> {
    semiring: S,
    aggregate: SemiringAggregate,
    left: NullableValues<S::Value>,
    right: NullableValues<S::Value>,
}

struct TypedBlock<S: SemiringOps> {
    operands: Arc<TypedValues<S>>,
    accumulators: Accumulators<S::Accumulator>,
    dense_row: DenseRow<S::Accumulator>,
    capacity: usize,
}

/// Reads the value columns of an aggregate. Each column comes with the permutation of its matrix.
pub(super) fn operand_values(
    aggregate: &SemiringAggregate,
    left: (Option<Vec<ArrayRef>>, &CsrPermutation),
    right: (Option<Vec<ArrayRef>>, &CsrPermutation),
) -> Result<Arc<dyn OperandValues>> {
    struct ReadOperands<'a> {
        aggregate: &'a SemiringAggregate,
        left: (Option<Vec<ArrayRef>>, &'a CsrPermutation),
        right: (Option<Vec<ArrayRef>>, &'a CsrPermutation),
    }
    impl SemiringVisitor for ReadOperands<'_> {
        type Output = Result<Arc<dyn OperandValues>>;

        fn visit<S: SemiringOps>(self, semiring: S) -> Self::Output
        where
            S::Value: ArrowScalar,
            S::Accumulator: ArrowScalar,
        {
            let (left, right) =
                rayon::join(|| read_permuted(self.left.0, self.left.1), || read_permuted(self.right.0, self.right.1));
            Ok(Arc::new(TypedValues { semiring, aggregate: self.aggregate.clone(), left: left?, right: right? }))
        }
    }
    aggregate.visit(ReadOperands { aggregate, left, right })?
}

impl<S: SemiringOps> OperandValues for TypedValues<S>
where
    S::Value: ArrowScalar,
    S::Accumulator: ArrowScalar,
{
    fn new_block(self: Arc<Self>, capacity: usize) -> Box<dyn OutputBlock> {
        Box::new(TypedBlock {
            operands: self,
            accumulators: Accumulators::with_capacity(capacity),
            dense_row: DenseRow::default(),
            capacity,
        })
    }

    fn prefetch(&self, entry: usize) {
        self.right.prefetch(entry);
    }

    fn has_nulls(&self) -> bool {
        self.left.validity.is_some() || self.right.validity.is_some()
    }

    fn memory_size(&self) -> usize {
        self.left.memory_size() + self.right.memory_size()
    }
}

impl<S: SemiringOps> OutputBlock for TypedBlock<S>
where
    S::Value: ArrowScalar,
    S::Accumulator: ArrowScalar,
{
    fn accumulate_row(&mut self, row: &OutputRow<'_>, index: &mut RowIndex, columns: &mut Vec<u32>) {
        let TypedValues { semiring, left, right, .. } = self.operands.as_ref();
        let (left, right) = ((row.left, left), (row.right, right));
        match index {
            RowIndex::Spa(index) => {
                gustavson_row(*semiring, left, right, row.row, index, columns, &mut self.accumulators)
            }
            RowIndex::Hash(index) => {
                gustavson_row(*semiring, left, right, row.row, index, columns, &mut self.accumulators)
            }
            RowIndex::Masked(index) => {
                gustavson_row(*semiring, left, right, row.row, index, columns, &mut self.accumulators)
            }
        }
    }

    fn accumulate_row_numeric(&mut self, row: &OutputRow<'_>, index: &RowIndex, nnz: usize) {
        let TypedValues { semiring, left, right, .. } = self.operands.as_ref();
        let start = self.accumulators.values.len();
        self.accumulators.extend(nnz, S::IDENTITY, left.validity.is_some() || right.validity.is_some());
        let (left, right) = ((row.left, left), (row.right, right));
        match index {
            RowIndex::Spa(index) => {
                gustavson_row_numeric(*semiring, left, right, row.row, index, start, &mut self.accumulators)
            }
            RowIndex::Hash(index) => {
                gustavson_row_numeric(*semiring, left, right, row.row, index, start, &mut self.accumulators)
            }
            RowIndex::Masked(index) => {
                gustavson_row_numeric(*semiring, left, right, row.row, index, start, &mut self.accumulators)
            }
        }
    }

    fn accumulate_dense_row(&mut self, row: &OutputRow<'_>, num_columns: usize, columns: Option<&mut Vec<u32>>) {
        let TypedValues { semiring, left, right, .. } = self.operands.as_ref();
        let (left, right) = ((row.left, left), (row.right, right));
        let row_and_width = (row.row, num_columns);
        gustavson_dense_row(
            *semiring,
            left,
            right,
            row_and_width,
            &mut self.dense_row,
            columns,
            &mut self.accumulators,
        );
    }

    fn take_column(&mut self) -> Result<ArrayRef> {
        let accumulators = std::mem::replace(&mut self.accumulators, Accumulators::with_capacity(self.capacity));
        accumulators_to_array(accumulators, &self.operands.aggregate)
    }

    fn memory_size(&self) -> usize {
        self.dense_row.memory_size() + self.accumulators.memory_size()
    }
}
