//! [`Matrices`]: two matrices in memory, and the stream of the rows of their product.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;

use super::csr_operand::{Indexed, RowsAre};
use super::group_dictionary::Groups;
use super::input::Input;
use super::kernels::{Csr, Dense, Hashed, flops};
use super::key_dictionary::Keys;
use super::spec::SparseMatMul;
use super::spgemm_values::{AnyPlaces, Block, Factors, Row, factors};

/// What the rows of a product are made of. Rows are claimed by whoever is ready for more, so that all partitions end together.
pub(super) struct Matrices {
    /// Groups x keys.
    left: Csr,
    /// Keys x groups.
    right: Csr,
    left_groups: Groups,
    right_groups: Groups,
    factors: Vec<Arc<dyn Factors>>,
    /// The first entry of the left matrix that nobody has claimed.
    next: AtomicUsize,
}

/// Entries of the left matrix that are claimed at a time: enough to make claiming free, few enough to share the last ones.
const CLAIM: usize = 1024;

/// A matrix of so few columns has places for all of them: half a megabyte, which the cache of a core holds.
const FEW_COLUMNS: usize = 1 << 17;

/// A row has places for all columns when it makes at least one product for so many of them (SuiteSparse:GraphBLAS, `saxpy3`,
/// which puts it at 12 to 16).
const DENSE: usize = 16;

/// A row has sums for all columns when it makes at least one product for so many of them: they are looked through afterwards.
const FULL: usize = 16;

/// Sums for so many columns are half a megabyte too.
const FEW_SUMS: usize = 1 << 16;

impl Matrices {
    /// Finds the numbers of all keys and groups and puts the entries in the order of the rows.
    pub(super) fn new(matmul: &SparseMatMul, left: Input, right: Input) -> Result<Self> {
        let keys = 0..matmul.keys;
        let types = right.types(keys.clone());
        let known = Keys::new(right.columns(keys), &types)?;
        let (left, right) = rayon::join(
            || Indexed::new(&left, matmul.keys, matmul.left_groups, &known, RowsAre::Groups),
            || Indexed::new(&right, matmul.keys, matmul.right_groups, &known, RowsAre::Keys),
        );
        let (left, right) = (left?, right?);
        let factors = matmul.products.iter().map(|product| {
            let column = |side: &Indexed<'_>, value: Option<usize>, groups| {
                value.map(|value| side.input.column(matmul.keys + groups + value))
            };
            factors(
                product,
                (column(&left, product.left, matmul.left_groups), &left.order),
                (column(&right, product.right, matmul.right_groups), &right.order),
            )
        });
        Ok(Self {
            factors: factors.collect::<Result<_>>()?,
            left: left.matrix,
            right: right.matrix,
            left_groups: left.groups,
            right_groups: right.groups,
            next: AtomicUsize::new(0),
        })
    }

    /// Bytes that are held when they are built.
    pub(super) fn held_bytes(&self) -> usize {
        let matrices = self.left.bytes_held() + self.right.bytes_held();
        let values: usize = self.factors.iter().map(|factors| factors.held_bytes()).sum();
        matrices + values + self.left_groups.bytes() + self.right_groups.bytes()
    }

    fn claim(&self) -> Option<Range<usize>> {
        let from = self.next.fetch_add(CLAIM, Ordering::Relaxed);
        (from < self.left.entries()).then(|| self.left.first_row_at(from)..self.left.first_row_at(from + CLAIM))
    }
}

/// Makes rows of the product, batch by batch.
pub(super) struct RowsWorker {
    matrices: Arc<Matrices>,
    schema: SchemaRef,
    batch_rows: usize,
    blocks: Vec<Box<dyn Block>>,
    /// Made for the first row that wants it.
    dense: Option<AnyPlaces>,
    hashed: AnyPlaces,
    claimed: Range<usize>,
    /// The row that is multiplied next, and how many products it has: what it needs is on its way.
    fetched: Option<(usize, usize)>,
    /// Of the batch that is being made: the row and the column of each sum.
    rows: Vec<u32>,
    columns: Vec<u32>,
}

impl RowsWorker {
    pub(super) fn new(matrices: Arc<Matrices>, schema: SchemaRef, batch_rows: usize) -> Self {
        Self {
            blocks: matrices
                .factors
                .iter()
                .map(|factors| Arc::clone(factors).block(batch_rows + batch_rows / 8))
                .collect(),
            matrices,
            schema,
            batch_rows,
            dense: None,
            hashed: AnyPlaces::Hashed(Hashed::default()),
            claimed: 0..0,
            fetched: None,
            rows: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// The next rows of the product: at least a batch of them, unless they are the last ones.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>> {
        while self.columns.len() < self.batch_rows {
            let next = self.fetch();
            match std::mem::replace(&mut self.fetched, next) {
                Some((row, flops)) => self.multiply(row, flops),
                None if next.is_none() => break,
                None => {}
            }
        }
        if self.columns.is_empty() {
            return Ok(None);
        }
        let matrices = &self.matrices;
        let mut columns = matrices.left_groups.take(&self.rows)?;
        columns.extend(matrices.right_groups.take(&self.columns)?);
        for block in &mut self.blocks {
            columns.push(block.take()?);
        }
        self.rows.clear();
        self.columns.clear();
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns)?))
    }

    /// The next row that has products, with what it needs on its way.
    fn fetch(&mut self) -> Option<(usize, usize)> {
        let Matrices { left, right, factors, .. } = self.matrices.as_ref();
        loop {
            let Some(row) = self.claimed.next() else {
                self.claimed = self.matrices.claim()?;
                continue;
            };
            let flops = flops(left, right, row, |entry| factors.iter().for_each(|factors| factors.prefetch(entry)));
            if flops > 0 {
                return Some((row, flops));
            }
        }
    }

    fn multiply(&mut self, row: usize, flops: usize) {
        let Matrices { left, right, right_groups, factors, .. } = self.matrices.as_ref();
        let all = right_groups.count();
        let row_of = Row { left, right, row };
        if flops >= all / FULL && all <= FEW_SUMS && !factors.iter().any(|factors| factors.has_nulls()) {
            let mut columns = Some(&mut self.columns);
            for block in &mut self.blocks {
                block.multiply_full(&row_of, all, columns.take());
            }
            self.rows.resize(self.columns.len(), row as u32);
            return;
        }
        let places = if all <= FEW_COLUMNS || flops >= all / DENSE {
            self.dense.get_or_insert_with(|| AnyPlaces::Dense(Dense::new(all)))
        } else {
            &mut self.hashed
        };
        places.begin(flops.min(all));
        let start = self.columns.len();
        let mut blocks = self.blocks.iter_mut();
        if let Some(first) = blocks.next() {
            first.multiply(&row_of, places, &mut self.columns);
        }
        let columns = self.columns.len() - start;
        for other in blocks {
            other.add(&row_of, places, columns);
        }
        self.rows.resize(self.columns.len(), row as u32);
    }

    /// Bytes that it holds now.
    pub(super) fn bytes(&self) -> usize {
        let places = match &self.dense {
            Some(_) => self.matrices.right_groups.count() * size_of::<u32>(),
            None => 0,
        };
        let blocks: usize = self.blocks.iter().map(|block| block.bytes()).sum();
        // Each sum with its row and its column, and the batch that was made of the last ones.
        places + blocks + self.columns.capacity() * (4 + self.blocks.len()) * size_of::<u64>()
    }
}
