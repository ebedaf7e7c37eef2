//! All kernels against a quadratic reference: every entry of the left matrix with every entry of the right one.

use std::collections::BTreeMap;

use super::*;

/// A matrix in COO: `(row, column, value)`, `None` for NULL.
type Entries = Vec<(u32, u32, Option<f64>)>;

/// A product: `{(row, column): value}`, `None` for NULL.
type Product = BTreeMap<(u32, u32), Option<f64>>;

type PlusTimes = TypedSemiring<f64, f64, TimesOp, PlusMonoid>;
type MinPlus = TypedSemiring<f64, f64, PlusOp, MinMonoid>;

/// `[m, n] x [n, p] -> {(row, column): value}`, `None` where only NULLs were added.
fn reference_matmul<S: SemiringOps<Value = f64, Accumulator = f64>>(
    semiring: S,
    left: &Entries,
    right: &Entries,
) -> Product {
    let mut product = BTreeMap::new();
    for &(row, k, a) in left {
        for &(l, column, b) in right {
            if k == l {
                let accumulator = product.entry((row, column)).or_insert(None);
                if let Some(product) = semiring.multiply_nullable(a, b) {
                    semiring.add(accumulator.get_or_insert(S::IDENTITY), product);
                }
            }
        }
    }
    product
}

/// Pseudorandom multiples of 0.5, whose sums are exact in any order.
fn entries(seed: u64, count: usize, rows: u64, columns: u64, nulls: bool) -> Entries {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let entry = |_| {
        let value = (next() % 17) as f64 / 2.0 - 4.0;
        ((next() % rows) as u32, (next() % columns) as u32, (!nulls || next() % 4 > 0).then_some(value))
    };
    (0..count).map(entry).collect()
}

fn matrix(entries: &Entries, rows: usize) -> (Csr, NullableValues<f64>) {
    let row_ids: Vec<u32> = entries.iter().map(|entry| entry.0).collect();
    let column_ids: Vec<u32> = entries.iter().map(|entry| entry.1).collect();
    let (csr, permutation) = Csr::new(&row_ids, &column_ids, rows);
    let values: Vec<f64> = entries.iter().map(|entry| entry.2.unwrap_or(f64::NAN)).collect();
    let validity: Vec<bool> = entries.iter().map(|entry| entry.2.is_some()).collect();
    let validity = validity.contains(&false).then(|| permutation.apply(&validity));
    (csr, NullableValues { values: Some(permutation.apply(&values)), validity })
}

/// Collects an output row of a kernel in the form of the reference.
fn collect_row(row: u32, columns: &[u32], output: &Accumulators<f64>, product: &mut Product) {
    for (at, &column) in columns.iter().enumerate() {
        let value = output.validity.get(at).is_none_or(|valid| *valid).then(|| output.values[at]);
        assert!(product.insert((row, column), value).is_none(), "duplicate column {column} in row {row}");
    }
}

/// Computes a row under two semirings: `plus_times` finds the columns, and `min_plus` uses the same ones.
fn multiply_row(
    left: (&Csr, &NullableValues<f64>),
    right: (&Csr, &NullableValues<f64>),
    row: usize,
    index: &mut impl ColumnIndex,
    [plus_times, min_plus]: &mut [Product; 2],
) {
    let has_nulls = left.1.validity.is_some() || right.1.validity.is_some();
    let (mut columns, mut output) = (Vec::new(), Accumulators::default());
    gustavson_row(PlusTimes::new(0), left, right, row, index, &mut columns, &mut output);
    collect_row(row as u32, &columns, &output, plus_times);
    let mut output = Accumulators::default();
    output.extend(columns.len(), f64::NAN, has_nulls);
    gustavson_row_numeric(MinPlus::new(0), left, right, row, index, 0, &mut output);
    collect_row(row as u32, &columns, &output, min_plus);
}

/// The products under both semirings.
fn reference_products(left: &Entries, right: &Entries) -> [Product; 2] {
    [reference_matmul(PlusTimes::new(0), left, right), reference_matmul(MinPlus::new(0), left, right)]
}

const SHAPES: [(usize, u64, u64, u64); 5] =
    [(0, 3, 3, 3), (1, 1, 1, 1), (200, 20, 30, 7), (500, 5, 200, 100), (300, 40, 3, 250)];

#[test]
fn rows_agree_with_the_reference() {
    for (seed, (count, m, n, p)) in (0..).zip(SHAPES) {
        for nulls in [false, true] {
            let (a, b) = (entries(seed, count, m, n, nulls), entries(seed + 9, count, n, p, nulls));
            let (left, right) = (matrix(&a, m as usize), matrix(&b, n as usize));
            let (left, right) = ((&left.0, &left.1), (&right.0, &right.1));
            let (mut found_by_spa, mut found_by_hash) = <([Product; 2], [Product; 2])>::default();
            let (mut spa, mut hash) = (SpaIndex::new(p as usize), HashIndex::default());
            for row in 0..m as usize {
                let flops = row_flops(left.0, right.0, row, |_| ());
                spa.start_row(flops.min(p as usize));
                multiply_row(left, right, row, &mut spa, &mut found_by_spa);
                hash.start_row(flops.min(p as usize));
                multiply_row(left, right, row, &mut hash, &mut found_by_hash);
            }
            let expected = reference_products(&a, &b);
            assert_eq!(found_by_spa, expected, "SPA, {count} entries, nulls {nulls}");
            assert_eq!(found_by_hash, expected, "hash, {count} entries, nulls {nulls}");
        }
    }
}

/// The rows of a masked product against those of the whole product that the mask keeps.
#[test]
fn masked_rows_agree_with_the_reference() {
    for (seed, (count, m, n, p)) in (60..).zip(SHAPES) {
        for nulls in [false, true] {
            let (a, b) = (entries(seed, count, m, n, nulls), entries(seed + 9, count, n, p, nulls));
            let (left, right) = (matrix(&a, m as usize), matrix(&b, n as usize));
            let (left, right) = ((&left.0, &left.1), (&right.0, &right.1));
            // Half of the rows of the mask are empty.
            let in_mask = entries(seed + 18, count, m.div_ceil(2), p, false);
            let mask = matrix(&in_mask, m as usize).0;
            for kind in [MaskKind::Structural, MaskKind::Complemented] {
                let keeps = |row: u32, column: u32| {
                    in_mask.iter().any(|entry| (entry.0, entry.1) == (row, column)) == (kind == MaskKind::Structural)
                };
                let expected = reference_products(&a, &b).map(|product| -> Product {
                    product.into_iter().filter(|((row, column), _)| keeps(*row, *column)).collect()
                });
                for mut index in [MaskedIndex::spa(kind, p as usize), MaskedIndex::hash(kind)] {
                    let mut found = <[Product; 2]>::default();
                    for row in 0..m as usize {
                        let mask_columns = &mask.col_indices()[mask.row_range(row)];
                        let flops = row_flops(left.0, right.0, row, |_| ());
                        index.start_row(match kind {
                            MaskKind::Structural => mask_columns.len(),
                            MaskKind::Complemented => mask_columns.len() + flops.min(p as usize),
                        });
                        index.mask(mask_columns);
                        multiply_row(left, right, row, &mut index, &mut found);
                    }
                    assert_eq!(found, expected, "{kind:?}, {count} entries, nulls {nulls}");
                }
            }
        }
    }
}

#[test]
fn dense_rows_agree_with_the_reference() {
    for (seed, (count, m, n, p)) in (20..).zip(SHAPES) {
        let (a, b) = (entries(seed, count, m, n, false), entries(seed + 9, count, n, p, false));
        let (left, right) = (matrix(&a, m as usize), matrix(&b, n as usize));
        let (left, right) = ((&left.0, &left.1), (&right.0, &right.1));
        let (mut dense, mut found) = (DenseRow::default(), BTreeMap::new());
        for row in 0..m as usize {
            let (mut columns, mut output) = (Vec::new(), Accumulators::default());
            let at = (row, p as usize);
            gustavson_dense_row(PlusTimes::new(0), left, right, at, &mut dense, Some(&mut columns), &mut output);
            assert!(columns.is_sorted());
            collect_row(row as u32, &columns, &output, &mut found);
        }
        assert_eq!(found, reference_matmul(PlusTimes::new(0), &a, &b), "{count} entries");
    }
}

#[test]
fn spmv_push_agrees_with_the_reference() {
    for (seed, (count, m, n, p)) in (40..).zip(SHAPES) {
        for nulls in [false, true] {
            // A streamed matrix with a resident vector; a streamed vector with a resident matrix.
            for (rows, columns) in [(m, 1), (1, p)] {
                let (a, b) = (entries(seed, count, rows, n, nulls), entries(seed + 9, count, n, columns, nulls));
                let expected = reference_matmul(PlusTimes::new(0), &a, &b);
                let (resident, resident_values) = matrix(&b, n as usize);
                let keys: Vec<u32> = a.iter().map(|entry| entry.1).collect();
                let groups: Vec<u32> = a.iter().map(|entry| entry.0).collect();
                let values = NullableValues {
                    values: Some(a.iter().map(|entry| entry.2.unwrap_or(f64::NAN)).collect()),
                    validity: nulls.then(|| a.iter().map(|entry| entry.2.is_some()).collect()),
                };
                let output_index = if columns == 1 { OutputIndex::Streamed(&groups) } else { OutputIndex::Resident };
                let mut output = Accumulators::default();
                output.extend(rows.max(columns) as usize, 0.0, nulls);
                let streamed = (StreamedSide::Left, keys.as_slice(), &values);
                spmv_push(PlusTimes::new(0), streamed, (&resident, &resident_values), output_index, &mut output);
                for ((row, column), expected) in expected {
                    let group = row.max(column) as usize;
                    let found = output.validity.get(group).is_none_or(|valid| *valid).then(|| output.values[group]);
                    assert_eq!(found, expected, "{count} entries, group {group}");
                }
            }
        }
    }
}

#[test]
fn a_dense_vector_has_unit_rows() {
    let vector = vec![(2, 0, Some(3.0)), (0, 0, Some(1.0)), (1, 0, Some(2.0))];
    let (resident, values) = matrix(&vector, 3);
    assert!(resident.has_unit_rows());
    let plus_div = TypedSemiring::<f64, f64, DivOp, PlusMonoid>::new(0);
    let streamed = NullableValues { values: Some(vec![12.0, 8.0, 6.0]), validity: None };
    for (side, expected) in [(StreamedSide::Left, [12.0, 4.0]), (StreamedSide::Right, [1.0 / 12.0, 0.25])] {
        let mut output = Accumulators::default();
        output.extend(2, 0.0, false);
        let keys = (side, [0, 1, NULL_ID].as_slice(), &streamed);
        spmv_push(plus_div, keys, (&resident, &values), OutputIndex::Streamed(&[0, 1, 1]), &mut output);
        assert_eq!(output.values, expected, "{side:?}");
    }
}

#[test]
fn integers_wrap_around_in_their_type() {
    let tiny = TypedSemiring::<i64, i64, TimesOp, PlusMonoid>::new(8);
    assert_eq!((tiny.multiply(100, 100), tiny.multiply(-128, -1)), (16, -128));
    let unsigned = TypedSemiring::<u64, u64, PlusOp, PlusMonoid>::new(16);
    assert_eq!(unsigned.multiply(65_535, 2), 1);
    let mut sum = i64::MAX;
    tiny.add(&mut sum, 1);
    assert_eq!(sum, i64::MIN);
}

#[test]
fn nulls_follow_the_rules_of_sql() {
    let least = TypedSemiring::<f64, f64, MinOp, MaxMonoid>::new(0);
    assert_eq!(least.multiply_nullable(None, Some(2.0)), Some(2.0));
    assert_eq!(least.multiply_nullable(None, None), None);
    let greatest = TypedSemiring::<f64, f64, MaxOp, MinMonoid>::new(0);
    assert!(greatest.multiply_nullable(Some(f64::NAN), Some(2.0)).unwrap().is_nan());
    let times = PlusTimes::new(0);
    assert_eq!(times.multiply_nullable(None, Some(0.0)), None);
    let and = TypedSemiring::<bool, bool, LAndOp, LOrMonoid>::new(0);
    let or = TypedSemiring::<bool, bool, LOrOp, LAndMonoid>::new(0);
    for (left, right, both, either) in [
        (Some(false), None, Some(false), None),
        (Some(true), None, None, Some(true)),
        (Some(true), Some(false), Some(false), Some(true)),
        (None, None, None, None),
    ] {
        assert_eq!((and.multiply_nullable(left, right), or.multiply_nullable(right, left)), (both, either));
        assert_eq!((and.multiply_nullable(right, left), or.multiply_nullable(left, right)), (both, either));
    }
}

/// Every sequence of three of these values, accumulated from left to right and as two partial results.
#[test]
fn min_and_max_have_the_order_of_sql() {
    // Ascending. The sign of NaN does not matter.
    let values = [f64::NEG_INFINITY, -1.0, -0.0, 0.0, 2.0, f64::INFINITY, f64::NAN, -f64::NAN];
    let rank = |value: f64| values.iter().position(|other| other.to_bits() == value.to_bits()).unwrap().min(6);
    let min = MinPlus::new(0);
    let max = TypedSemiring::<f64, f64, PlusOp, MaxMonoid>::new(0);
    fn accumulate<S: SemiringOps<Accumulator = f64>>(semiring: S, values: &[f64]) -> f64 {
        let mut accumulator = S::IDENTITY;
        values.iter().for_each(|value| semiring.add(&mut accumulator, *value));
        accumulator
    }
    for a in values {
        for b in values {
            for c in values {
                let (smallest, largest) = {
                    let ranks = [rank(a), rank(b), rank(c)];
                    (ranks.into_iter().min().unwrap(), ranks.into_iter().max().unwrap())
                };
                for (found, expected) in [
                    (accumulate(min, &[a, b, c]), smallest),
                    (accumulate(min, &[accumulate(min, &[a, b]), c]), smallest),
                    (accumulate(min, &[a, accumulate(min, &[b, c])]), smallest),
                    (accumulate(max, &[a, b, c]), largest),
                    (accumulate(max, &[accumulate(max, &[a, b]), c]), largest),
                    (accumulate(max, &[a, accumulate(max, &[b, c])]), largest),
                ] {
                    assert_eq!(found.to_bits(), values[expected].to_bits(), "of {a}, {b}, {c}");
                }
            }
        }
    }
}
