//! [`Factors`]: an expression over both inputs as a product of one of each.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::functions::core;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

use super::refusal::{Refusal, because};
use super::side::Inputs;
use crate::sparse::semiring_dispatch::Multiplying;

/// `left op right`; an expression that is not there is one.
#[derive(Debug)]
pub(super) struct Factors {
    pub(super) multiplying: Multiplying,
    pub(super) left: Option<Expr>,
    pub(super) right: Option<Expr>,
}

/// Terms of one table, put together as they were met.
#[derive(Default)]
struct Terms {
    left: Option<Expr>,
    right: Option<Expr>,
    /// Of a product: what the right table divides by.
    divisor: Option<Expr>,
}

impl Factors {
    /// Takes an expression apart.
    ///
    /// Factors of one table are put together first: `a.x * b.y * a.z` is `(a.x * a.z) * b.y`, and constants go to the left one.
    pub(super) fn new(expr: &Expr, inputs: &Inputs<'_>, schema: &DFSchema) -> Result<Self, Refusal> {
        let single = |left, right| Self { multiplying: Multiplying::Times, left, right };
        match inputs.of(expr) {
            Some(true) => return Ok(single(Some(expr.clone()), None)),
            Some(false) => return Ok(single(None, Some(expr.clone()))),
            None if expr.column_refs().is_empty() => return Ok(single(Some(expr.clone()), None)),
            None => {}
        }
        let data_type = expr.get_type(schema)?;
        let mut terms = Terms::default();
        let multiplying = match expr {
            Expr::BinaryExpr(BinaryExpr { op: Operator::Multiply | Operator::Divide, .. }) => {
                terms.factors(expr, false, inputs, &data_type)?;
                if terms.divisor.is_some() { Multiplying::Over } else { Multiplying::Times }
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::Plus | Operator::Minus, .. }) => {
                terms.sum(expr, false, inputs, &data_type)?;
                Multiplying::Plus
            }
            Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => {
                terms.logic(expr, *op, inputs)?;
                if *op == Operator::And { Multiplying::And } else { Multiplying::Or }
            }
            Expr::ScalarFunction(call) if *call.func == *core::least() || *call.func == *core::greatest() => {
                terms.extremes(expr, inputs)?;
                if *call.func == *core::least() { Multiplying::Least } else { Multiplying::Greatest }
            }
            _ => return because(format!("{expr} is no product of a value of each table")),
        };
        let Terms { left, right, divisor } = terms;
        Ok(Self { multiplying, left, right: divisor.or(right) })
    }
}

impl Terms {
    fn put(&mut self, is_left: bool, term: Expr, join: impl FnOnce(Expr, Expr) -> Expr) {
        let all = if is_left { &mut self.left } else { &mut self.right };
        *all = Some(match all.take() {
            Some(before) => join(before, term),
            None => term,
        });
    }

    /// Factors, and divisors of floats.
    fn factors(
        &mut self,
        expr: &Expr,
        divides: bool,
        inputs: &Inputs<'_>,
        data_type: &DataType,
    ) -> Result<(), Refusal> {
        let side = inputs.of(expr);
        if side.is_none()
            && let Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Multiply | Operator::Divide), right }) = expr
            && !(divides && *op == Operator::Divide)
        {
            if *op == Operator::Divide && !data_type.is_floating() {
                return because(format!("{expr} divides {data_type}"));
            }
            // Decimals have another type after each step.
            if data_type.is_decimal() && (inputs.of(left).is_none() || inputs.of(right).is_none()) {
                return because(format!("{expr} has more than two factors, of decimals"));
            }
            self.factors(left, divides, inputs, data_type)?;
            return self.factors(right, divides || *op == Operator::Divide, inputs, data_type);
        }
        let is_left = match side {
            Some(is_left) => is_left,
            None if expr.column_refs().is_empty() => true,
            None => return because(format!("{expr} is no product of a value of each table")),
        };
        match (is_left, divides) {
            (true, false) => self.put(true, expr.clone(), |before, term| before * term),
            (true, true) => match self.left.take() {
                Some(before) => self.left = Some(before / expr.clone()),
                None => return because(format!("the left table has nothing that {expr} divides")),
            },
            (false, false) => match self.divisor.take() {
                Some(divisor) => self.right = Some(expr.clone() / divisor),
                None => self.put(false, expr.clone(), |before, term| before * term),
            },
            (false, true) => match (self.right.take(), self.divisor.take()) {
                (Some(before), _) => self.right = Some(before / expr.clone()),
                (None, Some(_)) => return because(format!("{expr} divides what is divided already")),
                (None, None) => self.divisor = Some(expr.clone()),
            },
        }
        Ok(())
    }

    /// Terms of a sum, and what is taken off.
    fn sum(&mut self, expr: &Expr, minus: bool, inputs: &Inputs<'_>, data_type: &DataType) -> Result<(), Refusal> {
        if !data_type.is_integer() && !data_type.is_floating() {
            return because(format!("{expr} adds {data_type}"));
        }
        let side = inputs.of(expr);
        if side.is_none()
            && let Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Plus | Operator::Minus), right }) = expr
        {
            self.sum(left, minus, inputs, data_type)?;
            return self.sum(right, minus != (*op == Operator::Minus), inputs, data_type);
        }
        let is_left = match side {
            Some(is_left) => is_left,
            None if expr.column_refs().is_empty() => true,
            None => return because(format!("{expr} is no sum of a value of each table")),
        };
        let term = expr.clone();
        let is_second = if is_left { self.left.is_some() } else { self.right.is_some() };
        if is_second && data_type.is_floating() {
            return because(format!("{expr} is added in another order than a product would add it"));
        }
        let all = if is_left { &mut self.left } else { &mut self.right };
        *all = Some(match (all.take(), minus) {
            (Some(before), true) => before - term,
            (Some(before), false) => before + term,
            (None, true) if data_type.is_floating() => Expr::Negative(Box::new(term)),
            (None, true) => return because(format!("{expr} is taken off, and nothing of its table is there before")),
            (None, false) => term,
        });
        Ok(())
    }

    /// Parts of one AND, or of one OR.
    fn logic(&mut self, expr: &Expr, joined_by: Operator, inputs: &Inputs<'_>) -> Result<(), Refusal> {
        let side = inputs.of(expr);
        if side.is_none()
            && let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr
            && *op == joined_by
        {
            self.logic(left, joined_by, inputs)?;
            return self.logic(right, joined_by, inputs);
        }
        let Some(is_left) = side else {
            return because(format!("{expr} is neither of one table nor of the other"));
        };
        let join = |before, term| Expr::BinaryExpr(BinaryExpr::new(Box::new(before), joined_by, Box::new(term)));
        self.put(is_left, expr.clone(), join);
        Ok(())
    }

    /// Arguments of LEAST or GREATEST.
    fn extremes(&mut self, expr: &Expr, inputs: &Inputs<'_>) -> Result<(), Refusal> {
        let Expr::ScalarFunction(call) = expr else {
            return because(format!("{expr} is neither LEAST nor GREATEST"));
        };
        for argument in &call.args {
            let is_left = match inputs.of(argument) {
                Some(is_left) => is_left,
                None if argument.column_refs().is_empty() => true,
                None => return because(format!("{argument} is neither of one table nor of the other")),
            };
            let join = |before, term| call.func.call(vec![before, term]);
            self.put(is_left, argument.clone(), join);
        }
        Ok(())
    }
}
