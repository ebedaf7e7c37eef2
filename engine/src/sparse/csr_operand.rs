//! [`CsrOperand`]: one operand of a product as a CSR matrix.

use datafusion::arrow::array::ArrayRef;
use datafusion::error::{DataFusionError, Result};

use super::group_dictionary::{EncodedGroups, GroupDictionary};
use super::ids::checked_id;
use super::input::CooInput;
use super::kernels::{Csr, CsrPermutation};
use super::key_dictionary::KeyDictionary;
use super::spec::SparseMatMulSpec;

/// Which ids are the rows of the matrix. The others are its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Orientation {
    GroupMajor,
    KeyMajor,
}

/// The rows of an input (COO) as the entries of a CSR matrix.
pub(super) struct CsrOperand<'a> {
    pub(super) input: &'a CooInput,
    pub(super) matrix: Csr,
    /// From input rows to entries of the matrix.
    pub(super) permutation: CsrPermutation,
    pub(super) groups: GroupDictionary,
    /// The group of each row of the mask, `NULL_ID` for groups that the input does not have.
    pub(super) mask_ids: Vec<u32>,
}

impl<'a> CsrOperand<'a> {
    /// Encodes keys and groups as ids and converts the entries from COO to CSR. The input has `num_keys` key columns,
    /// then `num_groups` group columns, then values. Rows whose key is not in `keys` are left out. `mask` are the
    /// columns of a mask for these groups, none without a mask.
    ///
    /// # Errors
    /// When rows or groups do not fit 32-bit ids, or a column cannot be encoded.
    pub(super) fn new(
        input: &'a CooInput,
        num_keys: usize,
        num_groups: usize,
        keys: &KeyDictionary,
        orientation: Orientation,
        mask: &[Vec<ArrayRef>],
    ) -> Result<Self> {
        checked_id(input.num_rows, "rows of one table")?;
        let columns = num_keys..num_keys + num_groups;
        let (groups, key_ids) = rayon::join(
            || {
                let fields = input.fields(columns.clone());
                GroupDictionary::encode(input.columns(columns.clone()), fields, input.num_rows, mask)
            },
            || {
                let mut key_ids = Vec::with_capacity(input.num_rows);
                for arrays in input.batches(0..num_keys) {
                    keys.encode(&arrays, &mut key_ids)?;
                }
                Ok::<_, DataFusionError>(key_ids)
            },
        );
        let (EncodedGroups { groups, ids: group_ids, mask_ids }, key_ids) = (groups?, key_ids?);
        let (matrix, permutation) = match orientation {
            Orientation::GroupMajor => Csr::new(&group_ids, &key_ids, groups.num_ids()),
            Orientation::KeyMajor => Csr::new(&key_ids, &group_ids, keys.num_ids()),
        };
        Ok(Self { input, matrix, permutation, groups, mask_ids })
    }
}

/// Ids per row: between 1, when all ids occur, and the limit of [`dense_range`](super::integer_code::dense_range).
const ASSUMED_SLOTS_PER_ROW: usize = 2;

/// An estimate of the bytes that building a CSR operand of `rows` rows takes, in addition to the input.
pub(super) fn csr_build_bytes(spec: &SparseMatMulSpec, rows: usize) -> usize {
    let values: usize = spec.aggregates.iter().map(|aggregate| aggregate.value_size()).sum();
    Csr::estimate_bytes(ASSUMED_SLOTS_PER_ROW * rows, rows) + rows * (2 * size_of::<u32>() + values)
}

/// The same for a mask of `rows` rows, on the groups of a left operand of `left_rows` rows.
pub(super) fn mask_build_bytes(left_rows: usize, rows: usize) -> usize {
    Csr::estimate_bytes(ASSUMED_SLOTS_PER_ROW * left_rows, rows) + rows * 2 * size_of::<u32>()
}
