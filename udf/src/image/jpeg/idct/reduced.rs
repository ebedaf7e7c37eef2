//! [`idct_4x4`], [`idct_2x2`] and [`idct_1x1`] compute a block at reduced scale: the means of 2 x 2, 4 x 4 and 8 x 8 samples of the inverse
//! DCT, without computing these. The method and the rounding are those of libjpeg's `jidctred.c` and of the vector code that
//! libjpeg-turbo has for it: the transform of Loeffler, Ligtenberg and Moschytz, of which the terms that vanish in a mean are dropped.

use std::num::Wrapping;

use multiversion::multiversion;

use super::{CONST_BITS, PASS1_BITS, dc_sample, dequantize, saturated, sixteen_bits, to_sample, write_rows};

/// The rows of coefficients that have a part in the mean of two samples.
const ROWS_OF_4: [usize; 7] = [0, 1, 2, 3, 5, 6, 7];
/// The rows of coefficients that have a part in the mean of four samples.
const ROWS_OF_2: [usize; 5] = [0, 1, 3, 5, 7];

/// Computes 4 x 4 samples, each the mean of four, from the quantized coefficients of a block, and writes them to `samples`, whose rows are
/// `stride` apart.
///
/// `has_ac` is false if all coefficients but the first are zero.
pub(in crate::image::jpeg) fn idct_4x4(
    coefficients: &[i16; 64],
    table: &[u16; 64],
    has_ac: bool,
    samples: &mut [u8],
    stride: usize,
) {
    let rows = if has_ac { transform_4x4(coefficients, table) } else { [[dc_sample(coefficients[0], table[0]); 4]; 4] };
    write_rows(&rows, samples, stride);
}

/// Computes 2 x 2 samples, each the mean of sixteen, like [`idct_4x4`].
pub(in crate::image::jpeg) fn idct_2x2(
    coefficients: &[i16; 64],
    table: &[u16; 64],
    has_ac: bool,
    samples: &mut [u8],
    stride: usize,
) {
    let rows = if has_ac {
        transform_2x2(coefficients, table)
    } else {
        const BITS: usize = CONST_BITS + 2;
        const SHIFT: usize = BITS + PASS1_BITS + 3;
        let value = dequantize(coefficients[0], table[0]) << (BITS + PASS1_BITS);
        [[to_sample(((value + Wrapping(1 << (SHIFT - 1))) >> SHIFT).0); 2]; 2]
    };
    write_rows(&rows, samples, stride);
}

/// Computes the mean of a block from its first coefficient.
pub(in crate::image::jpeg) fn idct_1x1(coefficient: i16, factor: u16) -> u8 {
    let mean = (i32::from(coefficient) * i32::from(factor.cast_signed()) + 4) >> 3;
    // libjpeg has a table of samples, whose index has ten bits.
    const UNUSED_BITS: u32 = 32 - 10;
    to_sample((mean << UNUSED_BITS) >> UNUSED_BITS)
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn transform_4x4(coefficients: &[i16; 64], table: &[u16; 64]) -> [[u8; 4]; 4] {
    let block = dequantized(coefficients, table, ROWS_OF_4);
    let mut rows = [[Wrapping(0); 8]; 4];
    if has_first_row_only(coefficients, ROWS_OF_4) {
        rows = [block[0].map(|value| sixteen_bits(value << PASS1_BITS)); 4];
    } else {
        means_of_2::<8, { CONST_BITS - PASS1_BITS + 1 }>(&block, &mut rows);
        for value in rows.as_flattened_mut() {
            *value = saturated(*value);
        }
    }
    let mut columns = [[Wrapping(0); 4]; 4];
    means_of_2::<4, { CONST_BITS + PASS1_BITS + 4 }>(&transposed(&rows), &mut columns);
    samples(&columns)
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn transform_2x2(coefficients: &[i16; 64], table: &[u16; 64]) -> [[u8; 2]; 2] {
    let block = dequantized(coefficients, table, ROWS_OF_2);
    let mut rows = [[Wrapping(0); 8]; 2];
    means_of_4::<8, { CONST_BITS - PASS1_BITS + 2 }>(&block, &mut rows);
    for row in &mut rows {
        // The vector code keeps the first value in 32 bits.
        let first = row[0];
        *row = row.map(saturated);
        row[0] = first;
    }
    let mut columns = [[Wrapping(0); 2]; 2];
    means_of_4::<2, { CONST_BITS + PASS1_BITS + 5 }>(&transposed(&rows), &mut columns);
    samples(&columns)
}

/// The coefficients of some rows; the others are zero.
#[inline(always)]
fn dequantized<const N: usize>(
    coefficients: &[i16; 64],
    table: &[u16; 64],
    needed_rows: [usize; N],
) -> [[Wrapping<i32>; 8]; 8] {
    let (coefficients, factors) = (coefficients.as_chunks::<8>().0, table.as_chunks::<8>().0);
    let mut block = [[Wrapping(0); 8]; 8];
    for row in needed_rows {
        for (value, (coefficient, factor)) in block[row].iter_mut().zip(coefficients[row].iter().zip(&factors[row])) {
            *value = dequantize(*coefficient, *factor);
        }
    }
    block
}

/// Whether all coefficients of the needed rows but the first one are zero.
#[inline(always)]
fn has_first_row_only<const N: usize>(coefficients: &[i16; 64], needed_rows: [usize; N]) -> bool {
    let rows = coefficients.as_chunks::<8>().0;
    let mut set_bits = [0_i16; 8];
    for row in needed_rows.into_iter().skip(1) {
        for (set_bits, coefficient) in set_bits.iter_mut().zip(&rows[row]) {
            *set_bits |= coefficient;
        }
    }
    set_bits == [0; 8]
}

/// The one-dimensional transform of each column: the means of two values each, multiplied by `1 << (CONST_BITS + 1)`, divided by
/// `1 << SHIFT`, rounded. The compiler vectorizes it over the columns.
#[inline(always)]
fn means_of_2<const N: usize, const SHIFT: usize>(
    block: &[[Wrapping<i32>; N]; 8],
    means: &mut [[Wrapping<i32>; N]; 4],
) {
    let half: Wrapping<i32> = Wrapping(1 << (SHIFT - 1));
    for column in 0..N {
        let [input0, input1, input2, input3, _, input5, input6, input7]: [Wrapping<i32>; 8] =
            std::array::from_fn(|row| block[row][column]);
        let sum = input0 << (CONST_BITS + 1);
        let difference = input2 * Wrapping(15137) - input6 * Wrapping(6270);
        let (even0, even1) = (sum + difference, sum - difference);
        let odd0 =
            input1 * Wrapping(20995) + input3 * Wrapping(7373) - input5 * Wrapping(4926) - input7 * Wrapping(4176);
        let odd1 =
            input1 * Wrapping(8697) - input3 * Wrapping(17799) + input5 * Wrapping(11893) - input7 * Wrapping(1730);
        means[0][column] = (even0 + odd0 + half) >> SHIFT;
        means[1][column] = (even1 + odd1 + half) >> SHIFT;
        means[2][column] = (even1 - odd1 + half) >> SHIFT;
        means[3][column] = (even0 - odd0 + half) >> SHIFT;
    }
}

/// The same for the means of four values each, multiplied by `1 << (CONST_BITS + 2)`.
#[inline(always)]
fn means_of_4<const N: usize, const SHIFT: usize>(
    block: &[[Wrapping<i32>; N]; 8],
    means: &mut [[Wrapping<i32>; N]; 2],
) {
    let half: Wrapping<i32> = Wrapping(1 << (SHIFT - 1));
    for column in 0..N {
        let [input0, input1, _, input3, _, input5, _, input7]: [Wrapping<i32>; 8] =
            std::array::from_fn(|row| block[row][column]);
        let even = input0 << (CONST_BITS + 2);
        let odd =
            input1 * Wrapping(29692) - input3 * Wrapping(10426) + input5 * Wrapping(6967) - input7 * Wrapping(5906);
        means[0][column] = (even + odd + half) >> SHIFT;
        means[1][column] = (even - odd + half) >> SHIFT;
    }
}

#[inline(always)]
fn transposed<const N: usize>(rows: &[[Wrapping<i32>; 8]; N]) -> [[Wrapping<i32>; N]; 8] {
    std::array::from_fn(|column| std::array::from_fn(|row| rows[row][column]))
}

/// The samples of a transposed block.
#[inline(always)]
fn samples<const N: usize>(columns: &[[Wrapping<i32>; N]; N]) -> [[u8; N]; N] {
    std::array::from_fn(|y| std::array::from_fn(|x| to_sample(columns[x][y].0)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::reference;
    use super::*;

    type Transform = fn(&[i16; 64], &[u16; 64], bool, &mut [u8], usize);

    /// The means of squares of the whole block, in floating point.
    fn reference_means(coefficients: &[i16; 64], table: &[u16; 64], side: usize) -> Vec<f64> {
        let (block, square) = (reference(coefficients, table), 8 / side);
        let mean = |y: usize, x: usize| {
            let sample = |at: usize| block[(y * square + at / square) * 8 + x * square + at % square];
            (0..square * square).map(sample).sum::<f64>() / (square * square) as f64
        };
        (0..side * side).map(|at| mean(at / side, at % side)).collect()
    }

    fn block(seed: usize) -> [i16; 64] {
        std::array::from_fn(|index| ((seed * 7919 + index * 104_729) % 41) as i16 - 20 * i16::from(index > 0))
    }

    #[test]
    fn samples_are_means_of_the_definition() {
        let table: [u16; 64] = std::array::from_fn(|index| 1 + index as u16 / 4);
        for seed in 0..50 {
            let coefficients = block(seed);
            for (side, transform) in [(4, idct_4x4 as Transform), (2, idct_2x2 as Transform)] {
                let mut samples = vec![0; side * side];
                transform(&coefficients, &table, true, &mut samples, side);
                for (sample, expected) in samples.iter().zip(reference_means(&coefficients, &table, side)) {
                    let difference = (f64::from(*sample) - expected.clamp(0.0, 255.0)).abs();
                    assert!(difference < 0.6, "{sample}, not {expected}, of {side} x {side}");
                }
            }
            let expected = reference_means(&coefficients, &table, 1)[0];
            let sample = f64::from(idct_1x1(coefficients[0], table[0]));
            // Half a level is rounded up; the mean has errors of floating point.
            assert!((sample - expected).abs() < 0.500_001, "{sample}, not {expected}");
        }
    }

    #[test]
    fn a_block_of_one_value_needs_no_transform() {
        for value in [-2000, -513, -1, 0, 3, 4, 5, 77, 1023, 8000, i16::MAX] {
            let mut coefficients = [0; 64];
            coefficients[0] = value;
            for (side, transform) in [(4, idct_4x4 as Transform), (2, idct_2x2 as Transform)] {
                let (mut short, mut long) = (vec![0; side * side], vec![1; side * side]);
                transform(&coefficients, &[2; 64], false, &mut short, side);
                transform(&coefficients, &[2; 64], true, &mut long, side);
                assert_eq!(short, long, "{value}");
            }
        }
    }

    /// The expected samples are those of libjpeg-turbo 3.2, for files of one block.
    #[test]
    fn values_beyond_all_ranges_are_those_of_libjpeg_turbo() {
        let cases = [
            (
                0_usize,
                70_u16,
                [0_u8, 0, 0, 255, 0, 255, 0, 0, 255, 57, 255, 159, 255, 255, 255, 0],
                [255_u8, 0, 0, 0],
                255_u8,
            ),
            (0, 200, [0, 0, 255, 0, 0, 0, 0, 0, 255, 255, 0, 255, 0, 0, 245, 0], [0, 8, 0, 0], 153),
            (3, 30, [255, 255, 255, 255, 0, 255, 223, 255, 255, 0, 255, 151, 255, 0, 0, 0], [0; 4], 0),
        ];
        for (seed, factor, expected_4x4, expected_2x2, expected_1x1) in cases {
            let coefficients: [i16; 64] =
                std::array::from_fn(|index| ((index * 104_729 + seed * 7919) % 2047) as i16 - 1023);
            let table = [factor; 64];
            let (mut four, mut two) = ([0; 16], [0; 4]);
            idct_4x4(&coefficients, &table, true, &mut four, 4);
            idct_2x2(&coefficients, &table, true, &mut two, 2);
            assert_eq!((four, two), (expected_4x4, expected_2x2), "seed {seed}, factor {factor}");
            assert_eq!(idct_1x1(coefficients[0], factor), expected_1x1, "seed {seed}, factor {factor}");
        }
    }
}
