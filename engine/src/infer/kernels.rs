//! Kernels on the scores and embeddings of a model: argmax, top-k, thresholds, softmax, sigmoid, L2 normalization. Slices in, slices
//! out.

use std::cmp::Ordering;

/// `[n] -> ()`: the index of the largest score, the first one of equals. `None` if there are no scores or all are NaN.
pub(crate) fn argmax(scores: &[f32]) -> Option<usize> {
    let mut best = None;
    let mut highest = f32::NEG_INFINITY;
    for (index, &score) in scores.iter().enumerate() {
        if score > highest || (best.is_none() && !score.is_nan()) {
            best = Some(index);
            highest = score;
        }
    }
    best
}

/// `[n] -> [min(k, n)]`: the indices of the `k` largest scores in descending order; equal scores are in the order of their
/// indices. NaN is last.
pub(crate) fn top_k_indices(scores: &[f32], k: usize) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..scores.len()).collect();
    let k = k.min(indices.len());
    let order = |a: &usize, b: &usize| compare_descending(scores, *a, *b);
    if 0 < k && k < indices.len() {
        indices.select_nth_unstable_by(k - 1, order);
    }
    indices.truncate(k);
    indices.sort_unstable_by(order);
    indices
}

/// `[n], [n] -> [m]`: the indices of the `scores` of at least `min`, in the order of [`top_k_indices`] of the `outputs` of the model. The
/// scores are an increasing function of these: large outputs can round to equal scores. NaN is not included.
pub(crate) fn indices_at_least(outputs: &[f32], scores: &[f32], min: f32) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..outputs.len()).filter(|&index| scores[index] >= min).collect();
    indices.sort_unstable_by(|a, b| compare_descending(outputs, *a, *b));
    indices
}

/// The order of two indices: larger scores first, NaN last, equal scores by index.
fn compare_descending(scores: &[f32], a: usize, b: usize) -> Ordering {
    let (x, y) = (scores[a], scores[b]);
    let by_score = x.is_nan().cmp(&y.is_nan()).then(y.partial_cmp(&x).unwrap_or(Ordering::Equal));
    by_score.then(a.cmp(&b))
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

/// `[n] -> [n]`, in place: `1 / (1 + exp(-x))`. An exponential that overflows gives 0.
pub(crate) fn sigmoid(scores: &mut [f32]) {
    for score in scores {
        *score = 1.0 / (1.0 + (-*score).exp());
    }
}

/// `[n] -> [n]`, in place: divides by the Euclidean norm. The zero vector is unchanged.
pub(crate) fn l2_normalize(vector: &mut [f32]) {
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if norm > 0.0 {
        for value in vector {
            *value /= norm;
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
    fn top_k_is_descending_and_stable() {
        assert_eq!(top_k_indices(&[0.1, 0.7, 0.2, 0.7], 3), [1, 3, 2]);
    }

    #[test]
    fn top_k_is_limited_by_the_number_of_scores() {
        assert_eq!(top_k_indices(&[2.0, 1.0], 5), [0, 1]);
        assert!(top_k_indices(&[2.0, 1.0], 0).is_empty());
    }

    #[test]
    fn top_k_ranks_nan_last() {
        let scores = [f32::NAN, f32::NEG_INFINITY, f32::NAN, -1.0, f32::INFINITY];
        assert_eq!(top_k_indices(&scores, 5), [4, 3, 1, 0, 2]);
        assert_eq!(top_k_indices(&scores, 3), [4, 3, 1]);
    }

    #[test]
    fn top_k_of_equal_scores_is_in_the_order_of_indices() {
        assert_eq!(top_k_indices(&[-0.0, 0.0, 1.0], 3), [2, 0, 1]);
    }

    #[test]
    fn a_threshold_is_included_and_nan_is_not() {
        let probabilities = [0.5, 0.25, 0.75, f32::NAN];
        assert_eq!(indices_at_least(&probabilities, &probabilities, 0.5), [2, 0]);
        assert_eq!(indices_at_least(&probabilities, &probabilities, f32::NEG_INFINITY), [2, 0, 1]);
        assert!(indices_at_least(&probabilities, &probabilities, 0.8).is_empty());
        assert!(indices_at_least(&[], &[], 0.5).is_empty());
        // Both round to 1.
        assert_eq!(indices_at_least(&[20.0, 30.0], &[1.0, 1.0], 0.5), [1, 0]);
    }

    #[test]
    fn sigmoid_agrees_with_the_reference() {
        let mut scores = [0.0, 3.0, -3.0, 100.0, -100.0, f32::INFINITY, f32::NEG_INFINITY];
        let expected = scores.map(|score| (1.0 / (1.0 + (-f64::from(score)).exp())) as f32);
        sigmoid(&mut scores);
        assert!(scores.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{scores:?}");
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
    fn softmax_of_large_scores_does_not_overflow() {
        let mut scores = [1000.0, 1000.0];
        softmax(&mut scores);
        assert_eq!(scores, [0.5, 0.5]);
    }

    #[test]
    fn l2_normalize_gives_unit_length() {
        let mut vector = [3.0, 0.0, -4.0];
        l2_normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.0, -0.8]);
    }

    #[test]
    fn l2_normalize_keeps_the_zero_vector() {
        let mut vector = [0.0; 2];
        l2_normalize(&mut vector);
        assert_eq!(vector, [0.0; 2]);
    }
}
