//! SpMV and SpMM on the GPU, compared with a direct product in 64-bit floats.

use std::error::Error;
use std::sync::Arc;

use fastrand::Rng;
use libtest_mimic::Trial;
use ocelli_gpu::{Device, SparseMatrix};

use super::{adapter, device};
use crate::trial;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("gpu::sparse::rows_of_any_length", rows_of_any_length),
        trial("gpu::sparse::a_very_long_row", a_very_long_row),
        trial("gpu::sparse::more_workgroups_than_fit_along_x", more_workgroups_than_fit_along_x),
        trial("gpu::sparse::rounded_values", rounded_values),
        trial("gpu::sparse::small_matrices", small_matrices),
        trial("gpu::sparse::empty_matrices", empty_matrices),
        trial("gpu::sparse::invalid_inputs_are_named", invalid_inputs_are_named),
        trial("gpu::sparse::a_lost_device_is_an_error", a_lost_device_is_an_error),
    ]
}

/// A CSR matrix on the host.
struct CsrMatrix {
    row_offsets: Vec<u32>,
    column_indices: Vec<u32>,
    values: Vec<f32>,
    num_cols: usize,
}

/// The distribution of matrix values.
#[derive(Clone, Copy, PartialEq)]
enum Values {
    /// Small integers. Sums of up to 2^24 / 64 products are exact in 32-bit floats, in every order.
    Integers,
    /// Between -1 and 1. No product is subnormal, which a device may flush to 0.
    Fractions,
}

impl Values {
    fn random(self, random: &mut Rng) -> f32 {
        match self {
            Self::Integers => random.i32(-8..9) as f32,
            Self::Fractions => random.f32() * 2.0 - 1.0,
        }
    }
}

impl CsrMatrix {
    /// A matrix with these row lengths. Column indices are unsorted and may repeat.
    fn random(random: &mut Rng, lengths: &[usize], num_cols: usize, distribution: Values) -> Self {
        let mut row_offsets = vec![0];
        let mut end = 0;
        for length in lengths {
            end += length;
            row_offsets.push(end as u32);
        }
        Self {
            row_offsets,
            column_indices: (0..end).map(|_| random.usize(0..num_cols) as u32).collect(),
            values: (0..end).map(|_| distribution.random(random)).collect(),
            num_cols,
        }
    }

    fn upload(&self, device: Arc<Device>) -> Result<SparseMatrix, ocelli_gpu::Error> {
        SparseMatrix::new(device, &self.row_offsets, &self.column_indices, &self.values, self.num_cols)
    }

    /// For each element of the product: its value, the number of terms, and the sum of their magnitudes.
    fn reference_multiply(&self, dense: &[f32], columns: usize) -> Vec<(f64, usize, f64)> {
        let mut results = Vec::new();
        for row in self.row_offsets.windows(2) {
            let entries = row[0] as usize..row[1] as usize;
            for column in 0..columns {
                let (mut sum, mut magnitude) = (0.0, 0.0);
                for entry in entries.clone() {
                    let other = dense[self.column_indices[entry] as usize * columns + column];
                    let product = f64::from(self.values[entry]) * f64::from(other);
                    sum += product;
                    magnitude += product.abs();
                }
                results.push((sum, entries.len(), magnitude));
            }
        }
        results
    }

    /// Compares products with random dense matrices of each of these column counts.
    fn assert_products(
        &self,
        random: &mut Rng,
        column_counts: &[usize],
        distribution: Values,
    ) -> Result<(), Box<dyn Error>> {
        let uploaded = self.upload(device()?)?;
        let rows = self.row_offsets.len() - 1;
        assert_eq!(uploaded.shape(), [rows, self.num_cols]);
        for &columns in column_counts {
            let dense: Vec<f32> = (0..self.num_cols * columns).map(|_| distribution.random(random)).collect();
            let ours = uploaded.multiply(&dense, columns)?;
            let expected = self.reference_multiply(&dense, columns);
            assert_eq!(ours.len(), expected.len());
            for (index, (&ours, (expected, terms, magnitude))) in ours.iter().zip(expected).enumerate() {
                // WGSL does not fix the rounding mode: the relative error of an operation is below u = 2^-23. In a sum of n
                // products, each takes part in one multiplication and at most n - 1 additions, in any order, so its relative
                // error is at most (1 + u)^n - 1 <= nu / (1 - nu): Higham, Accuracy and Stability of Numerical Algorithms, 3.1.
                // The error of the 64-bit reference is 2^-30 of that, less than the slack of devices that round to nearest.
                let nu = terms as f64 * f64::from(f32::EPSILON);
                let tolerance = if distribution == Values::Integers { 0.0 } else { nu / (1.0 - nu) * magnitude };
                let error = (f64::from(ours) - expected).abs();
                assert!(error <= tolerance, "{index} of {rows} x {columns}: {ours} is {error} off, {terms} terms");
            }
        }
        Ok(())
    }
}

/// Random row lengths up to `longest`, a quarter of them 0.
fn row_lengths(random: &mut Rng, rows: usize, longest: usize) -> Vec<usize> {
    (0..rows).map(|_| if random.u8(0..4) == 0 { 0 } else { random.usize(0..longest + 1) }).collect()
}

fn rows_of_any_length() -> Result<(), Box<dyn Error>> {
    let mut random = Rng::with_seed(1);
    // The mean row length is three eighths of the longest: covers every number of lanes per row, from 1 to 64.
    for (longest, num_cols) in [(1, 50), (3, 1), (8, 3), (12, 200), (28, 64), (60, 10), (120, 300), (300, 1000)] {
        let rows = random.usize(200..300);
        let lengths = row_lengths(&mut random, rows, longest);
        let matrix = CsrMatrix::random(&mut random, &lengths, num_cols, Values::Integers);
        matrix.assert_products(&mut random, &[1, 2, 3, 17, 64, 65], Values::Integers)?;
    }
    Ok(())
}

fn a_very_long_row() -> Result<(), Box<dyn Error>> {
    let mut random = Rng::with_seed(2);
    // Among many short rows, with two lanes per row, and among few, with one workgroup per row.
    for rows in [60_000, 5] {
        let mut lengths = vec![1; rows];
        lengths[rows / 2] = 40_000;
        lengths[rows - 1] = 0;
        CsrMatrix::random(&mut random, &lengths, 1000, Values::Integers).assert_products(
            &mut random,
            &[1, 3],
            Values::Integers,
        )?;
    }
    Ok(())
}

fn more_workgroups_than_fit_along_x() -> Result<(), Box<dyn Error>> {
    let mut random = Rng::with_seed(3);
    // SpMV with a workgroup per row, and SpMM with one per 64 outputs: both exceed 65,535 workgroups.
    CsrMatrix::random(&mut random, &[33; 65_700], 40, Values::Integers).assert_products(
        &mut random,
        &[1],
        Values::Integers,
    )?;
    CsrMatrix::random(&mut random, &[1; 70_000], 40, Values::Integers).assert_products(
        &mut random,
        &[61],
        Values::Integers,
    )
}

fn rounded_values() -> Result<(), Box<dyn Error>> {
    let mut random = Rng::with_seed(4);
    for longest in [1, 10, 100, 300] {
        let lengths = row_lengths(&mut random, 150, longest);
        let matrix = CsrMatrix::random(&mut random, &lengths, 77, Values::Fractions);
        matrix.assert_products(&mut random, &[1, 9], Values::Fractions)?;
    }
    Ok(())
}

fn small_matrices() -> Result<(), Box<dyn Error>> {
    let matrix = SparseMatrix::new(device()?, &[0, 1, 3], &[1, 0, 2], &[2.0, 1.0, 3.0], 3)?;
    assert_eq!(matrix.multiply(&[1.0, 10.0, 100.0], 1)?, [20.0, 301.0]);
    assert_eq!(matrix.multiply(&[1.0, -1.0, 10.0, -10.0, 100.0, -100.0], 2)?, [20.0, -20.0, 301.0, -301.0]);
    let one = SparseMatrix::new(device()?, &[0, 1], &[0], &[3.0], 1)?;
    assert_eq!(one.multiply(&[0.5], 1)?, [1.5]);
    assert_eq!(one.multiply(&[0.5, -2.0], 2)?, [1.5, -6.0]);
    // Duplicate entries are summed, and absent entries are not multiplied.
    let duplicates = SparseMatrix::new(device()?, &[0, 2], &[1, 1], &[3.0, 4.0], 3)?;
    assert_eq!(duplicates.multiply(&[f32::INFINITY, 2.0, f32::NAN], 1)?, [14.0]);
    Ok(())
}

fn empty_matrices() -> Result<(), Box<dyn Error>> {
    let no_entries = SparseMatrix::new(device()?, &[0; 101], &[], &[], 7)?;
    assert_eq!(no_entries.multiply(&[1.0; 7], 1)?, [0.0; 100]);
    assert_eq!(no_entries.multiply(&[1.0; 21], 3)?, [0.0; 300]);
    assert_eq!(no_entries.multiply(&[], 0)?, [0.0; 0]);
    let no_columns = SparseMatrix::new(device()?, &[0, 0, 0], &[], &[], 0)?;
    assert_eq!(no_columns.shape(), [2, 0]);
    assert_eq!(no_columns.multiply(&[], 1)?, [0.0; 2]);
    assert_eq!(no_columns.multiply(&[], 5)?, [0.0; 10]);
    // The dense operand is empty, but the output exceeds the buffer limit.
    for columns in [1 << 31, usize::MAX] {
        let error = no_columns.multiply(&[], columns).expect_err("it is too large");
        assert!(error.is_memory_limit(), "{error}");
    }
    Ok(())
}

fn invalid_inputs_are_named() -> Result<(), Box<dyn Error>> {
    let device = device()?;
    let new_error = |row_offsets: &[u32], column_indices: &[u32], values: &[f32]| {
        let result = SparseMatrix::new(Arc::clone(&device), row_offsets, column_indices, values, 3);
        result.expect_err("it is invalid").to_string()
    };
    let no_rows = |actual| format!("a CSR matrix needs at least two row offsets, one more than rows; got {actual}");
    assert_eq!(new_error(&[], &[], &[]), no_rows(0));
    assert_eq!(new_error(&[0], &[], &[]), no_rows(1));
    assert_eq!(new_error(&[1, 2], &[0, 1], &[1.0; 2]), "row offsets must start at 0, got 1");
    assert_eq!(
        new_error(&[0, 1, 3, 2, 3], &[0, 1, 2], &[1.0; 3]),
        "row offsets must not decrease: row 2 begins at 3 and ends at 2"
    );
    let entries = "row offsets define 2 entries, got";
    assert_eq!(new_error(&[0, 1, 2], &[0], &[1.0; 2]), format!("{entries} 1 column indices and 2 values"));
    assert_eq!(new_error(&[0, 1, 2], &[0, 1], &[1.0; 3]), format!("{entries} 2 column indices and 3 values"));
    assert_eq!(new_error(&[0, 1, 2], &[0, 1, 2], &[1.0; 3]), format!("{entries} 3 column indices and 3 values"));
    // Row 1 is empty and shares its offset with row 2.
    assert_eq!(
        new_error(&[0, 1, 1, 3], &[0, 3, 2], &[1.0; 3]),
        "row 2 has column index 3, but the matrix has 3 columns"
    );
    let matrix = SparseMatrix::new(Arc::clone(&device), &[0, 1, 2], &[0, 2], &[1.0; 2], 3)?;
    for (actual, columns, expected) in [(2, 1, 3), (4, 1, 3), (3, 2, 6), (1, 0, 0)] {
        let error = matrix.multiply(&vec![1.0; actual], columns).expect_err("it is invalid").to_string();
        assert_eq!(
            error,
            format!("a 2 x 3 matrix times {columns} columns needs {expected} dense elements, got {actual}")
        );
    }
    Ok(())
}

fn a_lost_device_is_an_error() -> Result<(), Box<dyn Error>> {
    let alone = Arc::new(Device::open(adapter().as_deref())?);
    let matrix = SparseMatrix::new(Arc::clone(&alone), &[0, 1], &[0], &[3.0], 1)?;
    alone.destroy();
    let message = "the GPU device was lost: it was destroyed";
    assert_eq!(matrix.multiply(&[1.0], 1).expect_err("the device is lost").to_string(), message);
    let result = SparseMatrix::new(alone, &[0, 1], &[0], &[3.0], 1);
    assert_eq!(result.expect_err("the device is lost").to_string(), message);
    Ok(())
}
