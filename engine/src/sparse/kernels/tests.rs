//! All kernels against one slow product: every entry of the left matrix with every entry of the right one.

use std::collections::BTreeMap;

use super::*;

/// A matrix of `(row, column, value)`, NULL for None.
type Entries = Vec<(u32, u32, Option<f64>)>;

type Product = Ring<f64, f64, Times, Sum>;

/// `[m, n] x [n, p] -> {(row, column): sum}`, NULL where only NULLs were added.
fn reference_matmul<R: Semiring<Value = f64, Sum = f64>>(
    ring: R,
    left: &Entries,
    right: &Entries,
) -> BTreeMap<(u32, u32), Option<f64>> {
    let mut product = BTreeMap::new();
    for &(row, k, a) in left {
        for &(l, column, b) in right {
            if k == l {
                let sum = product.entry((row, column)).or_insert(None);
                if let Some(product) = ring.multiply_nullable(a, b) {
                    ring.add(sum.get_or_insert(R::ZERO), product);
                }
            }
        }
    }
    product
}

/// Numbers that look random: halves, whose sums are exact in any order.
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

fn matrix(entries: &Entries, rows: usize) -> (Csr, Values<f64>) {
    let row_ids: Vec<u32> = entries.iter().map(|entry| entry.0).collect();
    let column_ids: Vec<u32> = entries.iter().map(|entry| entry.1).collect();
    let (csr, order) = Csr::new(&row_ids, &column_ids, rows);
    let numbers: Vec<f64> = entries.iter().map(|entry| entry.2.unwrap_or(f64::NAN)).collect();
    let valid: Vec<bool> = entries.iter().map(|entry| entry.2.is_some()).collect();
    let valid = valid.contains(&false).then(|| order.apply(&valid));
    (csr, Values { numbers: Some(order.apply(&numbers)), valid })
}

/// What a kernel left behind, as the reference gives it.
fn shown(row: u32, columns: &[u32], sums: &Sums<f64>, product: &mut BTreeMap<(u32, u32), Option<f64>>) {
    for (at, &column) in columns.iter().enumerate() {
        let sum = sums.valid.get(at).is_none_or(|valid| *valid).then(|| sums.sums[at]);
        assert!(product.insert((row, column), sum).is_none(), "column {column} of row {row} is there twice");
    }
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
            let plus_times = Product::new(0);
            let min_plus = Ring::<f64, f64, Plus, Min>::new(0);
            let has_nulls = left.1.valid.is_some() || right.1.valid.is_some();
            let mut found = [BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new()];
            let (mut dense, mut hashed) = (Dense::new(p as usize), Hashed::default());
            for row in 0..m as usize {
                let products = flops(left.0, right.0, row, |_| ());
                let (mut columns, mut sums) = (Vec::new(), Sums::default());
                dense.begin(products.min(p as usize));
                multiply_row(plus_times, left, right, row, &mut dense, &mut columns, &mut sums);
                shown(row as u32, &columns, &sums, &mut found[0]);
                // Another ring over the same places.
                let mut sums = Sums::default();
                sums.extend(columns.len(), f64::MAX, has_nulls);
                add_row(min_plus, left, right, row, &dense, 0, &mut sums);
                shown(row as u32, &columns, &sums, &mut found[1]);

                let (mut columns, mut sums) = (Vec::new(), Sums::default());
                hashed.begin(products.min(p as usize));
                multiply_row(plus_times, left, right, row, &mut hashed, &mut columns, &mut sums);
                shown(row as u32, &columns, &sums, &mut found[2]);
                let mut sums = Sums::default();
                sums.extend(columns.len(), f64::MAX, has_nulls);
                add_row(min_plus, left, right, row, &hashed, 0, &mut sums);
                shown(row as u32, &columns, &sums, &mut found[3]);
            }
            let expected = [reference_matmul(plus_times, &a, &b), reference_matmul(min_plus, &a, &b)];
            assert_eq!([&found[0], &found[1]], [&expected[0], &expected[1]], "dense, {count} entries, nulls {nulls}");
            assert_eq!([&found[2], &found[3]], [&expected[0], &expected[1]], "hashed, {count} entries, nulls {nulls}");
        }
    }
}

#[test]
fn full_rows_agree_with_the_reference() {
    for (seed, (count, m, n, p)) in (20..).zip(SHAPES) {
        let (a, b) = (entries(seed, count, m, n, false), entries(seed + 9, count, n, p, false));
        let (left, right) = (matrix(&a, m as usize), matrix(&b, n as usize));
        let (left, right) = ((&left.0, &left.1), (&right.0, &right.1));
        let (mut full, mut found) = (Full::default(), BTreeMap::new());
        for row in 0..m as usize {
            let (mut columns, mut sums) = (Vec::new(), Sums::default());
            let at = (row, p as usize);
            multiply_full_row(Product::new(0), left, right, at, &mut full, Some(&mut columns), &mut sums);
            assert!(columns.is_sorted());
            shown(row as u32, &columns, &sums, &mut found);
        }
        assert_eq!(found, reference_matmul(Product::new(0), &a, &b), "{count} entries");
    }
}

#[test]
fn scattered_entries_agree_with_the_reference() {
    for (seed, (count, m, n, p)) in (40..).zip(SHAPES) {
        for nulls in [false, true] {
            // A matrix that comes by, with a vector; a vector that comes by, with a matrix.
            for (rows, columns) in [(m, 1), (1, p)] {
                let (a, b) = (entries(seed, count, rows, n, nulls), entries(seed + 9, count, n, columns, nulls));
                let expected = reference_matmul(Product::new(0), &a, &b);
                let (still, still_values) = matrix(&b, n as usize);
                let keys: Vec<u32> = a.iter().map(|entry| entry.1).collect();
                let places: Vec<u32> = a.iter().map(|entry| entry.0).collect();
                let values = Values {
                    numbers: Some(a.iter().map(|entry| entry.2.unwrap_or(f64::NAN)).collect()),
                    valid: nulls.then(|| a.iter().map(|entry| entry.2.is_some()).collect()),
                };
                let targets = if columns == 1 { Targets::Moving(&places) } else { Targets::Still };
                let mut sums = Sums::default();
                sums.extend(rows.max(columns) as usize, 0.0, nulls);
                let moving = (Moving::Left, keys.as_slice(), &values);
                scatter(Product::new(0), moving, (&still, &still_values), targets, &mut sums);
                for ((row, column), expected) in expected {
                    let place = row.max(column) as usize;
                    let found = sums.valid.get(place).is_none_or(|valid| *valid).then(|| sums.sums[place]);
                    assert_eq!(found, expected, "{count} entries, place {place}");
                }
            }
        }
    }
}

#[test]
fn a_vector_with_a_value_for_each_key_needs_no_rows() {
    let vector = vec![(2, 0, Some(3.0)), (0, 0, Some(1.0)), (1, 0, Some(2.0))];
    let (still, values) = matrix(&vector, 3);
    assert!(still.is_vector());
    let quotient = Ring::<f64, f64, Over, Sum>::new(0);
    let moving = Values { numbers: Some(vec![12.0, 8.0, 6.0]), valid: None };
    for (side, expected) in [(Moving::Left, [12.0, 4.0]), (Moving::Right, [1.0 / 12.0, 0.25])] {
        let mut sums = Sums::default();
        sums.extend(2, 0.0, false);
        let keys = (side, [0, 1, NONE].as_slice(), &moving);
        scatter(quotient, keys, (&still, &values), Targets::Moving(&[0, 1, 1]), &mut sums);
        assert_eq!(sums.sums, expected, "{side:?}");
    }
}

#[test]
fn whole_numbers_wrap_around_in_their_type() {
    let tiny = Ring::<i64, i64, Times, Sum>::new(8);
    assert_eq!((tiny.multiply(100, 100), tiny.multiply(-128, -1)), (16, -128));
    let unsigned = Ring::<u64, u64, Plus, Sum>::new(16);
    assert_eq!(unsigned.multiply(65_535, 2), 1);
    let mut sum = i64::MAX;
    tiny.add(&mut sum, 1);
    assert_eq!(sum, i64::MIN);
}

#[test]
fn nulls_are_passed_over_or_not_as_in_sql() {
    let least = Ring::<f64, f64, Least, Max>::new(0);
    assert_eq!(least.multiply_nullable(None, Some(2.0)), Some(2.0));
    assert_eq!(least.multiply_nullable(None, None), None);
    let greatest = Ring::<f64, f64, Greatest, Min>::new(0);
    assert!(greatest.multiply_nullable(Some(f64::NAN), Some(2.0)).unwrap().is_nan());
    let times = Product::new(0);
    assert_eq!(times.multiply_nullable(None, Some(0.0)), None);
    let (and, or) = (Ring::<bool, bool, And, AnyTrue>::new(0), Ring::<bool, bool, Or, AllTrue>::new(0));
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
