//! [`parse_size`]: sizes in bytes with units.

/// Parses `2GB`, `512MiB`, `1.5g`, or a number of bytes. Units with an `i` are powers of 1024, the others of 1000.
///
/// ```
/// assert_eq!(ocelli::parse_size("1.5 GiB"), Ok(3 << 29));
/// ```
///
/// # Errors
/// A sentence about what a size is. Zero is none.
pub fn parse_size(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, f64); 14] = [
        ("", 1.0),
        ("b", 1.0),
        ("k", 1e3),
        ("kb", 1e3),
        ("kib", 1024.0),
        ("m", 1e6),
        ("mb", 1e6),
        ("mib", 1048576.0),
        ("g", 1e9),
        ("gb", 1e9),
        ("gib", 1073741824.0),
        ("t", 1e12),
        ("tb", 1e12),
        ("tib", 1099511627776.0),
    ];
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
    match (number.parse::<f64>(), factor) {
        (Ok(number), Some(factor)) if number * factor >= 1.0 => Ok((number * factor) as usize),
        _ => {
            Err("a size is a number of bytes, or a number with KB, MB, GB, TB, KiB, MiB, GiB or TiB, as in 2GB"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("1", 1),
            ("2GB", 2_000_000_000),
            ("2 gb", 2_000_000_000),
            ("1.5GiB", 1_610_612_736),
            ("512m", 512_000_000),
            ("10kib", 10_240),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn invalid_sizes_are_rejected() {
        for text in ["", "GB", "2 gigs", "-1", "0", "1.2.3", "nan"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
