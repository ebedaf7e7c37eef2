//! Arithmetic on the scores and vectors of a model: slices in, slices out.

/// `[n] -> ()`: the index of the largest score, the first one of equals. `None` without scores, or if all are NaN.
pub(crate) fn argmax(scores: &[f32]) -> Option<usize> {
    let mut best = None;
    let mut highest = f32::NEG_INFINITY;
    for (position, &score) in scores.iter().enumerate() {
        if score > highest || (best.is_none() && !score.is_nan()) {
            best = Some(position);
            highest = score;
        }
    }
    best
}

/// `[n] -> [min(k, n)]`: the indices of the `k` largest scores in descending order, equal scores in order of their index. NaN is the
/// smallest score.
pub(crate) fn top_k_indices(scores: &[f32], k: usize) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..scores.len()).collect();
    let score = |position: usize| if scores[position].is_nan() { f32::NEG_INFINITY } else { scores[position] };
    let k = k.min(positions.len());
    let order = |a: &usize, b: &usize| score(*b).total_cmp(&score(*a)).then(a.cmp(b));
    if 0 < k && k < positions.len() {
        positions.select_nth_unstable_by(k - 1, order);
    }
    positions.truncate(k);
    positions.sort_unstable_by(order);
    positions
}

/// `[n] -> [n]`, in place: `exp(x) / sum(exp(x))`. The largest score is subtracted first, so that no exponential overflows.
pub(crate) fn softmax(scores: &mut [f32]) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - highest).exp();
        sum += *score;
    }
    for score in scores {
        *score /= sum;
    }
}

/// `[n] -> [n]`, in place: divided by the Euclidean norm. A zero vector is unchanged.
pub(crate) fn l2_normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        for value in vector {
            *value /= length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference_argmax(scores: &[f32]) -> Option<usize> {
        let highest = scores.iter().copied().filter(|score| !score.is_nan()).reduce(f32::max)?;
        scores.iter().position(|&score| score == highest)
    }

    #[test]
    fn argmax_agrees_with_the_reference() {
        const NAN: f32 = f32::NAN;
        const LOWEST: f32 = f32::NEG_INFINITY;
        let cases: [&[f32]; 8] = [
            &[],
            &[NAN, NAN],
            &[1.0, 3.0, 3.0],
            &[NAN, -1.0, -2.0],
            &[LOWEST, LOWEST],
            &[NAN, LOWEST],
            &[0.0, f32::INFINITY, NAN],
            &[-0.0, 0.0],
        ];
        for scores in cases {
            assert_eq!(argmax(scores), reference_argmax(scores), "{scores:?}");
        }
    }

    #[test]
    fn largest_come_first() {
        assert_eq!(top_k_indices(&[0.1, 0.7, 0.2, 0.7], 3), [1, 3, 2]);
    }

    #[test]
    fn k_is_limited_to_n() {
        assert_eq!(top_k_indices(&[2.0, 1.0], 5), [0, 1]);
        assert!(top_k_indices(&[2.0, 1.0], 0).is_empty());
    }

    #[test]
    fn nan_is_the_smallest() {
        assert_eq!(top_k_indices(&[f32::NAN, -1.0], 2), [1, 0]);
    }

    fn reference_softmax(scores: &[f32]) -> Vec<f32> {
        let exponentials: Vec<f64> = scores.iter().map(|&score| f64::from(score).exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        exponentials.into_iter().map(|exponential| (exponential / sum) as f32).collect()
    }

    #[test]
    fn softmax_agrees_with_the_reference() {
        let mut scores = [1.0, -2.0, 0.5, 8.0];
        let expected = reference_softmax(&scores);
        softmax(&mut scores);
        assert!(scores.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{scores:?}");
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let mut scores = [1000.0, 1000.0];
        softmax(&mut scores);
        assert_eq!(scores, [0.5, 0.5]);
    }

    #[test]
    fn the_norm_becomes_1() {
        let mut vector = [3.0, 0.0, -4.0];
        l2_normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.0, -0.8]);
    }

    #[test]
    fn a_vector_of_zeros_stays() {
        let mut vector = [0.0; 2];
        l2_normalize(&mut vector);
        assert_eq!(vector, [0.0; 2]);
    }
}
