//! [`ResidentOperand`] and [`SpMvWorker`]: push-style SpMV, for products that are grouped by at most one input.
//!
//! One operand is resident, the other one is streamed. Only accumulators are kept.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::internal_err;
use datafusion::error::Result;

use super::csr_operand::{CsrOperand, Orientation};
use super::group_dictionary::GroupDictionary;
use super::group_interner::GroupInterner;
use super::input::CooInput;
use super::kernels::{Csr, NULL_ID, OutputIndex, StreamedSide};
use super::key_dictionary::KeyDictionary;
use super::spec::SparseMatMulSpec;
use super::spmv_values::{ResidentValues, SpMvAccumulator, resident_values};

/// The operand in memory, as the build side of a hash join.
pub(super) struct ResidentOperand {
    spec: SparseMatMulSpec,
    streamed: StreamedSide,
    keys: KeyDictionary,
    /// Keys x groups, with a single group if the streamed operand has the groups.
    matrix: Csr,
    groups: GroupDictionary,
    /// For each aggregate.
    values: Vec<Arc<dyn ResidentValues>>,
    /// Whether the output is grouped by the streamed operand.
    groups_are_streamed: bool,
}

impl ResidentOperand {
    pub(super) fn new(spec: &SparseMatMulSpec, streamed: StreamedSide, input: &CooInput) -> Result<Self> {
        let (num_groups, groups_are_streamed) = match streamed {
            StreamedSide::Left => (spec.num_col_groups, spec.num_row_groups > 0),
            StreamedSide::Right => (spec.num_row_groups, spec.num_col_groups > 0),
        };
        let types = input.types(0..spec.num_keys);
        let keys = KeyDictionary::new(input.columns(0..spec.num_keys), &types)?;
        let CsrOperand { matrix, permutation, groups, .. } =
            CsrOperand::new(input, spec.num_keys, num_groups, &keys, Orientation::KeyMajor, &[])?;
        let values = spec.aggregates.iter().map(|aggregate| {
            let value = match streamed {
                StreamedSide::Left => aggregate.right,
                StreamedSide::Right => aggregate.left,
            };
            let column = value.map(|value| input.column(spec.num_keys + num_groups + value));
            resident_values(aggregate, column, &permutation)
        });
        let values = values.collect::<Result<_>>()?;
        Ok(Self { spec: spec.clone(), streamed, keys, matrix, groups, values, groups_are_streamed })
    }

    pub(super) fn memory_size(&self) -> usize {
        let values: usize = self.values.iter().map(|values| values.memory_size()).sum();
        self.keys.memory_size() + self.matrix.memory_size() + self.groups.memory_size() + values
    }

    /// The index of the first value column of the streamed input.
    fn first_value_column(&self) -> usize {
        self.spec.num_keys
            + match self.streamed {
                StreamedSide::Left => self.spec.num_row_groups,
                StreamedSide::Right => self.spec.num_col_groups,
            }
    }
}

/// Accumulates over one partition of the streamed input.
pub(super) struct SpMvWorker {
    resident: Arc<ResidentOperand>,
    /// The groups of the streamed input, if it has any.
    groups: Option<GroupInterner>,
    /// For each aggregate.
    accumulators: Vec<Box<dyn SpMvAccumulator>>,
    /// The groups that something was added to, NULL included: these are in the output.
    touched: Vec<bool>,
    /// The key id of each row of the current batch.
    key_ids: Vec<u32>,
    /// The group id of each row of the current batch, if the groups are streamed.
    group_ids: Vec<u32>,
}

impl SpMvWorker {
    pub(super) fn new(resident: Arc<ResidentOperand>, streamed: &SchemaRef) -> Result<Self> {
        let groups = resident.spec.num_keys..resident.first_value_column();
        let mut worker = Self {
            groups: resident.groups_are_streamed.then(|| GroupInterner::new(&streamed.fields()[groups])).transpose()?,
            accumulators: resident.values.iter().map(|values| Arc::clone(values).new_accumulator()).collect(),
            touched: Vec::new(),
            key_ids: Vec::new(),
            group_ids: Vec::new(),
            resident,
        };
        if worker.groups.is_none() {
            let num_groups = worker.resident.groups.num_ids();
            worker.accumulators.iter_mut().for_each(|accumulator| accumulator.resize(num_groups));
            worker.touched.resize(num_groups, false);
        }
        Ok(worker)
    }

    /// Adds the products of a streamed batch.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let resident = Arc::clone(&self.resident);
        let num_keys = resident.spec.num_keys;
        self.key_ids.clear();
        resident.keys.encode(&batch.columns()[..num_keys], &mut self.key_ids)?;
        // Rows without a match must not create groups.
        let has_unit_rows = resident.matrix.has_unit_rows();
        let is_match =
            |key: &u32| *key != NULL_ID && (has_unit_rows || !resident.matrix.row_range(*key as usize).is_empty());
        let matches = self.key_ids.iter().filter(|key| is_match(key)).count();
        if matches == 0 {
            return Ok(());
        }
        let mut filtered = None;
        if matches < self.key_ids.len() {
            let mask: BooleanArray = self.key_ids.iter().map(|key| Some(is_match(key))).collect();
            filtered = Some(filter_record_batch(batch, &mask)?);
            self.key_ids.retain(is_match);
        }
        let batch = filtered.as_ref().unwrap_or(batch);
        let first_value = resident.first_value_column();
        if let Some(groups) = &mut self.groups {
            groups.intern(&batch.columns()[num_keys..first_value], &mut self.group_ids)?;
            let num_groups = groups.num_groups();
            self.accumulators.iter_mut().for_each(|accumulator| accumulator.resize(num_groups));
        }
        let output_index =
            if self.groups.is_some() { OutputIndex::Streamed(&self.group_ids) } else { OutputIndex::Resident };
        for (aggregate, accumulator) in resident.spec.aggregates.iter().zip(&mut self.accumulators) {
            let value = match resident.streamed {
                StreamedSide::Left => aggregate.left,
                StreamedSide::Right => aggregate.right,
            };
            let values = value.map(|value| batch.column(first_value + value));
            let streamed = (resident.streamed, self.key_ids.as_slice(), values);
            accumulator.push(streamed, &resident.matrix, output_index, &self.touched)?;
        }
        match &self.groups {
            // The interner contains matched rows only.
            Some(groups) => self.touched.resize(groups.num_groups(), true),
            None => {
                for &key in &self.key_ids {
                    let entries = resident.matrix.row_range(key as usize);
                    let groups = &resident.matrix.col_indices()[entries];
                    groups.iter().for_each(|&group| self.touched[group as usize] = true);
                }
            }
        }
        Ok(())
    }

    pub(super) fn memory_size(&self) -> usize {
        let slot_size: usize = self.accumulators.iter().map(|accumulator| accumulator.slot_size()).sum();
        let groups = self.groups.as_ref().map_or(0, GroupInterner::memory_size);
        groups + self.touched.capacity() * (1 + slot_size)
    }

    /// Merges the accumulators of another partition.
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        let touched = other.touched_groups();
        let columns = other.finish()?;
        if self.groups.is_some() {
            return self.merge_partial(&columns);
        }
        let partials = &columns[columns.len() - self.accumulators.len()..];
        for (accumulator, partial) in self.accumulators.iter_mut().zip(partials) {
            accumulator.merge(partial, &touched, &self.touched)?;
        }
        touched.iter().for_each(|&group| self.touched[group as usize] = true);
        Ok(())
    }

    /// Merges the output of [`finish`](Self::finish) of another worker, if the groups are streamed.
    pub(super) fn merge_partial(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let (group_columns, partials) = columns.split_at(columns.len() - self.accumulators.len());
        let Some(groups) = &mut self.groups else {
            return internal_err!("SparseMatMul: the groups are not streamed");
        };
        groups.intern(group_columns, &mut self.group_ids)?;
        for (accumulator, partial) in self.accumulators.iter_mut().zip(partials) {
            accumulator.resize(groups.num_groups());
            accumulator.merge(partial, &self.group_ids, &self.touched)?;
        }
        self.touched.resize(groups.num_groups(), true);
        Ok(())
    }

    /// Whether the accumulators can be spilled. Accumulators for groups of the resident operand cannot: that operand
    /// bounds their number anyway.
    pub(super) fn can_spill(&self) -> bool {
        self.groups.is_some()
    }

    fn touched_groups(&self) -> Vec<u32> {
        (0..self.touched.len() as u32).filter(|group| self.touched[*group as usize]).collect()
    }

    /// The touched groups and their aggregates: left groups, right groups, aggregates.
    pub(super) fn finish(self) -> Result<Vec<ArrayRef>> {
        let touched = self.touched_groups();
        let mut columns = match self.groups {
            // All interned groups are touched.
            Some(groups) => groups.finish()?,
            None => self.resident.groups.decode(&touched)?,
        };
        for accumulator in self.accumulators {
            columns.push(accumulator.finish(&touched)?);
        }
        Ok(columns)
    }
}
