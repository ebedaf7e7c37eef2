//! [`nearest`]: the name that a misspelled one probably stands for.

use datafusion::common::utils::datafusion_strsim::levenshtein;

/// Whether a name may be a misspelling of another.
pub(crate) fn is_near(name: &str, other: &str) -> bool {
    let (length, distance) = (name.chars().count(), distance(name, other));
    distance <= (length / 3).max(2) && 2 * distance < length
}

/// The nearest of the names that are near; the first in alphabetical order of several.
pub(crate) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.into_iter().filter(|other| is_near(name, other));
    near.min_by_key(|other| (distance(name, other), *other))
}

fn distance(name: &str, other: &str) -> usize {
    levenshtein(&name.to_lowercase(), &other.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let names = ["vxm", "mxv", "mxm", "generate_series"];
        assert_eq!(nearest("mxx", names), Some("mxm"));
        assert_eq!(nearest("Generate_Serie", names), Some("generate_series"));
        for name in ["", "x", "transpose"] {
            assert_eq!(nearest(name, names), None, "{name}");
        }
    }
}
