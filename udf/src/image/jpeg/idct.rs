//! [`idct`]: the inverse DCT of libjpeg's `jidctint.c`, with the 16-bit intermediates of libjpeg-turbo's vector code.

use std::num::Wrapping;

use multiversion::multiversion;

mod reduced;

pub(super) use reduced::{idct_1x1, idct_2x2, idct_4x4};

/// Rows of eight values. The coefficients of damaged files can exceed all ranges.
type Block = [[Wrapping<i32>; 8]; 8];

/// Fractional bits of the constants.
const CONST_BITS: usize = 13;
/// Fractional bits that the first pass keeps.
const PASS1_BITS: usize = 2;

/// Computes the samples of a block from its quantized coefficients, both row by row, and writes them to `samples`, whose rows are
/// `stride` apart.
///
/// `has_ac` is false if all coefficients but the first are zero.
pub(super) fn idct(coefficients: &[i16; 64], table: &[u16; 64], has_ac: bool, samples: &mut [u8], stride: usize) {
    let rows = if has_ac { transform(coefficients, table) } else { [[dc_sample(coefficients[0], table[0]); 8]; 8] };
    write_rows(&rows, samples, stride);
}

/// Copies the rows of a block to `samples`, whose rows are `stride` apart.
#[inline(always)]
fn write_rows<const N: usize>(rows: &[[u8; N]; N], samples: &mut [u8], stride: usize) {
    for (line, row) in samples.chunks_mut(stride).zip(rows) {
        if let Some(line) = line.first_chunk_mut::<N>() {
            *line = *row;
        }
    }
}

/// The sample of a block of one value.
fn dc_sample(coefficient: i16, factor: u16) -> u8 {
    const BITS: usize = PASS1_BITS + 3;
    let value = sixteen_bits(dequantize(coefficient, factor) << PASS1_BITS).0;
    to_sample((value + (1 << (BITS - 1))) >> BITS)
}

#[inline(always)]
fn dequantize(coefficient: i16, factor: u16) -> Wrapping<i32> {
    sixteen_bits(Wrapping(i32::from(coefficient) * i32::from(factor)))
}

/// The value that is kept in 16 bits.
#[inline(always)]
fn sixteen_bits(value: Wrapping<i32>) -> Wrapping<i32> {
    Wrapping(i32::from(value.0 as i16))
}

/// The value that is kept in 16 bits, or the nearest one.
#[inline(always)]
fn saturated(value: Wrapping<i32>) -> Wrapping<i32> {
    Wrapping(value.0.clamp(i32::from(i16::MIN), i32::from(i16::MAX)))
}

#[inline(always)]
fn to_sample(value: i32) -> u8 {
    value.saturating_add(128).clamp(0, 255) as u8
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn transform(coefficients: &[i16; 64], table: &[u16; 64]) -> [[u8; 8]; 8] {
    let mut block: Block = [[Wrapping(0); 8]; 8];
    for (value, (coefficient, factor)) in block.as_flattened_mut().iter_mut().zip(coefficients.iter().zip(table)) {
        *value = dequantize(*coefficient, *factor);
    }
    if coefficients.iter().skip(8).all(|coefficient| *coefficient == 0) {
        // Each column has one coefficient.
        let row = block[0].map(|value| sixteen_bits(value << PASS1_BITS));
        block = [row; 8];
    } else {
        columns::<{ CONST_BITS - PASS1_BITS }>(&mut block);
        for value in block.as_flattened_mut() {
            *value = saturated(*value);
        }
    }
    transpose(&mut block);
    columns::<{ CONST_BITS + PASS1_BITS + 3 }>(&mut block);
    transpose(&mut block);
    let mut samples = [[0_u8; 8]; 8];
    for (sample, value) in samples.as_flattened_mut().iter_mut().zip(block.as_flattened()) {
        *sample = to_sample(value.0);
    }
    samples
}

#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "the elements of two rows are exchanged")]
fn transpose(block: &mut Block) {
    for row in 0..8 {
        for column in 0..row {
            let value = block[row][column];
            block[row][column] = block[column][row];
            block[column][row] = value;
        }
    }
}

/// The one-dimensional transform of each column (Loeffler, Ligtenberg, Moschytz), divided by `1 << SHIFT`, rounded. The compiler
/// vectorizes it over the columns.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "a column crosses all rows")]
fn columns<const SHIFT: usize>(block: &mut Block) {
    let half: Wrapping<i32> = Wrapping(1 << (SHIFT - 1));
    for column in 0..8 {
        let [input0, input1, input2, input3, input4, input5, input6, input7]: [Wrapping<i32>; 8] =
            std::array::from_fn(|row| block[row][column]);
        let common = (input2 + input6) * Wrapping(4433);
        let even2 = common - input6 * Wrapping(15137);
        let even3 = common + input2 * Wrapping(6270);
        let even0 = sixteen_bits(input0 + input4) << CONST_BITS;
        let even1 = sixteen_bits(input0 - input4) << CONST_BITS;
        let even = [even0 + even3, even1 + even2, even1 - even2, even0 - even3];

        let sum3 = sixteen_bits(input7 + input3);
        let sum4 = sixteen_bits(input5 + input1);
        let common = (sum3 + sum4) * Wrapping(9633);
        let term1 = (input7 + input1) * Wrapping(-7373);
        let term2 = (input5 + input3) * Wrapping(-20995);
        let term3 = sum3 * Wrapping(-16069) + common;
        let term4 = sum4 * Wrapping(-3196) + common;
        let odd = [
            input1 * Wrapping(12299) + term1 + term4,
            input3 * Wrapping(25172) + term2 + term3,
            input5 * Wrapping(16819) + term2 + term4,
            input7 * Wrapping(2446) + term1 + term3,
        ];
        for (row, (even, odd)) in even.into_iter().zip(odd).enumerate() {
            block[row][column] = (even + odd + half) >> SHIFT;
            block[7 - row][column] = (even - odd + half) >> SHIFT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, in floating point.
    pub(super) fn reference(coefficients: &[i16; 64], table: &[u16; 64]) -> [f64; 64] {
        use std::f64::consts::{FRAC_1_SQRT_2, PI};
        let scale = |index: usize| if index == 0 { FRAC_1_SQRT_2 } else { 1.0 };
        let cosine = |at: usize, index: usize| ((2 * at + 1) as f64 * index as f64 * PI / 16.0).cos();
        std::array::from_fn(|at| {
            let (y, x) = (at / 8, at % 8);
            let term = |index: usize| {
                let (v, u) = (index / 8, index % 8);
                let value = f64::from(coefficients[index]) * f64::from(table[index]);
                scale(u) * scale(v) * value * cosine(x, u) * cosine(y, v)
            };
            128.0 + (0..64).map(term).sum::<f64>() / 4.0
        })
    }

    #[test]
    fn samples_are_those_of_the_definition() {
        let table: [u16; 64] = std::array::from_fn(|index| 1 + index as u16 / 4);
        for seed in 0..50_usize {
            let coefficients: [i16; 64] =
                std::array::from_fn(|index| ((seed * 7919 + index * 104_729) % 41) as i16 - 20 * i16::from(index > 0));
            let mut samples = [0; 64];
            idct(&coefficients, &table, true, &mut samples, 8);
            for (sample, expected) in samples.into_iter().zip(reference(&coefficients, &table)) {
                assert!((f64::from(sample) - expected.clamp(0.0, 255.0)).abs() < 0.6, "{sample}, not {expected}");
            }
        }
    }

    #[test]
    fn a_block_of_one_value_needs_no_transform() {
        for value in [-2000, -513, -1, 0, 3, 4, 5, 77, 1023, 8000, i16::MAX] {
            let mut coefficients = [0; 64];
            coefficients[0] = value;
            let (mut short, mut long) = ([0; 64], [1; 64]);
            idct(&coefficients, &[2; 64], false, &mut short, 8);
            idct(&coefficients, &[2; 64], true, &mut long, 8);
            assert_eq!(short, long);
        }
    }
}
