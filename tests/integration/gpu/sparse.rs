//! Products of sparse matrices on the GPU, against sums in 64 bits that are added up as they are defined.

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
        trial("gpu::sparse::more_workgroups_than_lie_in_a_line", more_workgroups_than_lie_in_a_line),
        trial("gpu::sparse::numbers_that_are_rounded", numbers_that_are_rounded),
        trial("gpu::sparse::small_matrices", small_matrices),
        trial("gpu::sparse::what_is_empty", what_is_empty),
        trial("gpu::sparse::wrong_inputs_are_named", wrong_inputs_are_named),
        trial("gpu::sparse::a_lost_device_says_so", a_lost_device_says_so),
    ]
}

/// A matrix as it is given to the device.
struct Matrix {
    row_offsets: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<f32>,
    width: usize,
}

/// What matrices are filled with.
#[derive(Clone, Copy, PartialEq)]
enum Numbers {
    /// Small whole numbers. Sums of up to 2^24 / 64 of their products are numbers that 32 bits have: exact, in every order.
    Whole,
    /// Between -1 and 1. No product of them is so small that a device may take it for 0.
    Fractions,
}

impl Numbers {
    fn random(self, random: &mut Rng) -> f32 {
        match self {
            Self::Whole => random.i32(-8..9) as f32,
            Self::Fractions => random.f32() * 2.0 - 1.0,
        }
    }
}

impl Matrix {
    /// Rows of these lengths. Their columns come in no order, and some of them twice.
    fn random(random: &mut Rng, lengths: &[usize], width: usize, numbers: Numbers) -> Self {
        let mut row_offsets = vec![0];
        let mut end = 0;
        for length in lengths {
            end += length;
            row_offsets.push(end as u32);
        }
        Self {
            row_offsets,
            columns: (0..end).map(|_| random.usize(0..width) as u32).collect(),
            values: (0..end).map(|_| numbers.random(random)).collect(),
            width,
        }
    }

    fn on(&self, device: Arc<Device>) -> Result<SparseMatrix, ocelli_gpu::Error> {
        SparseMatrix::new(device, &self.row_offsets, &self.columns, &self.values, self.width)
    }

    /// Each number of the product, how many products it is the sum of, and what the sizes of these add up to.
    fn reference_multiply(&self, dense: &[f32], columns: usize) -> Vec<(f64, usize, f64)> {
        let mut results = Vec::new();
        for row in self.row_offsets.windows(2) {
            let entries = row[0] as usize..row[1] as usize;
            for column in 0..columns {
                let (mut sum, mut sizes) = (0.0, 0.0);
                for entry in entries.clone() {
                    let other = dense[self.columns[entry] as usize * columns + column];
                    let product = f64::from(self.values[entry]) * f64::from(other);
                    sum += product;
                    sizes += product.abs();
                }
                results.push((sum, entries.len(), sizes));
            }
        }
        results
    }

    /// Compares its products with random matrices of so many columns.
    fn agrees(&self, random: &mut Rng, all_columns: &[usize], numbers: Numbers) -> Result<(), Box<dyn Error>> {
        let there = self.on(device()?)?;
        let rows = self.row_offsets.len() - 1;
        assert_eq!(there.shape(), [rows, self.width]);
        for &columns in all_columns {
            let dense: Vec<f32> = (0..self.width * columns).map(|_| numbers.random(random)).collect();
            let ours = there.multiply(&dense, columns)?;
            let expected = self.reference_multiply(&dense, columns);
            assert_eq!(ours.len(), expected.len());
            for (place, (&ours, (expected, products, sizes))) in ours.iter().zip(expected).enumerate() {
                // WGSL may round either way: a step is off by less than u = 2^-23 of its result. In a sum of n products, each
                // goes through one multiplication and at most n - 1 additions, whatever their order, so it is off by up to
                // (1 + u)^n - 1 <= nu / (1 - nu) of its size: Higham, Accuracy and Stability of Numerical Algorithms, 3.1. What
                // 64 bits lose is 2^-30 of that, far less than devices that round to the nearest leave free.
                let nu = products as f64 * f64::from(f32::EPSILON);
                let allowed = if numbers == Numbers::Whole { 0.0 } else { nu / (1.0 - nu) * sizes };
                let off = (f64::from(ours) - expected).abs();
                assert!(off <= allowed, "{place} of {rows} x {columns}: {ours} is {off} off, {products} products");
            }
        }
        Ok(())
    }
}

/// Lengths of rows, a quarter of them empty.
fn lengths(random: &mut Rng, rows: usize, longest: usize) -> Vec<usize> {
    (0..rows).map(|_| if random.u8(0..4) == 0 { 0 } else { random.usize(0..longest + 1) }).collect()
}

fn rows_of_any_length() -> Result<(), Box<dyn Error>> {
    let mut random = Rng::with_seed(1);
    // The mean row has three eighths of the longest: every number of threads a row comes up, from 1 to 64.
    for (longest, width) in [(1, 50), (3, 1), (8, 3), (12, 200), (28, 64), (60, 10), (120, 300), (300, 1000)] {
        let rows = random.usize(200..300);
        let lengths = lengths(&mut random, rows, longest);
        let matrix = Matrix::random(&mut random, &lengths, width, Numbers::Whole);
        matrix.agrees(&mut random, &[1, 2, 3, 17, 64, 65], Numbers::Whole)?;
    }
    Ok(())
}

fn a_very_long_row() -> Result<(), Box<dyn Error>> {
    let mut random = Rng::with_seed(2);
    // Among many short ones, of two threads each, and among few, of a workgroup each.
    for rows in [60_000, 5] {
        let mut lengths = vec![1; rows];
        lengths[rows / 2] = 40_000;
        lengths[rows - 1] = 0;
        Matrix::random(&mut random, &lengths, 1000, Numbers::Whole).agrees(&mut random, &[1, 3], Numbers::Whole)?;
    }
    Ok(())
}

fn more_workgroups_than_lie_in_a_line() -> Result<(), Box<dyn Error>> {
    let mut random = Rng::with_seed(3);
    // A workgroup a row, and one for every 64 results: both are more than 65,535.
    Matrix::random(&mut random, &[33; 65_700], 40, Numbers::Whole).agrees(&mut random, &[1], Numbers::Whole)?;
    Matrix::random(&mut random, &[1; 70_000], 40, Numbers::Whole).agrees(&mut random, &[61], Numbers::Whole)
}

fn numbers_that_are_rounded() -> Result<(), Box<dyn Error>> {
    let mut random = Rng::with_seed(4);
    for longest in [1, 10, 100, 300] {
        let lengths = lengths(&mut random, 150, longest);
        let matrix = Matrix::random(&mut random, &lengths, 77, Numbers::Fractions);
        matrix.agrees(&mut random, &[1, 9], Numbers::Fractions)?;
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
    // One place may have several entries, and what has none is not multiplied.
    let twice = SparseMatrix::new(device()?, &[0, 2], &[1, 1], &[3.0, 4.0], 3)?;
    assert_eq!(twice.multiply(&[f32::INFINITY, 2.0, f32::NAN], 1)?, [14.0]);
    Ok(())
}

fn what_is_empty() -> Result<(), Box<dyn Error>> {
    let no_entries = SparseMatrix::new(device()?, &[0; 101], &[], &[], 7)?;
    assert_eq!(no_entries.multiply(&[1.0; 7], 1)?, [0.0; 100]);
    assert_eq!(no_entries.multiply(&[1.0; 21], 3)?, [0.0; 300]);
    assert_eq!(no_entries.multiply(&[], 0)?, [0.0; 0]);
    let no_width = SparseMatrix::new(device()?, &[0, 0, 0], &[], &[], 0)?;
    assert_eq!(no_width.shape(), [2, 0]);
    assert_eq!(no_width.multiply(&[], 1)?, [0.0; 2]);
    assert_eq!(no_width.multiply(&[], 5)?, [0.0; 10]);
    // It takes no numbers, and gives more than there is room for.
    for columns in [1 << 31, usize::MAX] {
        let error = no_width.multiply(&[], columns).expect_err("that is too many");
        assert!(error.is_memory(), "{error}");
    }
    Ok(())
}

fn wrong_inputs_are_named() -> Result<(), Box<dyn Error>> {
    let device = device()?;
    let refused = |row_offsets: &[u32], columns: &[u32], values: &[f32]| {
        let made = SparseMatrix::new(Arc::clone(&device), row_offsets, columns, values, 3);
        made.expect_err("it is wrong").to_string()
    };
    let no_rows =
        |given| format!("a matrix has one row or more, and one more row offset than rows; got {given} row offsets");
    assert_eq!(refused(&[], &[], &[]), no_rows(0));
    assert_eq!(refused(&[0], &[], &[]), no_rows(1));
    assert_eq!(refused(&[1, 2], &[0, 1], &[1.0; 2]), "row 0 of the matrix begins at entry 1 instead of 0");
    assert_eq!(
        refused(&[0, 1, 3, 2, 3], &[0, 1, 2], &[1.0; 3]),
        "row 2 of the matrix ends before it begins: at entry 2, from entry 3"
    );
    let entries = "the rows of the matrix have 2 entries, got";
    assert_eq!(refused(&[0, 1, 2], &[0], &[1.0; 2]), format!("{entries} 1 columns and 2 values"));
    assert_eq!(refused(&[0, 1, 2], &[0, 1], &[1.0; 3]), format!("{entries} 2 columns and 3 values"));
    assert_eq!(refused(&[0, 1, 2], &[0, 1, 2], &[1.0; 3]), format!("{entries} 3 columns and 3 values"));
    // Row 1 is empty, and row 2 begins where it does.
    assert_eq!(
        refused(&[0, 1, 1, 3], &[0, 3, 2], &[1.0; 3]),
        "row 2 of the matrix has an entry in column 3, and its width is 3"
    );
    let matrix = SparseMatrix::new(Arc::clone(&device), &[0, 1, 2], &[0, 2], &[1.0; 2], 3)?;
    for (given, columns, wanted) in [(2, 1, 3), (4, 1, 3), (3, 2, 6), (1, 0, 0)] {
        let error = matrix.multiply(&vec![1.0; given], columns).expect_err("it is wrong").to_string();
        assert_eq!(error, format!("a matrix of 2 x 3 times {columns} columns takes {wanted} numbers, got {given}"));
    }
    Ok(())
}

fn a_lost_device_says_so() -> Result<(), Box<dyn Error>> {
    let alone = Arc::new(Device::open(adapter().as_deref())?);
    let matrix = SparseMatrix::new(Arc::clone(&alone), &[0, 1], &[0], &[3.0], 1)?;
    alone.destroy();
    let sentence = "the GPU was lost: it was destroyed";
    assert_eq!(matrix.multiply(&[1.0], 1).expect_err("it is gone").to_string(), sentence);
    let again = SparseMatrix::new(alone, &[0, 1], &[0], &[3.0], 1);
    assert_eq!(again.expect_err("it is gone").to_string(), sentence);
    Ok(())
}
