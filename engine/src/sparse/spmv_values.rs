//! [`ResidentValues`] and [`SpMvAccumulator`]: resident values and accumulators of an SpMV, type-erased.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::error::Result;

use super::kernels::{
    Accumulators, Csr, CsrPermutation, NullableValues, OutputIndex, SemiringOps, StreamedSide, merge_accumulators,
    spmv_push,
};
use super::semiring_dispatch::{ArrowScalar, SemiringVisitor};
use super::spec::SemiringAggregate;
use super::spgemm_values::{accumulators_to_array, read_permuted, read_values};

/// The values of the resident operand in CSR order, for one aggregate.
pub(super) trait ResidentValues: Send + Sync {
    /// Creates an accumulator without slots.
    fn new_accumulator(self: Arc<Self>) -> Box<dyn SpMvAccumulator>;

    /// Bytes of the values.
    fn memory_size(&self) -> usize;
}

/// An accumulator slot for each group. `touched` flags the groups that something was added to.
pub(super) trait SpMvAccumulator: Send {
    /// Appends slots at the identity, up to `groups` slots.
    fn resize(&mut self, groups: usize);

    /// Adds the products of a streamed batch: its side, its key ids and its values, which are all one if they are not
    /// given.
    fn push(
        &mut self,
        streamed: (StreamedSide, &[u32], Option<&ArrayRef>),
        resident: &Csr,
        output_index: OutputIndex<'_>,
        touched: &[bool],
    ) -> Result<()>;

    /// Merges the output of [`finish`](Self::finish) of another accumulator, the i-th value into `group_ids[i]`.
    fn merge(&mut self, partial: &ArrayRef, group_ids: &[u32], touched: &[bool]) -> Result<()>;

    /// The aggregate of each of these groups.
    fn finish(self: Box<Self>, group_ids: &[u32]) -> Result<ArrayRef>;

    /// Bytes of a slot.
    fn slot_size(&self) -> usize;
}

struct TypedResidentValues<S: SemiringOps> {
    semiring: S,
    aggregate: SemiringAggregate,
    values: NullableValues<S::Value>,
}

struct TypedAccumulator<S: SemiringOps> {
    resident: Arc<TypedResidentValues<S>>,
    accumulators: Accumulators<S::Accumulator>,
}

/// Reads the resident value column of an aggregate.
pub(super) fn resident_values(
    aggregate: &SemiringAggregate,
    column: Option<Vec<ArrayRef>>,
    permutation: &CsrPermutation,
) -> Result<Arc<dyn ResidentValues>> {
    struct ReadResident<'a> {
        aggregate: &'a SemiringAggregate,
        column: Option<Vec<ArrayRef>>,
        permutation: &'a CsrPermutation,
    }
    impl SemiringVisitor for ReadResident<'_> {
        type Output = Result<Arc<dyn ResidentValues>>;

        fn visit<S: SemiringOps>(self, semiring: S) -> Self::Output
        where
            S::Value: ArrowScalar,
            S::Accumulator: ArrowScalar,
        {
            let values = read_permuted(self.column, self.permutation)?;
            Ok(Arc::new(TypedResidentValues { semiring, aggregate: self.aggregate.clone(), values }))
        }
    }
    aggregate.visit(ReadResident { aggregate, column, permutation })?
}

impl<S: SemiringOps> ResidentValues for TypedResidentValues<S>
where
    S::Value: ArrowScalar,
    S::Accumulator: ArrowScalar,
{
    fn new_accumulator(self: Arc<Self>) -> Box<dyn SpMvAccumulator> {
        Box::new(TypedAccumulator { resident: self, accumulators: Accumulators::default() })
    }

    fn memory_size(&self) -> usize {
        self.values.memory_size()
    }
}

impl<S: SemiringOps> SpMvAccumulator for TypedAccumulator<S>
where
    S::Value: ArrowScalar,
    S::Accumulator: ArrowScalar,
{
    fn resize(&mut self, groups: usize) {
        self.accumulators.values.resize(groups, S::IDENTITY);
        if !self.accumulators.validity.is_empty() {
            self.accumulators.validity.resize(groups, false);
        }
    }

    fn push(
        &mut self,
        (streamed, key_ids, values): (StreamedSide, &[u32], Option<&ArrayRef>),
        resident: &Csr,
        output_index: OutputIndex<'_>,
        touched: &[bool],
    ) -> Result<()> {
        let values = match values {
            Some(values) => read_values(std::slice::from_ref(values))?,
            None => NullableValues { values: None, validity: None },
        };
        let TypedResidentValues { semiring, values: resident_values, .. } = self.resident.as_ref();
        let is_nullable = values.validity.is_some() || resident_values.validity.is_some();
        if is_nullable && self.accumulators.validity.is_empty() {
            // Before the first NULL, exactly the touched groups are valid.
            self.accumulators.materialize_validity(touched);
        }
        let resident = (resident, resident_values);
        spmv_push(*semiring, (streamed, key_ids, &values), resident, output_index, &mut self.accumulators);
        Ok(())
    }

    fn merge(&mut self, partial: &ArrayRef, group_ids: &[u32], touched: &[bool]) -> Result<()> {
        let partial: NullableValues<S::Accumulator> = read_values(std::slice::from_ref(partial))?;
        if partial.validity.is_some() && self.accumulators.validity.is_empty() {
            self.accumulators.materialize_validity(touched);
        }
        merge_accumulators(self.resident.semiring, &partial, group_ids, &mut self.accumulators);
        Ok(())
    }

    fn finish(self: Box<Self>, group_ids: &[u32]) -> Result<ArrayRef> {
        let values = group_ids.iter().map(|&group| self.accumulators.values[group as usize]).collect();
        let validity = match self.accumulators.validity.is_empty() {
            true => Vec::new(),
            false => group_ids.iter().map(|&group| self.accumulators.validity[group as usize]).collect(),
        };
        accumulators_to_array(Accumulators { values, validity }, &self.resident.aggregate)
    }

    fn slot_size(&self) -> usize {
        size_of::<S::Accumulator>() + 1
    }
}
