//! [`BinaryProduct`]: an expression over both join inputs as a binary operator on one operand of each.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, JoinSide};
use datafusion::functions::core;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

use super::no_match::{NoMatch, unsupported};
use super::side::JoinSchemas;
use crate::sparse::semiring::BinaryOp;

/// `left op right`. A missing operand is one.
#[derive(Debug)]
pub(super) struct BinaryProduct {
    pub(super) op: BinaryOp,
    pub(super) left: Option<Expr>,
    pub(super) right: Option<Expr>,
}

/// The terms of each side, combined in the order in which they occur.
#[derive(Default)]
struct SideTerms {
    left: Option<Expr>,
    right: Option<Expr>,
    /// The divisor from the right table, in products.
    divisor: Option<Expr>,
}

impl BinaryProduct {
    /// Splits an expression by side.
    ///
    /// The factors of one side are combined first: `a.x * b.y * a.z` becomes `(a.x * a.z) * b.y`. Constants go to the
    /// left.
    pub(super) fn new(expr: &Expr, schemas: &JoinSchemas<'_>, join_schema: &DFSchema) -> Result<Self, NoMatch> {
        let single = |left, right| Self { op: BinaryOp::Times, left, right };
        match schemas.side_of(expr) {
            Some(JoinSide::Left) => return Ok(single(Some(expr.clone()), None)),
            Some(_) => return Ok(single(None, Some(expr.clone()))),
            None if expr.column_refs().is_empty() => return Ok(single(Some(expr.clone()), None)),
            None => {}
        }
        let data_type = expr.get_type(join_schema)?;
        let mut terms = SideTerms::default();
        let op = match expr {
            Expr::BinaryExpr(BinaryExpr { op: Operator::Multiply | Operator::Divide, .. }) => {
                terms.product_terms(expr, false, schemas, &data_type)?;
                if terms.divisor.is_some() { BinaryOp::Div } else { BinaryOp::Times }
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::Plus | Operator::Minus, .. }) => {
                terms.sum_terms(expr, false, schemas, &data_type)?;
                BinaryOp::Plus
            }
            Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => {
                terms.logical_terms(expr, *op, schemas)?;
                if *op == Operator::And { BinaryOp::LAnd } else { BinaryOp::LOr }
            }
            Expr::ScalarFunction(call) if *call.func == *core::least() || *call.func == *core::greatest() => {
                terms.min_max_terms(expr, schemas)?;
                if *call.func == *core::least() { BinaryOp::Min } else { BinaryOp::Max }
            }
            _ => return unsupported(format!("{expr} is not a product of one operand per table")),
        };
        let SideTerms { left, right, divisor } = terms;
        Ok(Self { op, left, right: divisor.or(right) })
    }
}

impl SideTerms {
    fn combine(&mut self, side: JoinSide, term: Expr, combine: impl FnOnce(Expr, Expr) -> Expr) {
        let combined = if side == JoinSide::Left { &mut self.left } else { &mut self.right };
        *combined = Some(match combined.take() {
            Some(before) => combine(before, term),
            None => term,
        });
    }

    /// Factors, and for floats divisors.
    fn product_terms(
        &mut self,
        expr: &Expr,
        divides: bool,
        schemas: &JoinSchemas<'_>,
        data_type: &DataType,
    ) -> Result<(), NoMatch> {
        let side = schemas.side_of(expr);
        if side.is_none()
            && let Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Multiply | Operator::Divide), right }) = expr
            && !(divides && *op == Operator::Divide)
        {
            if *op == Operator::Divide && !data_type.is_floating() {
                return unsupported(format!("{expr} divides {data_type}; only floating-point division is supported"));
            }
            // The type of decimals changes with each multiplication.
            if data_type.is_decimal() && (schemas.side_of(left).is_none() || schemas.side_of(right).is_none()) {
                return unsupported(format!("{expr} has more than two decimal factors"));
            }
            self.product_terms(left, divides, schemas, data_type)?;
            return self.product_terms(right, divides || *op == Operator::Divide, schemas, data_type);
        }
        let side = match side {
            Some(side) => side,
            None if expr.column_refs().is_empty() => JoinSide::Left,
            None => return unsupported(format!("{expr} is not a product of one operand per table")),
        };
        match (side == JoinSide::Left, divides) {
            (true, false) => self.combine(side, expr.clone(), |before, term| before * term),
            (true, true) => match self.left.take() {
                Some(before) => self.left = Some(before / expr.clone()),
                None => return unsupported(format!("the divisor {expr} has no dividend from the left table")),
            },
            (false, false) => match self.divisor.take() {
                Some(divisor) => self.right = Some(expr.clone() / divisor),
                None => self.combine(side, expr.clone(), |before, term| before * term),
            },
            (false, true) => match (self.right.take(), self.divisor.take()) {
                (Some(before), _) => self.right = Some(before / expr.clone()),
                (None, Some(_)) => return unsupported(format!("{expr} is a second divisor from the right table")),
                (None, None) => self.divisor = Some(expr.clone()),
            },
        }
        Ok(())
    }

    /// Summands, added or subtracted.
    fn sum_terms(
        &mut self,
        expr: &Expr,
        minus: bool,
        schemas: &JoinSchemas<'_>,
        data_type: &DataType,
    ) -> Result<(), NoMatch> {
        if !data_type.is_integer() && !data_type.is_floating() {
            return unsupported(format!("{expr} is a sum of {data_type}; only integers and floats are supported"));
        }
        let side = schemas.side_of(expr);
        if side.is_none()
            && let Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Plus | Operator::Minus), right }) = expr
        {
            self.sum_terms(left, minus, schemas, data_type)?;
            return self.sum_terms(right, minus != (*op == Operator::Minus), schemas, data_type);
        }
        let side = match side {
            Some(side) => side,
            None if expr.column_refs().is_empty() => JoinSide::Left,
            None => return unsupported(format!("{expr} is not a sum of one operand per table")),
        };
        let term = expr.clone();
        let sum = if side == JoinSide::Left { &mut self.left } else { &mut self.right };
        if sum.is_some() && data_type.is_floating() {
            return unsupported(format!("{expr} cannot be split by table without reassociating a floating-point sum"));
        }
        *sum = Some(match (sum.take(), minus) {
            (Some(before), true) => before - term,
            (Some(before), false) => before + term,
            (None, true) if data_type.is_floating() => Expr::Negative(Box::new(term)),
            (None, true) => return unsupported(format!("{expr} is subtracted with no term of its table before it")),
            (None, false) => term,
        });
        Ok(())
    }

    /// Operands of nested ANDs, or of nested ORs.
    fn logical_terms(&mut self, expr: &Expr, operator: Operator, schemas: &JoinSchemas<'_>) -> Result<(), NoMatch> {
        let side = schemas.side_of(expr);
        if side.is_none()
            && let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr
            && *op == operator
        {
            self.logical_terms(left, operator, schemas)?;
            return self.logical_terms(right, operator, schemas);
        }
        let Some(side) = side else {
            return unsupported(format!("{expr} does not come from one table alone"));
        };
        let combine = |before, term| Expr::BinaryExpr(BinaryExpr::new(Box::new(before), operator, Box::new(term)));
        self.combine(side, expr.clone(), combine);
        Ok(())
    }

    /// Arguments of LEAST or GREATEST.
    fn min_max_terms(&mut self, expr: &Expr, schemas: &JoinSchemas<'_>) -> Result<(), NoMatch> {
        let Expr::ScalarFunction(call) = expr else {
            return unsupported(format!("{expr} is neither LEAST nor GREATEST"));
        };
        for argument in &call.args {
            let side = match schemas.side_of(argument) {
                Some(side) => side,
                None if argument.column_refs().is_empty() => JoinSide::Left,
                None => return unsupported(format!("{argument} does not come from one table alone")),
            };
            let combine = |before, term| call.func.call(vec![before, term]);
            self.combine(side, argument.clone(), combine);
        }
        Ok(())
    }
}
