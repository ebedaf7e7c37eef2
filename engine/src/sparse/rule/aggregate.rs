//! [`Products`]: the aggregates of a plan as products.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::bool_and_or::{bool_and_udaf, bool_or_udaf};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, cast};

use super::factor::Factors;
use super::refusal::{Refusal, because};
use super::side::{Inputs, Side};
use crate::sparse::semiring_dispatch::{Adding, Multiplying, Product};
use crate::sparse::spec::Join;

/// The arguments of an aggregate.
pub(super) fn arguments(aggregate: &Expr) -> Vec<Expr> {
    let args = function(aggregate).map(|function| function.params.args.clone()).unwrap_or_default();
    // Common parts of expressions come with aliases.
    args.into_iter().map(|arg| arg.unalias_nested().data).collect()
}

fn function(aggregate: &Expr) -> Option<&AggregateFunction> {
    match aggregate {
        Expr::Alias(alias) => function(&alias.expr),
        Expr::AggregateFunction(function) => Some(function),
        _ => None,
    }
}

/// What to compute for the aggregates of a plan.
pub(super) struct Products {
    pub(super) products: Vec<Product>,
    /// Of each aggregate.
    outputs: Vec<Output>,
}

/// What an aggregate is made of.
enum Output {
    /// The product itself.
    Product,
    /// The quotient of two: a sum, and the number of values in it.
    Average,
}

impl Products {
    /// The products, by the expressions that `arguments` are over the join.
    pub(super) fn new<'a>(
        aggregate: &Aggregate,
        arguments: &[Vec<Expr>],
        inputs: &Inputs<'_>,
        left: &mut Side<'a>,
        right: &mut Side<'a>,
    ) -> Result<Self, Refusal> {
        let schema = left.input.schema().join(right.input.schema())?;
        let mut all = Self { products: Vec::new(), outputs: Vec::new() };
        if aggregate.aggr_expr.is_empty() {
            // Which pairs of groups there are: those that are counted.
            all.products.push(Product::pairs());
        }
        for ((expr, arguments), at) in aggregate.aggr_expr.iter().zip(arguments).zip(aggregate.group_expr.len()..) {
            let Some(function) = function(expr) else {
                return because(format!("{expr} is no aggregate"));
            };
            let params = &function.params;
            if params.distinct || params.filter.is_some() || !params.order_by.is_empty() {
                return because(format!("{expr} does not take every row, as it comes"));
            }
            let output_type = aggregate.schema.field(at).data_type();
            let [argument] = arguments.as_slice() else {
                return because(format!("{expr} takes {} arguments", arguments.len()));
            };
            let mut take = Take { inputs, schema: &schema, left: &mut *left, right: &mut *right };
            let adding = match &function.func {
                udaf if *udaf == sum_udaf() => Adding::Sum,
                udaf if *udaf == min_udaf() => Adding::Min,
                udaf if *udaf == max_udaf() => Adding::Max,
                udaf if *udaf == bool_or_udaf() => Adding::BoolOr,
                udaf if *udaf == bool_and_udaf() => Adding::BoolAnd,
                udaf if *udaf == count_udaf() => {
                    all.products.push(take.count(argument)?);
                    all.outputs.push(Output::Product);
                    continue;
                }
                udaf if *udaf == avg_udaf() && *output_type == DataType::Float64 => {
                    all.products.push(take.product(Adding::Sum, argument, output_type)?);
                    all.products.push(take.count(argument)?);
                    all.outputs.push(Output::Average);
                    continue;
                }
                _ => {
                    return because(format!(
                        "{} is none of SUM, MIN, MAX, COUNT, AVG, BOOL_OR, BOOL_AND",
                        function.func.name()
                    ));
                }
            };
            all.products.push(take.product(adding, argument, output_type)?);
            all.outputs.push(Output::Product);
        }
        Ok(all)
    }

    /// The columns of the product: left groups, right groups, products.
    pub(super) fn schema(&self, aggregate: &Aggregate, groups: &[bool]) -> Result<DFSchemaRef> {
        let from = |at| {
            let (qualifier, field) = aggregate.schema.qualified_field(at);
            (qualifier.cloned(), Arc::clone(field))
        };
        let of = |is_left| (0..groups.len()).filter(move |&at| groups[at] == is_left);
        let mut fields: Vec<_> = of(true).chain(of(false)).map(from).collect();
        for (output, at) in self.outputs.iter().zip(groups.len()..) {
            match output {
                Output::Product => fields.push(from(at)),
                Output::Average => {
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

    /// The aggregation itself, by the columns of the product; `None` where some are no columns of it.
    pub(super) fn join(&self, aggregate: &Aggregate, groups: &[bool]) -> Option<Join> {
        if self.outputs.is_empty() || self.outputs.iter().any(|output| matches!(output, Output::Average)) {
            return None;
        }
        let plan = LogicalPlan::Aggregate(aggregate.clone());
        // Parameters of a prepared query are put into the inputs of a node, and this is none.
        if plan.get_parameter_names().is_ok_and(|parameters| !parameters.is_empty()) {
            return None;
        }
        let of = |is_left| (0..groups.len()).filter(move |&at| groups[at] == is_left);
        let columns = of(true).chain(of(false)).chain(groups.len()..groups.len() + self.outputs.len());
        Some(Join { plan: Arc::new(plan), columns: columns.collect() })
    }

    /// What the columns of the aggregation are, by those of the product.
    pub(super) fn columns(&self, aggregate: &Aggregate) -> Result<Vec<Expr>> {
        let groups = aggregate.schema.fields().len() - self.outputs.len();
        let is_average = |at: usize| at >= groups && matches!(self.outputs[at - groups], Output::Average);
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

/// The columns that an average is made of.
fn average_names(at: usize) -> [String; 2] {
    [format!("__sparse_matmul_sum_{at}"), format!("__sparse_matmul_count_{at}")]
}

/// Takes the factors of aggregates from both sides.
struct Take<'a, 'b> {
    inputs: &'a Inputs<'a>,
    /// Of the join.
    schema: &'a DFSchema,
    left: &'a mut Side<'b>,
    right: &'a mut Side<'b>,
}

impl Take<'_, '_> {
    fn product(&mut self, adding: Adding, argument: &Expr, output_type: &DataType) -> Result<Product, Refusal> {
        // What a sum is cast to, pair by pair, is what it is kept in.
        let multiplied = match argument {
            Expr::Cast(cast)
                if adding == Adding::Sum
                    && self.inputs.of(argument).is_none()
                    && !cast.field.data_type().is_decimal() =>
            {
                &cast.expr
            }
            _ => argument,
        };
        let value_type = multiplied.get_type(self.schema)?;
        let factors = Factors::new(multiplied, self.inputs, self.schema)?;
        if let DataType::Decimal128(38, _) = value_type
            && factors.left.is_some()
            && factors.right.is_some()
        {
            return because(format!("{multiplied} may be too large for a decimal of 38 digits"));
        }
        for factor in factors.left.iter().chain(&factors.right) {
            let data_type = factor.get_type(self.schema)?;
            if data_type != value_type && !(data_type.is_decimal() && value_type.is_decimal()) {
                return because(format!("{factor} is {data_type}, and its products are {value_type}"));
            }
        }
        let mut multiplying = factors.multiplying;
        if value_type == DataType::Boolean && multiplying == Multiplying::Times {
            multiplying = Multiplying::And;
        }
        let product = Product {
            adding,
            multiplying,
            left: factors.left.map(|left| self.left.value(left)),
            right: factors.right.map(|right| self.right.value(right)),
            value_type,
            output_type: output_type.clone(),
        };
        if !product.is_supported() {
            return because(format!("there is no kernel for {product} from {} into {output_type}", product.value_type));
        }
        Ok(product)
    }

    /// The number of pairs for which the argument is not NULL.
    fn count(&mut self, argument: &Expr) -> Result<Product, Refusal> {
        let mut product = Product::pairs();
        if matches!(argument, Expr::Literal(value, _) if !value.is_null()) {
            return Ok(product);
        }
        let factors = Factors::new(argument, self.inputs, self.schema)?;
        if !matches!(factors.multiplying, Multiplying::Times | Multiplying::Over | Multiplying::Plus) {
            return because(format!("{argument} is NULL only where all its arguments are"));
        }
        // One where there is a value, zero where there is none.
        let there = |factor: Expr, schema: &DFSchema| -> Result<Option<Expr>> {
            let is_there = || cast(factor.clone().is_not_null(), DataType::Int64);
            Ok(factor.nullable(schema)?.then(is_there))
        };
        if let Some(left) = factors.left.map(|left| there(left, self.schema)).transpose()?.flatten() {
            product.left = Some(self.left.value(left));
        }
        if let Some(right) = factors.right.map(|right| there(right, self.schema)).transpose()?.flatten() {
            product.right = Some(self.right.value(right));
        }
        Ok(product)
    }
}
