//! [`FloatExtremum`]: MIN and MAX of floats, in SQL's order.
//!
//! NaN is above all numbers, as in PostgreSQL and DuckDB: `MIN(1, NaN, 2)` is 1, `MAX(1, NaN, 2)` is NaN. -0 is below +0. The result
//! depends neither on the order of rows nor on the partitions. DataFusion 55's own functions differ:
//!
//! - With GROUP BY, a NaN replaces the accumulated value and is replaced by the next one, and the MIN of infinities is the largest finite
//!   number.
//! - Their answers from statistics, and the filter that they push into scans of Parquet files, omit NaN: statistics of Parquet do.
//! - `GROUP BY … ORDER BY MIN(…) LIMIT …` keeps NaN in place of numbers.
//!
//! The latter two apply to functions by the names `min` and `max`, and to those with [`AggregateUDFImpl::is_descending`]; these have
//! neither.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::expr::{AggregateFunctionParams, WindowFunctionParams};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
};

use super::float_keys::{from_keys, key_type, to_keys, with_one_nan};

/// MIN of floats.
pub(crate) fn float_min_udaf() -> Arc<AggregateUDF> {
    static MIN: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| FloatExtremum::udaf("float_min", min_udaf()));
    Arc::clone(&MIN)
}

/// MAX of floats.
pub(crate) fn float_max_udaf() -> Arc<AggregateUDF> {
    static MAX: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| FloatExtremum::udaf("float_max", max_udaf()));
    Arc::clone(&MAX)
}

/// DataFusion's `function` on [keys](to_keys) of floats. Plans show it by the name of that function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FloatExtremum {
    name: &'static str,
    function: Arc<AggregateUDF>,
}

impl FloatExtremum {
    fn udaf(name: &'static str, function: Arc<AggregateUDF>) -> Arc<AggregateUDF> {
        Arc::new(AggregateUDF::new_from_impl(Self { name, function }))
    }
}

impl AggregateUDFImpl for FloatExtremum {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        self.function.schema_name(params)
    }

    fn human_display(&self, params: &AggregateFunctionParams) -> Result<String> {
        self.function.human_display(params)
    }

    fn window_function_schema_name(&self, params: &WindowFunctionParams) -> Result<String> {
        self.function.window_function_schema_name(params)
    }

    fn display_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        self.function.display_name(params)
    }

    fn window_function_display_name(&self, params: &WindowFunctionParams) -> Result<String> {
        self.function.window_function_display_name(params)
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.function.return_type(arg_types)
    }

    fn return_field(&self, arg_fields: &[FieldRef]) -> Result<FieldRef> {
        self.function.return_field(arg_fields)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneNan(self.function.accumulator(args)?)))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneNan(self.function.create_sliding_accumulator(args)?)))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        key_type(args.return_field.data_type()).is_some()
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let Some(key_type) = key_type(args.return_field.data_type()) else {
            return internal_err!("{} of {}", self.name, args.return_field.data_type());
        };
        let return_field = Arc::new(args.return_field.as_ref().clone().with_data_type(key_type));
        let keys = self.function.create_groups_accumulator(AccumulatorArgs { return_field, ..args })?;
        Ok(Box::new(KeyGroupsAccumulator(keys)))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.function.inner().set_monotonicity(data_type)
    }
}

/// An accumulator that compares by totalOrder, without NaNs that have the sign bit.
#[derive(Debug)]
struct OneNan(Box<dyn Accumulator>);

impl Accumulator for OneNan {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(&map_arrays(values, with_one_nan)?)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(&map_arrays(states, with_one_nan)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.retract_batch(&map_arrays(values, with_one_nan)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.0.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.size()
    }
}

/// Groups accumulated as keys. Input, state and output are floats.
struct KeyGroupsAccumulator(Box<dyn GroupsAccumulator>);

impl GroupsAccumulator for KeyGroupsAccumulator {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.0.update_batch(&map_arrays(values, to_keys)?, group_indices, opt_filter, total_num_groups)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.0.merge_batch(&map_arrays(values, to_keys)?, group_indices, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        from_keys(&self.0.evaluate(emit_to)?)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        map_arrays(&self.0.state(emit_to)?, from_keys)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        map_arrays(&self.0.convert_to_state(&map_arrays(values, to_keys)?, opt_filter)?, from_keys)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.size()
    }
}

fn map_arrays(arrays: &[ArrayRef], map: fn(&ArrayRef) -> Result<ArrayRef>) -> Result<Vec<ArrayRef>> {
    arrays.iter().map(map).collect()
}
