//! [`softmax`] turns scores into shares of 1.

/// `[n] -> [n]`, in place: `exp(x) / sum(exp(x))`, which adds up to 1. The largest score is subtracted first, so that no
/// exponential overflows.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn reference_softmax(scores: &[f32]) -> Vec<f32> {
        let exponentials: Vec<f64> = scores.iter().map(|&score| f64::from(score).exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        exponentials.into_iter().map(|exponential| (exponential / sum) as f32).collect()
    }

    #[test]
    fn agrees_with_the_reference() {
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
}
