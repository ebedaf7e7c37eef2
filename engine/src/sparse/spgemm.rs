//! [`SpGemmOperands`] and [`SpGemmWorker`]: Gustavson's row-wise SpGEMM on operands in memory.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;

use super::csr_operand::{CsrOperand, Orientation};
use super::group_dictionary::GroupDictionary;
use super::ids::checked_id;
use super::input::CooInput;
use super::kernels::{Csr, HashIndex, MaskKind, MaskedIndex, SpaIndex, row_flops};
use super::key_dictionary::KeyDictionary;
use super::spec::SparseMatMulSpec;
use super::spgemm_values::{OperandValues, OutputBlock, OutputRow, RowIndex, operand_values};

/// Both operands of a product. Workers claim chunks of rows dynamically, so that all partitions finish at about the
/// same time.
pub(super) struct SpGemmOperands {
    /// Groups x keys.
    left: Csr,
    /// Keys x groups.
    right: Csr,
    row_groups: GroupDictionary,
    col_groups: GroupDictionary,
    /// Row groups x column groups.
    mask: Option<(MaskKind, Csr)>,
    /// For each aggregate.
    values: Vec<Arc<dyn OperandValues>>,
    /// The first entry of the left matrix that no worker has claimed.
    next_entry: AtomicUsize,
}

/// Entries of the left matrix in a chunk: enough to make claiming cheap, few enough to balance the load at the end.
const CHUNK_ENTRIES: usize = 1024;

/// Up to this many output columns, rows always use the sparse accumulator (SPA): half a megabyte, which fits into the
/// L2 cache.
const SPA_ALWAYS_COLUMNS: usize = 1 << 17;

/// A row uses the SPA if it has at least one product for this many columns (SuiteSparse:GraphBLAS, `saxpy3`, sets this
/// to 12 to 16), and a hash accumulator otherwise.
const SPA_FLOPS_RATIO: usize = 16;

/// A row uses a dense accumulator if it has at least one product for this many columns, all of which are scanned
/// afterwards.
const DENSE_ROW_FLOPS_RATIO: usize = 16;

/// The maximum number of columns of a dense accumulator: half a megabyte, which fits into the L2 cache.
const DENSE_ROW_MAX_COLUMNS: usize = 1 << 16;

impl SpGemmOperands {
    /// Encodes keys and groups and converts the inputs to CSR. Rows of the mask that are groups of none of the operands
    /// are left out.
    pub(super) fn new(
        spec: &SparseMatMulSpec,
        left: CooInput,
        right: CooInput,
        mask: Option<CooInput>,
    ) -> Result<Self> {
        let key_columns = 0..spec.num_keys;
        let types = right.types(key_columns.clone());
        let keys = KeyDictionary::new(right.columns(key_columns), &types)?;
        let (row_groups, col_groups) = (spec.num_row_groups, spec.num_col_groups);
        // The columns of the mask for the groups of each operand.
        let (row_mask, col_mask) = match &mask {
            Some(mask) => (mask.columns(0..row_groups), mask.columns(row_groups..row_groups + col_groups)),
            None => Default::default(),
        };
        let (left, right) = rayon::join(
            || CsrOperand::new(&left, spec.num_keys, row_groups, &keys, Orientation::GroupMajor, row_mask),
            || CsrOperand::new(&right, spec.num_keys, col_groups, &keys, Orientation::KeyMajor, col_mask),
        );
        let (left, right) = (left?, right?);
        let mask = match (spec.mask, &mask) {
            (Some(kind), Some(mask)) => {
                checked_id(mask.num_rows, "rows of one table")?;
                Some((kind, Csr::new(&left.mask_ids, &right.mask_ids, left.groups.num_ids()).0))
            }
            _ => None,
        };
        let values = spec.aggregates.iter().map(|aggregate| {
            let column = |operand: &CsrOperand<'_>, value: Option<usize>, groups| {
                value.map(|value| operand.input.column(spec.num_keys + groups + value))
            };
            operand_values(
                aggregate,
                (column(&left, aggregate.left, row_groups), &left.permutation),
                (column(&right, aggregate.right, col_groups), &right.permutation),
            )
        });
        Ok(Self {
            values: values.collect::<Result<_>>()?,
            left: left.matrix,
            right: right.matrix,
            row_groups: left.groups,
            col_groups: right.groups,
            mask,
            next_entry: AtomicUsize::new(0),
        })
    }

    /// Bytes of the operands.
    pub(super) fn memory_size(&self) -> usize {
        let mask = self.mask.as_ref().map_or(0, |(_, mask)| mask.memory_size());
        let matrices = self.left.memory_size() + self.right.memory_size() + mask;
        let values: usize = self.values.iter().map(|values| values.memory_size()).sum();
        matrices + values + self.row_groups.memory_size() + self.col_groups.memory_size()
    }

    /// Claims the next chunk: the rows that start at its entries.
    fn next_chunk(&self) -> Option<Range<usize>> {
        let from = self.next_entry.fetch_add(CHUNK_ENTRIES, Ordering::Relaxed);
        (from < self.left.nnz())
            .then(|| self.left.first_row_starting_from(from)..self.left.first_row_starting_from(from + CHUNK_ENTRIES))
    }
}

/// Computes rows of the product, batch by batch.
pub(super) struct SpGemmWorker {
    operands: Arc<SpGemmOperands>,
    schema: SchemaRef,
    batch_size: usize,
    /// For each aggregate.
    blocks: Vec<Box<dyn OutputBlock>>,
    /// Allocated for the first row that uses it.
    spa: Option<RowIndex>,
    hash: RowIndex,
    /// The same for rows with a mask.
    masked_spa: Option<RowIndex>,
    masked_hash: Option<RowIndex>,
    chunk: Range<usize>,
    /// The next row and its flops. The memory it reads is being prefetched.
    prefetched: Option<(usize, usize)>,
    /// The row group of each entry of the current batch.
    row_ids: Vec<u32>,
    /// The column group of each entry of the current batch.
    col_ids: Vec<u32>,
}

impl SpGemmWorker {
    pub(super) fn new(operands: Arc<SpGemmOperands>, schema: SchemaRef, batch_size: usize) -> Self {
        Self {
            blocks: operands
                .values
                .iter()
                .map(|values| Arc::clone(values).new_block(batch_size + batch_size / 8))
                .collect(),
            operands,
            schema,
            batch_size,
            spa: None,
            hash: RowIndex::Hash(HashIndex::default()),
            masked_spa: None,
            masked_hash: None,
            chunk: 0..0,
            prefetched: None,
            row_ids: Vec::new(),
            col_ids: Vec::new(),
        }
    }

    /// The next entries of the product: at least `batch_size`, unless they are the last ones.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>> {
        while self.col_ids.len() < self.batch_size {
            let next = self.prefetch_next_row();
            match std::mem::replace(&mut self.prefetched, next) {
                Some((row, flops)) => self.multiply_row(row, flops),
                None if next.is_none() => break,
                None => {}
            }
        }
        if self.col_ids.is_empty() {
            return Ok(None);
        }
        let operands = &self.operands;
        let mut columns = operands.row_groups.decode(&self.row_ids)?;
        columns.extend(operands.col_groups.decode(&self.col_ids)?);
        for block in &mut self.blocks {
            columns.push(block.take_column()?);
        }
        self.row_ids.clear();
        self.col_ids.clear();
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns)?))
    }

    /// The next row that has products, and its flops. Prefetches what the row reads.
    fn prefetch_next_row(&mut self) -> Option<(usize, usize)> {
        let SpGemmOperands { left, right, values, mask, .. } = self.operands.as_ref();
        loop {
            let Some(row) = self.chunk.next() else {
                self.chunk = self.operands.next_chunk()?;
                continue;
            };
            if let Some((MaskKind::Structural, mask)) = mask
                && mask.row_range(row).is_empty()
            {
                continue;
            }
            let flops = row_flops(left, right, row, |entry| values.iter().for_each(|values| values.prefetch(entry)));
            if flops > 0 {
                return Some((row, flops));
            }
        }
    }

    fn multiply_row(&mut self, row: usize, flops: usize) {
        let SpGemmOperands { left, right, col_groups, mask, values, .. } = self.operands.as_ref();
        let num_columns = col_groups.num_ids();
        let output_row = OutputRow { left, right, row };
        let mask = mask.as_ref().map(|(kind, mask)| (*kind, &mask.col_indices()[mask.row_range(row)]));
        // A complemented mask without entries excludes nothing.
        let mask = mask.filter(|(kind, columns)| *kind == MaskKind::Structural || !columns.is_empty());
        if flops >= num_columns / DENSE_ROW_FLOPS_RATIO
            && num_columns <= DENSE_ROW_MAX_COLUMNS
            && mask.is_none()
            && !values.iter().any(|values| values.has_nulls())
        {
            let mut col_ids = Some(&mut self.col_ids);
            for block in &mut self.blocks {
                block.accumulate_dense_row(&output_row, num_columns, col_ids.take());
            }
            self.row_ids.resize(self.col_ids.len(), row as u32);
            return;
        }
        // The columns that the index of the row holds.
        let max_columns = match mask {
            None => flops.min(num_columns),
            Some((MaskKind::Structural, columns)) => columns.len(),
            Some((MaskKind::Complemented, columns)) => columns.len() + flops.min(num_columns),
        };
        let work = if mask.is_some() { max_columns } else { flops };
        let uses_spa = num_columns <= SPA_ALWAYS_COLUMNS || work >= num_columns / SPA_FLOPS_RATIO;
        let index = match (mask, uses_spa) {
            (None, true) => self.spa.get_or_insert_with(|| RowIndex::Spa(SpaIndex::new(num_columns))),
            (None, false) => &mut self.hash,
            (Some((kind, _)), true) => {
                self.masked_spa.get_or_insert_with(|| RowIndex::Masked(MaskedIndex::spa(kind, num_columns)))
            }
            (Some((kind, _)), false) => {
                self.masked_hash.get_or_insert_with(|| RowIndex::Masked(MaskedIndex::hash(kind)))
            }
        };
        index.start_row(max_columns);
        if let (RowIndex::Masked(index), Some((_, columns))) = (&mut *index, mask) {
            index.mask(columns);
        }
        let start = self.col_ids.len();
        let mut blocks = self.blocks.iter_mut();
        if let Some(first) = blocks.next() {
            first.accumulate_row(&output_row, index, &mut self.col_ids);
        }
        let nnz = self.col_ids.len() - start;
        for other in blocks {
            other.accumulate_row_numeric(&output_row, index, nnz);
        }
        self.row_ids.resize(self.col_ids.len(), row as u32);
    }

    /// Bytes of the column indices, the accumulators and the current batch.
    pub(super) fn memory_size(&self) -> usize {
        let others = [&self.spa, &self.masked_spa, &self.masked_hash].into_iter().flatten();
        let indices = self.hash.memory_size() + others.map(RowIndex::memory_size).sum::<usize>();
        let blocks: usize = self.blocks.iter().map(|block| block.memory_size()).sum();
        // The row id, the column id and the accumulators of each entry, and the batch that was emitted last.
        indices + blocks + self.col_ids.capacity() * (4 + self.blocks.len()) * size_of::<u64>()
    }
}
