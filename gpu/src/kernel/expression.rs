//! [`Expression`]: elementwise arithmetic, fused into a kernel as its epilogue or run as a kernel of its own.
//!
//! ```text
//! Conv ─▶ Add(bias) ─▶ Add(residual) ─▶ Relu    =    Conv with max((accumulator + operand 0) + operand 1, 0)
//! ```

use std::fmt::Write;

/// Terms in static single assignment form: each may use the values of earlier terms by index; the last one is the result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expression(pub(crate) Vec<Term>);

/// A term; `usize` fields of functions are indices of earlier terms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Term {
    /// The value that the kernel computed for this output element.
    Accumulator,
    /// The element of an operand buffer, by the operand's index.
    Operand(usize),
    Literal(f32),
    Unary(Unary, usize),
    Binary(Binary, usize, usize),
    /// `(condition, if_true, if_false)`; a condition is true unless 0.
    Select(usize, usize, usize),
}

/// Unary functions. Booleans are 1.0 and 0.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unary {
    Abs,
    Ceil,
    Cos,
    Erf,
    Exp,
    Floor,
    Log,
    Neg,
    Not,
    Reciprocal,
    Relu,
    Round,
    Sigmoid,
    Sin,
    Softplus,
    Sqrt,
    Tanh,
    Trunc,
}

/// Binary functions. Booleans are 1.0 and 0.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Div,
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Max,
    Min,
    Mul,
    Pow,
    Sub,
}

impl Expression {
    /// The identity epilogue: the accumulator, unchanged.
    pub(crate) fn identity() -> Self {
        Self(vec![Term::Accumulator])
    }

    /// Appends a term and returns its index.
    pub(crate) fn push(&mut self, term: Term) -> usize {
        self.0.push(term);
        self.0.len() - 1
    }

    /// Composes `self` with `inner`: an operand for which `remap` returns an index reads that operand instead, and one for which
    /// it returns `None` becomes the result of `inner`.
    pub(crate) fn compose(&self, inner: &Self, remap: impl Fn(usize) -> Option<usize>) -> Self {
        let mut terms = inner.0.clone();
        let inner_result = terms.len().saturating_sub(1);
        // The new index of each term of `self`.
        let mut indices = Vec::with_capacity(self.0.len());
        for term in &self.0 {
            let term = match *term {
                Term::Operand(operand) => match remap(operand) {
                    Some(operand) => Term::Operand(operand),
                    None => {
                        indices.push(inner_result);
                        continue;
                    }
                },
                Term::Unary(function, a) => Term::Unary(function, indices[a]),
                Term::Binary(function, a, b) => Term::Binary(function, indices[a], indices[b]),
                Term::Select(a, b, c) => Term::Select(indices[a], indices[b], indices[c]),
                Term::Accumulator | Term::Literal(_) => *term,
            };
            terms.push(term);
            indices.push(terms.len() - 1);
        }
        // The last term is the result, also if `self` returns the result of `inner`.
        if indices.last() != Some(&(terms.len() - 1)) {
            terms.truncate(inner.0.len());
        }
        Self(terms)
    }

    /// The WGSL function `epilogue(i, accumulator) -> f32`; `operand` returns the expression that loads an operand for index `i`.
    pub(crate) fn to_wgsl(&self, operand: impl Fn(usize) -> String) -> String {
        let mut code = "fn epilogue(i: u32, accumulator: f32) -> f32 {\n".to_owned();
        for (index, term) in self.0.iter().enumerate() {
            let value = match *term {
                Term::Accumulator => "accumulator".to_owned(),
                Term::Operand(operand_index) => operand(operand_index),
                Term::Literal(value) => f32_literal(value),
                Term::Unary(function, a) => function.to_wgsl(&format!("v{a}")),
                Term::Binary(function, a, b) => function.to_wgsl(&format!("v{a}"), &format!("v{b}")),
                Term::Select(a, b, c) => format!("select(v{c}, v{b}, v{a} != 0.0)"),
            };
            let _ = writeln!(code, "    let v{index} = {value};");
        }
        let _ = writeln!(code, "    return v{};\n}}", self.0.len().saturating_sub(1));
        code
    }
}

/// A WGSL literal that round-trips. WGSL has no literals for infinities and NaN.
fn f32_literal(value: f32) -> String {
    match value.is_finite() {
        true => format!("f32({value:?})"),
        false => format!("bitcast<f32>(opaque_bits({}u))", value.to_bits()),
    }
}

impl Unary {
    fn to_wgsl(self, a: &str) -> String {
        match self {
            Self::Abs => format!("abs({a})"),
            Self::Ceil => format!("ceil({a})"),
            Self::Cos => format!("cos({a})"),
            Self::Erf => format!("error_function({a})"),
            Self::Exp => format!("exp({a})"),
            Self::Floor => format!("floor({a})"),
            Self::Log => format!("log({a})"),
            Self::Neg => format!("-{a}"),
            Self::Not => format!("f32({a} == 0.0)"),
            Self::Reciprocal => format!("1.0 / {a}"),
            Self::Relu => format!("max({a}, 0.0)"),
            Self::Round => format!("round({a})"),
            Self::Sigmoid => format!("1.0 / (1.0 + exp(-{a}))"),
            Self::Sin => format!("sin({a})"),
            Self::Softplus => format!("max({a}, 0.0) + log(1.0 + exp(-abs({a})))"),
            Self::Sqrt => format!("sqrt({a})"),
            // tanh(15) rounds to 1; some drivers compute it by exponentials, which overflow for large arguments.
            Self::Tanh => format!("tanh(clamp({a}, -15.0, 15.0))"),
            Self::Trunc => format!("trunc({a})"),
        }
    }
}

impl Binary {
    fn to_wgsl(self, a: &str, b: &str) -> String {
        match self {
            Self::Add => format!("{a} + {b}"),
            Self::Div => format!("{a} / {b}"),
            Self::Equal => format!("f32({a} == {b})"),
            Self::Greater => format!("f32({a} > {b})"),
            Self::GreaterOrEqual => format!("f32({a} >= {b})"),
            Self::Less => format!("f32({a} < {b})"),
            Self::LessOrEqual => format!("f32({a} <= {b})"),
            Self::Max => format!("max({a}, {b})"),
            Self::Min => format!("min({a}, {b})"),
            Self::Mul => format!("{a} * {b}"),
            Self::Pow => format!("power({a}, {b})"),
            Self::Sub => format!("{a} - {b}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compose_inlines_the_inner_expression() {
        use Term::{Accumulator, Binary as B, Literal, Operand, Unary as U};
        let inner = Expression(vec![Accumulator, Operand(0), B(Binary::Add, 0, 1)]);
        let outer = Expression(vec![Operand(0), Operand(1), B(Binary::Add, 0, 1), U(Unary::Relu, 2)]);
        // Operand 0 of `outer` is the result of `inner`; its operand 1 follows the operand of `inner`.
        let both = outer.compose(&inner, |operand| operand.checked_sub(1).map(|_| 1));
        let expected =
            vec![Accumulator, Operand(0), B(Binary::Add, 0, 1), Operand(1), B(Binary::Add, 2, 3), U(Unary::Relu, 4)];
        assert_eq!(both.0, expected);
        let unchanged = Expression(vec![Operand(0)]).compose(&inner, |_| None);
        assert_eq!(unchanged, inner);
        let constant = Expression(vec![Literal(1.0)]).compose(&inner, |_| None);
        assert_eq!(constant.0.last(), Some(&Literal(1.0)));
    }

    #[test]
    fn literals_round_trip() {
        assert_eq!(f32_literal(0.1), "f32(0.1)");
        assert_eq!(f32_literal(1e-30), "f32(1e-30)");
        assert_eq!(f32_literal(f32::NEG_INFINITY), "bitcast<f32>(opaque_bits(4286578688u))");
    }
}
