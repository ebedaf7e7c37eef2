//! [`Semiring`]: an additive [`Monoid`] and a multiplicative [`BinaryOp`], by their GraphBLAS names.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// A semiring by its GraphBLAS name: `plus_times`, `min_plus`, `max_min`, `plus_pair`, `or_and`.
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
    add: Monoid,
    multiply: BinaryOp,
}

/// The additive monoid of a semiring: an aggregate function in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) enum Monoid {
    /// `SUM`
    Plus,
    /// `MIN`
    Min,
    /// `MAX`
    Max,
    /// `BOOL_OR`
    LOr,
    /// `BOOL_AND`
    LAnd,
}

/// The multiplicative operator of a semiring: a scalar expression over both operands in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) enum BinaryOp {
    Times,
    Plus,
    Div,
    /// `LEAST`
    Min,
    /// `GREATEST`
    Max,
    /// The left operand.
    First,
    /// The right operand.
    Second,
    /// One, whatever the operands.
    Pair,
    LAnd,
    LOr,
}

impl Monoid {
    const ALL: [Self; 5] = [Self::Plus, Self::Min, Self::Max, Self::LOr, Self::LAnd];

    /// The name that semirings are parsed from and displayed with.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plus => "plus",
            Self::Min => "min",
            Self::Max => "max",
            Self::LOr => "or",
            Self::LAnd => "and",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|monoid| monoid.name() == name)
    }

    fn is_boolean(self) -> bool {
        matches!(self, Self::LOr | Self::LAnd)
    }
}

impl BinaryOp {
    const ALL: [Self; 10] = [
        Self::Times,
        Self::Plus,
        Self::Div,
        Self::Min,
        Self::Max,
        Self::First,
        Self::Second,
        Self::Pair,
        Self::LAnd,
        Self::LOr,
    ];

    /// The name that semirings are parsed from and displayed with.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Times => "times",
            Self::Plus => "plus",
            Self::Div => "div",
            Self::Min => "min",
            Self::Max => "max",
            Self::First => "first",
            Self::Second => "second",
            Self::Pair => "pair",
            Self::LAnd => "and",
            Self::LOr => "or",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.name() == name)
    }

    /// Whether the operator is defined on the monoid's domain (boolean or numeric).
    fn fits(self, monoid: Monoid) -> bool {
        match self {
            Self::First | Self::Second => true,
            Self::LAnd | Self::LOr => monoid.is_boolean(),
            Self::Times | Self::Plus | Self::Div | Self::Min | Self::Max | Self::Pair => !monoid.is_boolean(),
        }
    }
}

impl Semiring {
    /// `SUM(a.value * b.value)`
    pub const PLUS_TIMES: Self = Self { add: Monoid::Plus, multiply: BinaryOp::Times };

    /// The value of an entry of a pattern, as SQL.
    pub(crate) fn one_sql(self) -> &'static str {
        if self.add.is_boolean() { "true" } else { "1" }
    }

    /// The semiring as an SQL aggregate over two operands, themselves SQL.
    pub(crate) fn aggregate_sql(self, left: &str, right: &str) -> String {
        let product = match self.multiply {
            BinaryOp::Times => format!("{left} * {right}"),
            BinaryOp::Plus => format!("{left} + {right}"),
            BinaryOp::Div => format!("{left} / {right}"),
            BinaryOp::Min => format!("LEAST({left}, {right})"),
            BinaryOp::Max => format!("GREATEST({left}, {right})"),
            BinaryOp::First => left.to_owned(),
            BinaryOp::Second => right.to_owned(),
            BinaryOp::Pair if self.add == Monoid::Plus => return "COUNT(*)".to_owned(),
            BinaryOp::Pair => "1".to_owned(),
            BinaryOp::LAnd => format!("{left} AND {right}"),
            BinaryOp::LOr => format!("{left} OR {right}"),
        };
        match self.add {
            Monoid::Plus => format!("SUM({product})"),
            Monoid::Min => format!("MIN({product})"),
            Monoid::Max => format!("MAX({product})"),
            Monoid::LOr => format!("BOOL_OR({product})"),
            Monoid::LAnd => format!("BOOL_AND({product})"),
        }
    }
}

impl FromStr for Semiring {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let lower = name.to_lowercase();
        let parts = match lower.as_str() {
            // SuiteSparse:GraphBLAS spells the boolean semirings like this.
            "lor_land" => Some((Monoid::LOr.name(), BinaryOp::LAnd.name())),
            "land_lor" => Some((Monoid::LAnd.name(), BinaryOp::LOr.name())),
            other => other.split_once('_'),
        };
        let semiring = parts.and_then(|(add, multiply)| {
            let (add, multiply) = (Monoid::from_name(add)?, BinaryOp::from_name(multiply)?);
            multiply.fits(add).then_some(Self { add, multiply })
        });
        semiring.ok_or_else(|| Error::UnknownSemiring { name: name.to_owned() })
    }
}

impl fmt::Display for Semiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.add.name(), self.multiply.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let mut valid = 0;
        for add in Monoid::ALL {
            for multiply in BinaryOp::ALL {
                let name = format!("{}_{}", add.name(), multiply.name());
                if let Ok(semiring) = name.parse::<Semiring>() {
                    valid += 1;
                    assert_eq!(semiring, Semiring { add, multiply });
                    assert_eq!(semiring.to_string(), name);
                    assert_eq!(name.to_uppercase().parse::<Semiring>().unwrap(), semiring);
                }
            }
        }
        assert_eq!(valid, 3 * 8 + 2 * 4);
        assert_eq!("lor_land".parse::<Semiring>().unwrap().to_string(), "or_and");
        assert_eq!("land_lor".parse::<Semiring>().unwrap().to_string(), "and_or");
    }

    #[test]
    fn unknown_names_list_the_valid_ones() {
        for name in ["", "plus", "plus_minus", "times_plus", "or_times", "plus_and"] {
            let problem = name.parse::<Semiring>().unwrap_err().to_string();
            assert!(
                problem.starts_with(&format!("unknown semiring '{name}'; expected {{plus|min|max}}_")),
                "{problem}"
            );
        }
    }
}
