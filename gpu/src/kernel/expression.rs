//! [`Expression`]: what is done to each number on its way out of a kernel, and as a kernel of its own.
//!
//! ```text
//! Conv ─▶ Add(bias) ─▶ Add(residual) ─▶ Relu    =    Conv with max((own + operand 0) + operand 1, 0)
//! ```

use std::fmt::Write;

/// Arithmetic on one number, in steps that may use those before them; the last is the result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expression(pub(crate) Vec<Term>);

/// A step, with the numbers of others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Term {
    /// What the kernel has computed.
    Own,
    /// What an operand has at the place of the result.
    Operand(usize),
    Number(f32),
    Unary(Unary, usize),
    Binary(Binary, usize, usize),
    /// The second where the first is not 0, else the third.
    Select(usize, usize, usize),
}

/// Functions of one number. Truth is 1 or 0.
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

/// Functions of two numbers. Truth is 1 or 0.
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
    /// The kernel's own number, as it is.
    pub(crate) fn own() -> Self {
        Self(vec![Term::Own])
    }

    /// Adds a step and gives its number.
    pub(crate) fn push(&mut self, term: Term) -> usize {
        self.0.push(term);
        self.0.len() - 1
    }

    /// The same with each operand's number changed, or with the result of `inner` in its place where that says `None`.
    pub(crate) fn over(&self, inner: &Self, renumber: impl Fn(usize) -> Option<usize>) -> Self {
        let mut terms = inner.0.clone();
        let inner_result = terms.len().saturating_sub(1);
        let mut places = Vec::with_capacity(self.0.len());
        for term in &self.0 {
            let term = match *term {
                Term::Operand(number) => match renumber(number) {
                    Some(number) => Term::Operand(number),
                    None => {
                        places.push(inner_result);
                        continue;
                    }
                },
                Term::Unary(function, a) => Term::Unary(function, places[a]),
                Term::Binary(function, a, b) => Term::Binary(function, places[a], places[b]),
                Term::Select(a, b, c) => Term::Select(places[a], places[b], places[c]),
                Term::Own | Term::Number(_) => *term,
            };
            terms.push(term);
            places.push(terms.len() - 1);
        }
        // The last step is the result, also where that is the inner one.
        if places.last() != Some(&(terms.len() - 1)) {
            terms.truncate(inner.0.len());
        }
        Self(terms)
    }

    /// `fn finish(i, own) -> f32` in WGSL; `operand(number)` is what loads one at place `i`.
    pub(crate) fn to_wgsl(&self, operand: impl Fn(usize) -> String) -> String {
        let mut code = "fn finish(i: u32, own: f32) -> f32 {\n".to_owned();
        for (number, term) in self.0.iter().enumerate() {
            let value = match *term {
                Term::Own => "own".to_owned(),
                Term::Operand(operand_number) => operand(operand_number),
                Term::Number(value) => number_to_wgsl(value),
                Term::Unary(function, a) => function.to_wgsl(&format!("v{a}")),
                Term::Binary(function, a, b) => function.to_wgsl(&format!("v{a}"), &format!("v{b}")),
                Term::Select(a, b, c) => format!("select(v{c}, v{b}, v{a} != 0.0)"),
            };
            let _ = writeln!(code, "    let v{number} = {value};");
        }
        let _ = writeln!(code, "    return v{};\n}}", self.0.len().saturating_sub(1));
        code
    }
}

/// A literal that keeps all digits. WGSL has none for infinities and NaN.
fn number_to_wgsl(value: f32) -> String {
    match value.is_finite() {
        true => format!("f32({value:?})"),
        false => format!("bitcast<f32>(literal({}u))", value.to_bits()),
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
            // Beyond 15 it is 1 in all digits, and some drivers take the exponential of it.
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
    fn one_is_put_into_another() {
        use Term::{Binary as B, Number, Operand, Own, Unary as U};
        let inner = Expression(vec![Own, Operand(0), B(Binary::Add, 0, 1)]);
        let outer = Expression(vec![Operand(0), Operand(1), B(Binary::Add, 0, 1), U(Unary::Relu, 2)]);
        // Operand 0 of the outer one is what the inner one gives; its operand 1 comes behind that of the inner one.
        let both = outer.over(&inner, |number| number.checked_sub(1).map(|_| 1));
        let expected = vec![Own, Operand(0), B(Binary::Add, 0, 1), Operand(1), B(Binary::Add, 2, 3), U(Unary::Relu, 4)];
        assert_eq!(both.0, expected);
        let unchanged = Expression(vec![Operand(0)]).over(&inner, |_| None);
        assert_eq!(unchanged, inner);
        let constant = Expression(vec![Number(1.0)]).over(&inner, |_| None);
        assert_eq!(constant.0.last(), Some(&Number(1.0)));
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(number_to_wgsl(0.1), "f32(0.1)");
        assert_eq!(number_to_wgsl(1e-30), "f32(1e-30)");
        assert_eq!(number_to_wgsl(f32::NEG_INFINITY), "bitcast<f32>(literal(4286578688u))");
    }
}
