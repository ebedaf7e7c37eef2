//! [`largest`] finds the best few of many scores.

/// `[n] -> [min(k, n)]`: the positions of the largest numbers, the largest first, the first one of equals first. NaN is
/// smaller than any number.
pub(crate) fn largest(scores: &[f32], k: usize) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..scores.len()).collect();
    let number = |position: usize| if scores[position].is_nan() { f32::NEG_INFINITY } else { scores[position] };
    let k = k.min(positions.len());
    let order = |a: &usize, b: &usize| number(*b).total_cmp(&number(*a)).then(a.cmp(b));
    if 0 < k && k < positions.len() {
        positions.select_nth_unstable_by(k - 1, order);
    }
    positions.truncate(k);
    positions.sort_unstable_by(order);
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first() {
        assert_eq!(largest(&[0.1, 0.7, 0.2, 0.7], 3), [1, 3, 2]);
    }

    #[test]
    fn more_than_there_are_is_all() {
        assert_eq!(largest(&[2.0, 1.0], 5), [0, 1]);
        assert!(largest(&[2.0, 1.0], 0).is_empty());
    }

    #[test]
    fn nan_is_last() {
        assert_eq!(largest(&[f32::NAN, -1.0], 2), [1, 0]);
    }
}
