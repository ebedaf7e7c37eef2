//! [`Predict`]: `predict('model', a, b, …)` runs any ONNX model on columns of numbers, booleans or strings.
//!
//! ```text
//! a  b
//! 1  [2, 3]   columns ──▶ tensors [rows, …] ──model──▶ tensors [rows, …] ──▶ one value per row
//! ```

mod arrow_tensors;

use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, StructArray, UInt32Array, new_null_array};
use datafusion::arrow::compute::{and, concat, filter, is_not_null, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use rayon::prelude::*;

use super::context::InferContext;
use crate::backend::{NamedTensor, OutputRef};
use crate::error::Error;
use crate::model::{LoadedModel, Model};
use crate::onnx::{Dim, ElementType, GraphInfo, MAX_TENSOR_ELEMENTS, TensorInfo};
use crate::options::OcelliOptions;
use arrow_tensors::{
    column_to_tensor, is_list, label_fields, slice_padded, stack_columns, unpad_to_array, unpad_to_struct,
};

const NAME: &str = "predict";
const SYNTAX: &str = "predict('model', column, …)";

/// `predict` as a DataFusion scalar function.
#[derive(Debug)]
pub(crate) struct Predict {
    signature: Signature,
    context: InferContext,
    /// The model, resolved at planning time: a query keeps it even if the name is registered again.
    resolved: Option<Arc<Model>>,
}

impl Predict {
    pub(crate) fn new(context: InferContext) -> Self {
        // Stable, not immutable: the model registered under a name can change between queries.
        Self { signature: Signature::user_defined(Volatility::Stable), context, resolved: None }
    }

    /// The model with the name in the first argument.
    fn model(&self, name: Option<&ScalarValue>) -> Result<Arc<Model>, Error> {
        if let Some(model) = &self.resolved {
            return Ok(Arc::clone(model));
        }
        let problem = "the first argument must be the model name, a string constant".to_owned();
        let name = name.and_then(|name| name.try_as_str().flatten());
        self.context.models.get(name.ok_or(Error::InvalidArguments { syntax: SYNTAX, problem })?)
    }
}

/// Compares the resolved models by identity: calls of different models are different functions.
impl PartialEq for Predict {
    fn eq(&self, other: &Self) -> bool {
        match (&self.resolved, &other.resolved) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for Predict {}

impl Hash for Predict {
    fn hash<H: Hasher>(&self, state: &mut H) {
        NAME.hash(state);
    }
}

impl ScalarUDFImpl for Predict {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("{NAME}: return_type is not implemented, use return_field_from_args")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let model = self.model(args.scalar_arguments.first().copied().flatten())?;
        let graph = model.graph()?;
        let types: Vec<&DataType> = args.arg_fields[1..].iter().map(|field| field.data_type()).collect();
        let to_error = |problem| Error::InvalidPredictInput { model: model.name().to_owned(), problem };
        bind_inputs(graph, &types).map_err(to_error)?;
        Ok(Arc::new(Field::new(NAME, return_type(graph).map_err(to_error)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((ColumnarValue::Scalar(name), columns)) = args.args.split_first() else {
            return internal_err!("{NAME} was planned without a model");
        };
        let model = self.model(Some(name))?;
        let columns: Vec<ArrayRef> =
            columns.iter().map(|column| column.to_array(args.number_rows)).collect::<Result<_>>()?;
        let backend = model.backend(OcelliOptions::from_config(&args.config_options).backend_preferences())?;
        let to_error = |problem| Error::InvalidPredictInput { model: model.name().to_owned(), problem };
        let loaded = model.load(&backend)?;
        // The backends are third-party code.
        let run = AssertUnwindSafe(|| predict(&self.context, loaded, &columns, args.number_rows));
        let values = catch_unwind(run).unwrap_or_else(|_| Err("the backend panicked".to_owned())).map_err(to_error)?;
        Ok(ColumnarValue::Array(values))
    }

    /// Resolves the model name at planning time.
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let (None, Some(Expr::Literal(name, _))) = (&self.resolved, args.first()) else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        let resolved = Some(self.model(Some(name))?);
        let udf = ScalarUDF::from(Self { signature: self.signature.clone(), context: self.context.clone(), resolved });
        Ok(ExprSimplifyResult::Simplified(udf.call(args)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
            let description = "Runs any model on columns: one column per input (numbers, booleans or strings, or lists of them), or, for \
                a model whose only input is a feature vector, one numeric column per feature. NULL in rows where a column is NULL. \
                The return type is that of the model's output: a list if it has several elements per row, a struct if the model has \
                several outputs. Scores per label (ZipMap, with which scikit-learn's classifiers end) are a struct with one field per \
                label.";
            let section = DocSection { label: "Models", ..Default::default() };
            Documentation::builder(section, description, SYNTAX)
                .with_argument("model", "The name of a model, a constant")
                .with_argument("column", "The values of an input, in the order of the model's inputs")
                .with_sql_example("SELECT predict('resnet20-cifar10', array_repeat(0.5, 3072))")
                .build()
        });
        Some(&DOCUMENTATION)
    }
}

/// How columns are bound to the inputs of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InputBinding {
    /// One column per input.
    PerInput,
    /// All columns are stacked into the feature matrix `[rows, columns]` of the only input.
    Stacked,
}

/// Binds columns of the given types to the inputs of a graph.
///
/// # Errors
/// When the number or the types of the columns do not match the inputs.
fn bind_inputs(graph: &GraphInfo, types: &[&DataType]) -> Result<InputBinding, String> {
    let binding = match graph.inputs.as_slice() {
        inputs if inputs.len() == types.len() => InputBinding::PerInput,
        [input] if !types.is_empty() && input.dims.len() == 2 && !types.iter().any(|data_type| is_list(data_type)) => {
            if let Dim::Fixed(width) = input.dims[1]
                && width != types.len()
            {
                return Err(format!("its input is {input}, got {} columns", types.len()));
            }
            InputBinding::Stacked
        }
        inputs => {
            let (count, display) = (inputs.len(), graph.display_inputs());
            return Err(format!("it takes {count} inputs ({display}), got {} columns", types.len()));
        }
    };
    for (index, data_type) in types.iter().enumerate() {
        let input = &graph.inputs[if binding == InputBinding::PerInput { index } else { 0 }];
        let Some(expected) = input.element_type.data_type() else {
            return Err(format!("its input is {input}, which has an unsupported element type"));
        };
        let mut value = *data_type;
        while let DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) = value {
            value = item.data_type();
        }
        if expected.is_integer() && (value.is_floating() || value.is_decimal()) {
            return Err(format!(
                "its input is {input}, got a column of type {data_type}; use CAST to convert it to integers"
            ));
        }
        let is_string = |data_type: &DataType| data_type.is_string();
        let is_number =
            |data_type: &DataType| data_type.is_numeric() || matches!(data_type, DataType::Boolean | DataType::Null);
        if !(is_string(value) && is_string(&expected) || is_number(value) && is_number(&expected)) {
            return Err(format!("its input is {input}, got a column of type {data_type}"));
        }
    }
    Ok(binding)
}

/// The return type: that of the only output, or a struct of all outputs.
fn return_type(graph: &GraphInfo) -> Result<DataType, String> {
    let types = graph.outputs.iter().map(|output| {
        if let Some(labels) = graph.zip_maps.get(&output.name) {
            return Ok(DataType::Struct(label_fields(labels)));
        }
        let Some(mut value) = output.element_type.data_type() else {
            return Err(match output.element_type {
                ElementType::Other(0) => format!(
                    "its output '{}' is not declared as a tensor; sequences and maps are not supported (skl2onnx writes a tensor \
                     instead of the maps of ZipMap with options={{'zipmap': False}})",
                    output.name
                ),
                _ => format!("its output is {output}, which has an unsupported element type"),
            });
        };
        let axes = output.dims.get(1..).unwrap_or_default();
        let lengths = axes.iter().map(|dim| if let Dim::Fixed(length) = dim { *length } else { 1 });
        if lengths.fold(1, usize::saturating_mul) > MAX_TENSOR_ELEMENTS {
            return Err(format!("its output is {output}, which has more than {MAX_TENSOR_ELEMENTS} elements per row"));
        }
        if axes.iter().all(|dim| *dim == Dim::Fixed(1)) && axes.len() < 2 {
            return Ok(value);
        }
        for dim in axes.iter().rev() {
            let item = Arc::new(Field::new_list_field(value, false));
            value = match dim {
                Dim::Fixed(length) => DataType::FixedSizeList(item, i32::try_from(*length).unwrap_or(i32::MAX)),
                _ => DataType::List(item),
            };
        }
        Ok(value)
    });
    let types: Vec<DataType> = types.collect::<Result<_, _>>()?;
    Ok(match types.as_slice() {
        [only] => only.clone(),
        types => {
            let names = graph.outputs.iter().map(|output| &output.name);
            DataType::Struct(names.zip(types).map(|(name, value)| Field::new(name, value.clone(), true)).collect())
        }
    })
}

/// The input elements per batch that are aimed at.
const TARGET_BATCH_ELEMENTS: usize = 1 << 21;
/// The maximum number of rows per batch, so that there are enough batches for all workers.
const MAX_BATCH_ROWS: usize = 256;

/// Runs the model on the rows without NULLs, in parallel batches; the result is NULL in the other rows.
fn predict(
    context: &InferContext,
    loaded: &LoadedModel,
    columns: &[ArrayRef],
    num_rows: usize,
) -> Result<ArrayRef, String> {
    let graph = &loaded.graph;
    let binding = bind_inputs(graph, &columns.iter().map(|column| column.data_type()).collect::<Vec<_>>())?;
    let data_type = return_type(graph)?;
    let to_message = |error: datafusion::arrow::error::ArrowError| error.to_string();
    let mut is_valid = BooleanArray::from(vec![true; num_rows]);
    for column in columns {
        is_valid = and(&is_valid, &is_not_null(column).map_err(to_message)?).map_err(to_message)?;
    }
    let num_valid = is_valid.true_count();
    if num_valid == 0 {
        return Ok(new_null_array(&data_type, num_rows));
    }
    let columns: Vec<ArrayRef> =
        columns.iter().map(|column| filter(column, &is_valid)).collect::<Result<_, _>>().map_err(to_message)?;
    let inputs = match binding {
        InputBinding::PerInput => graph
            .inputs
            .iter()
            .zip(&columns)
            .map(|(input, column)| column_to_tensor(input, column))
            .collect::<Result<Vec<_>, _>>()?,
        InputBinding::Stacked => vec![stack_columns(&graph.inputs[0], &columns)?],
    };
    let elements_per_row = inputs.iter().map(|tensor| tensor.values.len() / num_valid).sum::<usize>().max(1);
    let fixed_batch = graph.inputs.iter().find_map(TensorInfo::fixed_batch);
    if fixed_batch.is_some_and(|batch| batch.saturating_mul(elements_per_row) > MAX_TENSOR_ELEMENTS) {
        return Err(format!("it takes {}, more than {MAX_TENSOR_ELEMENTS} elements per batch", graph.display_inputs()));
    }
    // Batches of equal size, their number a multiple of the number of workers.
    let threads = context.workers.threads();
    let max_rows = (TARGET_BATCH_ELEMENTS / elements_per_row).clamp(1, MAX_BATCH_ROWS);
    let batch_rows = fixed_batch.unwrap_or(num_valid.div_ceil(num_valid.div_ceil(max_rows).next_multiple_of(threads)));
    let structs: Vec<Option<Fields>> = graph
        .outputs
        .iter()
        .map(|output| graph.zip_maps.get(&output.name).map(|labels| label_fields(labels)))
        .collect();
    let outputs: Vec<OutputRef> = (0..graph.outputs.len()).map(OutputRef::Index).collect();
    let run_batch = |first: usize| {
        let rows = batch_rows.min(num_valid - first);
        let batch = fixed_batch.unwrap_or(rows);
        let inputs = graph.inputs.iter().zip(&inputs).map(|(info, tensor)| {
            Ok(NamedTensor { name: info.name.clone(), tensor: slice_padded(tensor, first, rows, batch)? })
        });
        let results = loaded.backend.run(&inputs.collect::<Result<Vec<_>, String>>()?, &outputs, &context.workers)?;
        let arrays =
            results.into_iter().zip(&graph.outputs).zip(&structs).map(|((result, info), fields)| match fields {
                Some(fields) => unpad_to_struct(&result, info, fields, rows, batch),
                None => unpad_to_array(result, info, rows, batch),
            });
        arrays.collect::<Result<Vec<ArrayRef>, String>>()
    };
    let offsets: Vec<usize> = (0..num_valid).step_by(batch_rows).collect();
    let batches =
        context.workers.pool().run(|| offsets.into_par_iter().map(run_batch).collect::<Result<Vec<_>, String>>())?;
    let outputs = (0..graph.outputs.len()).map(|output| {
        let arrays: Vec<&dyn Array> = batches.iter().map(|batch| batch[output].as_ref()).collect();
        concat(&arrays).map_err(to_message)
    });
    let mut outputs: Vec<ArrayRef> = outputs.collect::<Result<_, _>>()?;
    let values: ArrayRef = match &data_type {
        DataType::Struct(fields) if graph.outputs.len() > 1 => {
            Arc::new(StructArray::try_new(fields.clone(), outputs, None).map_err(to_message)?)
        }
        _ => outputs.swap_remove(0),
    };
    // Scatters the values back to the valid rows.
    let mut next = 0;
    let indices = is_valid.iter().map(|is_valid| {
        (is_valid == Some(true)).then(|| {
            next += 1;
            next - 1
        })
    });
    take(&values, &UInt32Array::from_iter(indices), None).map_err(to_message)
}
