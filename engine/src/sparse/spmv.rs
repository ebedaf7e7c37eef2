//! [`Resting`]: a product with a vector, or of anything grouped by one table alone.
//!
//! One input is in memory, the other comes by. Only the sums stay.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::internal_err;
use datafusion::error::Result;

use super::csr_operand::{Indexed, RowsAre};
use super::group_dictionary::Groups;
use super::group_interner::GrowingGroups;
use super::input::Input;
use super::kernels::{Csr, Moving, NONE, Targets};
use super::key_dictionary::Keys;
use super::spec::SparseMatMul;
use super::spmv_values::{Still, Target, still};

/// The input that is in memory.
pub(super) struct Resting {
    matmul: SparseMatMul,
    moving: Moving,
    keys: Keys,
    /// Keys x groups, one group when the other side has them.
    matrix: Csr,
    groups: Groups,
    factors: Vec<Arc<dyn Still>>,
    /// Whether the sums are for the groups of the input that comes by.
    groups_move: bool,
}

impl Resting {
    pub(super) fn new(matmul: &SparseMatMul, moving: Moving, input: &Input) -> Result<Self> {
        let (groups, groups_move) = match moving {
            Moving::Left => (matmul.right_groups, matmul.left_groups > 0),
            Moving::Right => (matmul.left_groups, matmul.right_groups > 0),
        };
        let types = input.types(0..matmul.keys);
        let keys = Keys::new(input.columns(0..matmul.keys), &types)?;
        let Indexed { matrix, order, groups: groups_of, .. } =
            Indexed::new(input, matmul.keys, groups, &keys, RowsAre::Keys)?;
        let factors = matmul.products.iter().map(|product| {
            let value = match moving {
                Moving::Left => product.right,
                Moving::Right => product.left,
            };
            still(product, value.map(|value| input.column(matmul.keys + groups + value)), &order)
        });
        let factors = factors.collect::<Result<_>>()?;
        Ok(Self { matmul: matmul.clone(), moving, keys, matrix, groups: groups_of, factors, groups_move })
    }

    pub(super) fn held_bytes(&self) -> usize {
        let values: usize = self.factors.iter().map(|factor| factor.held_bytes()).sum();
        self.keys.bytes() + self.matrix.bytes_held() + self.groups.bytes() + values
    }

    /// The first columns of the input that comes by which are values.
    fn values_from(&self) -> usize {
        self.matmul.keys
            + match self.moving {
                Moving::Left => self.matmul.left_groups,
                Moving::Right => self.matmul.right_groups,
            }
    }
}

/// The sums over one partition of the input that comes by.
pub(super) struct VectorWorker {
    resting: Arc<Resting>,
    /// Those of the input that comes by, when it has them.
    groups: Option<GrowingGroups>,
    targets: Vec<Box<dyn Target>>,
    /// Groups to which a NULL was added, which are in the result too.
    met: Vec<bool>,
    /// Of a batch: the key and the group of each row.
    keys: Vec<u32>,
    places: Vec<u32>,
}

impl VectorWorker {
    pub(super) fn new(resting: Arc<Resting>, moving: &SchemaRef) -> Result<Self> {
        let groups = resting.matmul.keys..resting.values_from();
        let mut worker = Self {
            groups: resting.groups_move.then(|| GrowingGroups::new(&moving.fields()[groups])).transpose()?,
            targets: resting.factors.iter().map(|factor| Arc::clone(factor).target()).collect(),
            met: Vec::new(),
            keys: Vec::new(),
            places: Vec::new(),
            resting,
        };
        if worker.groups.is_none() {
            let count = worker.resting.groups.count();
            worker.targets.iter_mut().for_each(|target| target.resize(count));
            worker.met.resize(count, false);
        }
        Ok(worker)
    }

    /// Adds what a batch makes.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let resting = Arc::clone(&self.resting);
        let keys = resting.matmul.keys;
        self.keys.clear();
        resting.keys.find(&batch.columns()[..keys], &mut self.keys)?;
        // What meets nothing makes no group.
        let is_vector = resting.matrix.is_vector();
        let meets = |key: &u32| *key != NONE && (is_vector || !resting.matrix.row(*key as usize).is_empty());
        let met = self.keys.iter().filter(|key| meets(key)).count();
        if met == 0 {
            return Ok(());
        }
        let mut kept = None;
        if met < self.keys.len() {
            let mask: BooleanArray = self.keys.iter().map(|key| Some(meets(key))).collect();
            kept = Some(filter_record_batch(batch, &mask)?);
            self.keys.retain(meets);
        }
        let batch = kept.as_ref().unwrap_or(batch);
        let from = resting.values_from();
        if let Some(groups) = &mut self.groups {
            groups.intern(&batch.columns()[keys..from], &mut self.places)?;
            let count = groups.count();
            self.targets.iter_mut().for_each(|target| target.resize(count));
        }
        let targets = if self.groups.is_some() { Targets::Moving(&self.places) } else { Targets::Still };
        for (product, target) in resting.matmul.products.iter().zip(&mut self.targets) {
            let value = match resting.moving {
                Moving::Left => product.left,
                Moving::Right => product.right,
            };
            let values = value.map(|value| batch.column(from + value));
            target.scatter((resting.moving, &self.keys, values), &resting.matrix, targets, &self.met)?;
        }
        match &self.groups {
            // Whatever has a number was met.
            Some(groups) => self.met.resize(groups.count(), true),
            None => {
                for &key in &self.keys {
                    let entries = resting.matrix.row(key as usize);
                    resting.matrix.columns()[entries].iter().for_each(|&group| self.met[group as usize] = true);
                }
            }
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> usize {
        let width: usize = self.targets.iter().map(|target| target.width()).sum();
        self.groups.as_ref().map_or(0, GrowingGroups::bytes) + self.met.capacity() * (1 + width)
    }

    /// Adds the sums of another partition.
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        let met = other.met_places();
        let columns = other.finish()?;
        if self.groups.is_some() {
            return self.add_sums(&columns);
        }
        let sums = &columns[columns.len() - self.targets.len()..];
        for (target, sums) in self.targets.iter_mut().zip(sums) {
            target.add(sums, &met, &self.met)?;
        }
        met.iter().for_each(|&place| self.met[place as usize] = true);
        Ok(())
    }

    /// Adds what [`finish`](Self::finish) of another one gave, where the groups come by.
    pub(super) fn add_sums(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let (groups, sums) = columns.split_at(columns.len() - self.targets.len());
        let Some(known) = &mut self.groups else {
            return internal_err!("SparseMatMul: sums are put together by their groups");
        };
        known.intern(groups, &mut self.places)?;
        for (target, sums) in self.targets.iter_mut().zip(sums) {
            target.resize(known.count());
            target.add(sums, &self.places, &self.met)?;
        }
        self.met.resize(known.count(), true);
        Ok(())
    }

    /// Whether the sums can be put onto the disk: those for groups that lie still are as many as those.
    pub(super) fn can_spill(&self) -> bool {
        self.groups.is_some()
    }

    fn met_places(&self) -> Vec<u32> {
        (0..self.met.len() as u32).filter(|place| self.met[*place as usize]).collect()
    }

    /// The groups that were met and their sums: left groups, right groups, products.
    pub(super) fn finish(self) -> Result<Vec<ArrayRef>> {
        let places = self.met_places();
        let mut columns = match self.groups {
            // All that were numbered were met.
            Some(groups) => groups.finish()?,
            None => self.resting.groups.take(&places)?,
        };
        for target in self.targets {
            columns.push(target.take(&places)?);
        }
        Ok(columns)
    }
}
