//! [`argmax`] finds the largest score.

/// `[n] -> ()`: the position of the largest number, the first one of equals. `None` when there is no number: no scores, or
/// NaN alone.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn reference_argmax(scores: &[f32]) -> Option<usize> {
        let highest = scores.iter().copied().filter(|score| !score.is_nan()).reduce(f32::max)?;
        scores.iter().position(|&score| score == highest)
    }

    #[test]
    fn agrees_with_the_reference() {
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
}
