//! [`scale_to_unit_length`] makes vectors comparable by their directions.

/// `[n] -> [n]`, in place: divided by its Euclidean length. A vector of zeros stays one.
pub(crate) fn scale_to_unit_length(vector: &mut [f32]) {
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

    #[test]
    fn the_length_becomes_1() {
        let mut vector = [3.0, 0.0, -4.0];
        scale_to_unit_length(&mut vector);
        assert_eq!(vector, [0.6, 0.0, -0.8]);
    }

    #[test]
    fn zeros_stay() {
        let mut vector = [0.0; 2];
        scale_to_unit_length(&mut vector);
        assert_eq!(vector, [0.0; 2]);
    }
}
