//! [`SemiringAggregates`]: the aggregates of a plan as aggregates over semirings.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, DFSchema, DFSchemaRef, JoinSide};
use datafusion::error::Result;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::bool_and_or::{bool_and_udaf, bool_or_udaf};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, cast};

use super::factor::BinaryProduct;
use super::no_match::{NoMatch, unsupported};
use super::side::{JoinSchemas, OperandProjection};
use crate::aggregate::{float_max_udaf, float_min_udaf};
use crate::sparse::semiring::{BinaryOp, Monoid};
use crate::sparse::spec::{JoinFallback, SemiringAggregate};

/// The arguments of an aggregate expression.
pub(super) fn arguments(aggregate: &Expr) -> Vec<Expr> {
    let args = function(aggregate).map(|function| function.params.args.clone()).unwrap_or_default();
    // Common subexpressions come with aliases.
    args.into_iter().map(|arg| arg.unalias_nested().data).collect()
}

fn function(aggregate: &Expr) -> Option<&AggregateFunction> {
    match aggregate {
        Expr::Alias(alias) => function(&alias.expr),
        Expr::AggregateFunction(function) => Some(function),
        _ => None,
    }
}

/// The aggregates of a plan as aggregates over semirings.
pub(super) struct SemiringAggregates {
    pub(super) aggregates: Vec<SemiringAggregate>,
    /// One for each aggregate of the plan.
    outputs: Vec<AggregateOutput>,
}

/// How an aggregate of the plan is computed from the columns of the product.
enum AggregateOutput {
    /// It is one column.
    Column,
    /// It is the quotient of two columns: a sum and the count of its values.
    Average,
}

impl SemiringAggregates {
    /// Translates the aggregates, whose `arguments` are expressions over the join. Adds the value columns they need to
    /// `left` and `right`.
    pub(super) fn new<'a>(
        aggregate: &Aggregate,
        arguments: &[Vec<Expr>],
        schemas: &JoinSchemas<'_>,
        left: &mut OperandProjection<'a>,
        right: &mut OperandProjection<'a>,
    ) -> Result<Self, NoMatch> {
        let join_schema = left.input.schema().join(right.input.schema())?;
        let mut all = Self { aggregates: Vec::new(), outputs: Vec::new() };
        if aggregate.aggr_expr.is_empty() {
            // SELECT DISTINCT: counting finds the groups that exist.
            all.aggregates.push(SemiringAggregate::plus_pair());
        }
        for ((expr, arguments), at) in aggregate.aggr_expr.iter().zip(arguments).zip(aggregate.group_expr.len()..) {
            let Some(function) = function(expr) else {
                return unsupported(format!("{expr} is not an aggregate function"));
            };
            let params = &function.params;
            if params.distinct || params.filter.is_some() || !params.order_by.is_empty() {
                return unsupported(format!("{expr} has DISTINCT, FILTER or ORDER BY"));
            }
            let output_type = aggregate.schema.field(at).data_type();
            let [argument] = arguments.as_slice() else {
                return unsupported(format!("{expr} has {} arguments instead of one", arguments.len()));
            };
            let mut extractor =
                OperandExtractor { schemas, join_schema: &join_schema, left: &mut *left, right: &mut *right };
            let add = match &function.func {
                udaf if *udaf == sum_udaf() => Monoid::Plus,
                udaf if *udaf == min_udaf() || *udaf == float_min_udaf() => Monoid::Min,
                udaf if *udaf == max_udaf() || *udaf == float_max_udaf() => Monoid::Max,
                udaf if *udaf == bool_or_udaf() => Monoid::LOr,
                udaf if *udaf == bool_and_udaf() => Monoid::LAnd,
                udaf if *udaf == count_udaf() => {
                    all.aggregates.push(extractor.count(argument)?);
                    all.outputs.push(AggregateOutput::Column);
                    continue;
                }
                udaf if *udaf == avg_udaf() && *output_type == DataType::Float64 => {
                    all.aggregates.push(extractor.semiring_aggregate(Monoid::Plus, argument, output_type)?);
                    all.aggregates.push(extractor.count(argument)?);
                    all.outputs.push(AggregateOutput::Average);
                    continue;
                }
                _ => {
                    return unsupported(format!(
                        "{} is not one of SUM, MIN, MAX, COUNT, AVG, BOOL_OR, BOOL_AND",
                        function.func.name()
                    ));
                }
            };
            all.aggregates.push(extractor.semiring_aggregate(add, argument, output_type)?);
            all.outputs.push(AggregateOutput::Column);
        }
        Ok(all)
    }

    /// The schema of the product: left groups, right groups, aggregates. `group_sides` is the side of each group of the
    /// aggregation.
    pub(super) fn output_schema(&self, aggregate: &Aggregate, group_sides: &[JoinSide]) -> Result<DFSchemaRef> {
        let field = |at| {
            let (qualifier, field) = aggregate.schema.qualified_field(at);
            (qualifier.cloned(), Arc::clone(field))
        };
        let mut fields: Vec<_> = groups_by_side(group_sides).map(field).collect();
        for (output, at) in self.outputs.iter().zip(group_sides.len()..) {
            match output {
                AggregateOutput::Column => fields.push(field(at)),
                AggregateOutput::Average => {
                    let [sum, count] = average_names(at);
                    fields.push((None, Arc::new(Field::new(sum, DataType::Float64, true))));
                    fields.push((None, Arc::new(Field::new(count, DataType::Int64, false))));
                }
            }
        }
        if self.outputs.is_empty() {
            fields.push((None, Arc::new(Field::new("__sparse_matmul_count", DataType::Int64, false))));
        }
        Ok(Arc::new(DFSchema::new_with_metadata(fields, aggregate.schema.metadata().clone())?))
    }

    /// The aggregation itself, projected to the columns of the product; `None` if it lacks some of them.
    pub(super) fn join_fallback(&self, aggregate: &Aggregate, group_sides: &[JoinSide]) -> Option<JoinFallback> {
        if self.outputs.is_empty() || self.outputs.iter().any(|output| matches!(output, AggregateOutput::Average)) {
            return None;
        }
        let plan = LogicalPlan::Aggregate(aggregate.clone());
        // Parameters of a prepared statement are bound in the inputs of a node, and the fallback is not one.
        if plan.get_parameter_names().is_ok_and(|parameters| !parameters.is_empty()) {
            return None;
        }
        let aggregates = group_sides.len()..group_sides.len() + self.outputs.len();
        let projection = groups_by_side(group_sides).chain(aggregates).collect();
        Some(JoinFallback { plan: Arc::new(plan), projection })
    }

    /// The output columns of the aggregation as expressions over the columns of the product.
    pub(super) fn output_exprs(&self, aggregate: &Aggregate) -> Result<Vec<Expr>> {
        let groups = aggregate.schema.fields().len() - self.outputs.len();
        let is_average = |at: usize| at >= groups && matches!(self.outputs[at - groups], AggregateOutput::Average);
        let column = |at| {
            if is_average(at) {
                let [sum, count] = average_names(at);
                let count = cast(Expr::Column(Column::new_unqualified(count)), DataType::Float64);
                let (qualifier, field) = aggregate.schema.qualified_field(at);
                return (Expr::Column(Column::new_unqualified(sum)) / count)
                    .alias_qualified(qualifier.cloned(), field.name());
            }
            Expr::Column(Column::from(aggregate.schema.qualified_field(at)))
        };
        Ok((0..aggregate.schema.fields().len()).map(column).collect())
    }
}

/// The indices of the groups: those of the left side, then those of the right side.
fn groups_by_side(group_sides: &[JoinSide]) -> impl Iterator<Item = usize> {
    let left = (0..group_sides.len()).filter(move |&at| group_sides[at] == JoinSide::Left);
    let right = (0..group_sides.len()).filter(move |&at| group_sides[at] != JoinSide::Left);
    left.chain(right)
}

/// The names of the sum and count columns of an average.
fn average_names(at: usize) -> [String; 2] {
    [format!("__sparse_matmul_sum_{at}"), format!("__sparse_matmul_count_{at}")]
}

/// Splits the arguments of aggregates into operands, which it adds to both projections.
struct OperandExtractor<'a, 'b> {
    schemas: &'a JoinSchemas<'a>,
    join_schema: &'a DFSchema,
    left: &'a mut OperandProjection<'b>,
    right: &'a mut OperandProjection<'b>,
}

impl OperandExtractor<'_, '_> {
    fn semiring_aggregate(
        &mut self,
        add: Monoid,
        argument: &Expr,
        output_type: &DataType,
    ) -> Result<SemiringAggregate, NoMatch> {
        // A cast of each product is a cast to the type of the accumulator, which the kernel does.
        let product = match argument {
            Expr::Cast(cast)
                if add == Monoid::Plus
                    && self.schemas.side_of(argument).is_none()
                    && !cast.field.data_type().is_decimal() =>
            {
                &cast.expr
            }
            _ => argument,
        };
        let value_type = product.get_type(self.join_schema)?;
        let operands = BinaryProduct::new(product, self.schemas, self.join_schema)?;
        if let DataType::Decimal128(38, _) = value_type
            && operands.left.is_some()
            && operands.right.is_some()
        {
            return unsupported(format!("{product} may overflow a decimal of 38 digits"));
        }
        for operand in operands.left.iter().chain(&operands.right) {
            let data_type = operand.get_type(self.join_schema)?;
            if data_type != value_type && !(data_type.is_decimal() && value_type.is_decimal()) {
                return unsupported(format!("{operand} has the type {data_type}, but its product has {value_type}"));
            }
        }
        let mut multiply = operands.op;
        if value_type == DataType::Boolean && multiply == BinaryOp::Times {
            multiply = BinaryOp::LAnd;
        }
        let aggregate = SemiringAggregate {
            add,
            multiply,
            left: operands.left.map(|left| self.left.value_index(left)),
            right: operands.right.map(|right| self.right.value_index(right)),
            value_type,
            output_type: output_type.clone(),
        };
        if !aggregate.is_supported() {
            let value_type = &aggregate.value_type;
            return unsupported(format!("there is no kernel for {aggregate} from {value_type} into {output_type}"));
        }
        Ok(aggregate)
    }

    /// The number of joined row pairs for which the argument is not NULL.
    fn count(&mut self, argument: &Expr) -> Result<SemiringAggregate, NoMatch> {
        let mut aggregate = SemiringAggregate::plus_pair();
        if matches!(argument, Expr::Literal(value, _) if !value.is_null()) {
            return Ok(aggregate);
        }
        let operands = BinaryProduct::new(argument, self.schemas, self.join_schema)?;
        if !matches!(operands.op, BinaryOp::Times | BinaryOp::Div | BinaryOp::Plus) {
            return unsupported(format!("{argument} can be non-NULL although one of its operands is NULL"));
        }
        // One for a value, zero for a NULL. `None` if the operand is never NULL.
        let validity_as_int = |operand: Expr, schema: &DFSchema| -> Result<Option<Expr>> {
            let as_int = || cast(operand.clone().is_not_null(), DataType::Int64);
            Ok(operand.nullable(schema)?.then(as_int))
        };
        let left = operands.left.map(|left| validity_as_int(left, self.join_schema)).transpose()?.flatten();
        if let Some(left) = left {
            aggregate.left = Some(self.left.value_index(left));
        }
        let right = operands.right.map(|right| validity_as_int(right, self.join_schema)).transpose()?.flatten();
        if let Some(right) = right {
            aggregate.right = Some(self.right.value_index(right));
        }
        Ok(aggregate)
    }
}
