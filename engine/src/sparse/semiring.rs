//! [`Semiring`]: two operations by a GraphBLAS name.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// What a product of matrices adds up, and what it multiplies by: `plus_times`, `min_plus`, `max_min`, `plus_pair`, `or_and`.
///
/// ```
/// use ocelli::Semiring;
///
/// let shortest: Semiring = "min_plus".parse()?;
/// assert_eq!(shortest.to_string(), "min_plus");
/// assert!("plus_minus".parse::<Semiring>().is_err());
/// # Ok::<(), ocelli::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Semiring {
    add: Add,
    multiply: Multiply,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Add {
    Plus,
    Min,
    Max,
    Or,
    And,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Multiply {
    Times,
    Plus,
    Div,
    Min,
    Max,
    First,
    Second,
    Pair,
    And,
    Or,
}

const ADDS: [(&str, Add); 5] =
    [("plus", Add::Plus), ("min", Add::Min), ("max", Add::Max), ("or", Add::Or), ("and", Add::And)];

const MULTIPLIES: [(&str, Multiply); 10] = [
    ("times", Multiply::Times),
    ("plus", Multiply::Plus),
    ("div", Multiply::Div),
    ("min", Multiply::Min),
    ("max", Multiply::Max),
    ("first", Multiply::First),
    ("second", Multiply::Second),
    ("pair", Multiply::Pair),
    ("and", Multiply::And),
    ("or", Multiply::Or),
];

impl Semiring {
    /// `SUM(a.value * b.value)`
    pub const PLUS_TIMES: Self = Self { add: Add::Plus, multiply: Multiply::Times };

    /// The aggregate as SQL, of two values.
    pub(crate) fn sql(self, left: &str, right: &str) -> String {
        let product = match self.multiply {
            Multiply::Times => format!("{left} * {right}"),
            Multiply::Plus => format!("{left} + {right}"),
            Multiply::Div => format!("{left} / {right}"),
            Multiply::Min => format!("LEAST({left}, {right})"),
            Multiply::Max => format!("GREATEST({left}, {right})"),
            Multiply::First => left.to_owned(),
            Multiply::Second => right.to_owned(),
            Multiply::Pair if self.add == Add::Plus => return "COUNT(*)".to_owned(),
            Multiply::Pair => "1".to_owned(),
            Multiply::And => format!("{left} AND {right}"),
            Multiply::Or => format!("{left} OR {right}"),
        };
        match self.add {
            Add::Plus => format!("SUM({product})"),
            Add::Min => format!("MIN({product})"),
            Add::Max => format!("MAX({product})"),
            Add::Or => format!("BOOL_OR({product})"),
            Add::And => format!("BOOL_AND({product})"),
        }
    }
}

impl FromStr for Semiring {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let lower = name.to_lowercase();
        // SuiteSparse's names for the same.
        let parts = match lower.as_str() {
            "lor_land" => Some(("or", "and")),
            "land_lor" => Some(("and", "or")),
            other => other.split_once('_'),
        };
        let found = parts.and_then(|(add, multiply)| {
            let (_, add) = ADDS.into_iter().find(|(known, _)| *known == add)?;
            let (_, multiply) = MULTIPLIES.into_iter().find(|(known, _)| *known == multiply)?;
            let of_truths = matches!(multiply, Multiply::And | Multiply::Or);
            let may_be_truths = of_truths || matches!(multiply, Multiply::First | Multiply::Second);
            let fits = match add {
                Add::Or | Add::And => may_be_truths,
                Add::Plus | Add::Min | Add::Max => !of_truths,
            };
            fits.then_some(Self { add, multiply })
        });
        found.ok_or_else(|| Error::UnknownSemiring { name: name.to_owned() })
    }
}

impl fmt::Display for Semiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let add = ADDS.into_iter().find(|(_, add)| *add == self.add);
        let multiply = MULTIPLIES.into_iter().find(|(_, multiply)| *multiply == self.multiply);
        write!(f, "{}_{}", add.map_or("", |(name, _)| name), multiply.map_or("", |(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_back() {
        let mut known = 0;
        for (add, _) in ADDS {
            for (multiply, _) in MULTIPLIES {
                let name = format!("{add}_{multiply}");
                if let Ok(semiring) = name.parse::<Semiring>() {
                    known += 1;
                    assert_eq!(semiring.to_string(), name);
                    assert_eq!(name.to_uppercase().parse::<Semiring>().unwrap(), semiring);
                }
            }
        }
        assert_eq!(known, 3 * 8 + 2 * 4);
        assert_eq!("lor_land".parse::<Semiring>().unwrap().to_string(), "or_and");
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        for name in ["", "plus", "plus_minus", "times_plus", "or_times", "plus_and"] {
            let problem = name.parse::<Semiring>().unwrap_err().to_string();
            assert!(
                problem.starts_with(&format!("semiring '{name}' is not known; known: {{plus|min|max}}_")),
                "{problem}"
            );
        }
    }
}
