//! `predict('model', a, b, …)`: any model on columns of numbers.
//!
//! ```text
//! a  b      rows ──▶ tensors, [rows, …] ──model──▶ tensors, [rows, …] ──▶ one value a row
//! 1  [2, 3]
//! ```

mod arrow_tensors;

use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, StructArray, UInt32Array, new_null_array};
use datafusion::arrow::compute::{and, concat, filter, is_not_null, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
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
use crate::onnx::{Dim, GraphInfo, MAX_TENSOR_ELEMENTS, TensorInfo};
use crate::options::OcelliOptions;
use arrow_tensors::{beside, is_list, keep, part, tensor};

const NAME: &str = "predict";
const SYNTAX: &str = "predict('model', column, …)";

/// What DataFusion sees of it.
#[derive(Debug)]
pub(crate) struct Predict {
    signature: Signature,
    engine: InferContext,
    /// The model that the name meant when the query was planned: a query keeps it, whatever becomes of the name.
    bound: Option<Arc<Model>>,
}

impl Predict {
    pub(crate) fn new(engine: InferContext) -> Self {
        // The model behind a name may change between queries.
        Self { signature: Signature::user_defined(Volatility::Stable), engine, bound: None }
    }

    /// The model of a constant.
    fn model(&self, name: Option<&ScalarValue>) -> Result<Arc<Model>, Error> {
        if let Some(model) = &self.bound {
            return Ok(Arc::clone(model));
        }
        let problem = "the model's name must be written as text, in quotes, and come first".to_owned();
        let name = name.and_then(|name| name.try_as_str().flatten());
        self.engine.models.get(name.ok_or(Error::InvalidArguments { syntax: SYNTAX, problem })?)
    }
}

/// Each session has one, and one more for each model.
impl PartialEq for Predict {
    fn eq(&self, other: &Self) -> bool {
        match (&self.bound, &other.bound) {
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
        internal_err!("{NAME} is typed by return_field_from_args")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let model = self.model(args.scalar_arguments.first().copied().flatten())?;
        let graph = model.graph()?;
        let types: Vec<&DataType> = args.arg_fields[1..].iter().map(|field| field.data_type()).collect();
        let refuse = |problem| Error::InvalidPredictInput { model: model.name().to_owned(), problem };
        place(graph, &types).map_err(refuse)?;
        Ok(Arc::new(Field::new(NAME, data_type(graph).map_err(refuse)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((ColumnarValue::Scalar(name), columns)) = args.args.split_first() else {
            return internal_err!("{NAME} was planned without a model");
        };
        let model = self.model(Some(name))?;
        let columns: Vec<ArrayRef> =
            columns.iter().map(|column| column.to_array(args.number_rows)).collect::<Result<_>>()?;
        let backend = model.backend(OcelliOptions::from_config(&args.config_options).backend_preferences())?;
        let refuse = |problem| Error::InvalidPredictInput { model: model.name().to_owned(), problem };
        let loaded = model.load(&backend)?;
        // The backends are other people's code.
        let run = AssertUnwindSafe(|| predict(&self.engine, loaded, &columns, args.number_rows));
        let values = catch_unwind(run).unwrap_or_else(|_| Err("it panicked".to_owned())).map_err(refuse)?;
        Ok(ColumnarValue::Array(values))
    }

    /// The call with its model in place of the model's name.
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let (None, Some(Expr::Literal(name, _))) = (&self.bound, args.first()) else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        let bound = Some(self.model(Some(name))?);
        let udf = ScalarUDF::from(Self { signature: self.signature.clone(), engine: self.engine.clone(), bound });
        Ok(ExprSimplifyResult::Simplified(udf.call(args)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
            let description = "Any model on columns: a column of numbers, truth values or text, or of lists of them, for each of \
                its inputs, or, for a model with one input of several numbers, as many columns of numbers. NULL where a \
                column is NULL. The type is that of the model's output, a list where it gives several numbers a row, a \
                struct where it has several outputs.";
            let section = DocSection { label: "ModelRegistry", ..Default::default() };
            Documentation::builder(section, description, SYNTAX)
                .with_argument("model", "The name of a model, a constant")
                .with_argument("column", "Values for an input of the model, in the order of its inputs")
                .with_sql_example("SELECT predict('resnet20-cifar10', array_repeat(0.5, 3072))")
                .build()
        });
        Some(&DOCUMENTATION)
    }
}

/// How columns become inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placement {
    /// A column an input.
    Each,
    /// All columns beside each other in one input.
    Beside,
}

/// # Errors
/// One sentence when the columns are not what the graph takes.
fn place(graph: &GraphInfo, types: &[&DataType]) -> Result<Placement, String> {
    let placement = match graph.inputs.as_slice() {
        inputs if inputs.len() == types.len() => Placement::Each,
        [input] if !types.is_empty() && input.dims.len() == 2 && !types.iter().any(|data_type| is_list(data_type)) => {
            if let Dim::Fixed(width) = input.dims[1]
                && width != types.len()
            {
                return Err(format!("its input is {input}, got {} columns", types.len()));
            }
            Placement::Beside
        }
        inputs => {
            let (count, shown) = (inputs.len(), graph.display_inputs());
            return Err(format!("it takes {count} inputs ({shown}), got {} columns", types.len()));
        }
    };
    for (number, data_type) in types.iter().enumerate() {
        let input = &graph.inputs[if placement == Placement::Each { number } else { 0 }];
        let Some(wanted) = input.element_type.data_type() else {
            return Err(format!("its input is {input}, a type that is not known here"));
        };
        let mut value = *data_type;
        while let DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) = value {
            value = item.data_type();
        }
        if wanted.is_integer() && (value.is_floating() || value.is_decimal()) {
            return Err(format!(
                "its input is {input}, got a column of type {data_type}; CAST says how it becomes whole"
            ));
        }
        let is_text = |data_type: &DataType| data_type.is_string();
        let is_number =
            |data_type: &DataType| data_type.is_numeric() || matches!(data_type, DataType::Boolean | DataType::Null);
        if !(is_text(value) && is_text(&wanted) || is_number(value) && is_number(&wanted)) {
            return Err(format!("its input is {input}, got a column of type {data_type}"));
        }
    }
    Ok(placement)
}

/// The type of what the model gives for a row.
fn data_type(graph: &GraphInfo) -> Result<DataType, String> {
    let types = graph.outputs.iter().map(|output| {
        let Some(mut value) = output.element_type.data_type() else {
            return Err(format!("its output is {output}, a type that is not known here"));
        };
        let rest = output.dims.get(1..).unwrap_or_default();
        let numbers = rest.iter().map(|dim| if let Dim::Fixed(length) = dim { *length } else { 1 });
        if numbers.fold(1, usize::saturating_mul) > MAX_TENSOR_ELEMENTS {
            return Err(format!("its output is {output}, more than a row can hold"));
        }
        if rest.iter().all(|dim| *dim == Dim::Fixed(1)) && rest.len() < 2 {
            return Ok(value);
        }
        for dim in rest.iter().rev() {
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
        [one] => one.clone(),
        several => {
            let names = graph.outputs.iter().map(|output| &output.name);
            DataType::Struct(names.zip(several).map(|(name, value)| Field::new(name, value.clone(), true)).collect())
        }
    })
}

/// Numbers that a pass takes on, about.
const PASS: usize = 1 << 21;
/// Rows that a pass takes on at most: enough passes for all workers.
const PASS_ROWS: usize = 256;

fn predict(engine: &InferContext, loaded: &LoadedModel, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, String> {
    let graph = &loaded.graph;
    let placement = place(graph, &columns.iter().map(|column| column.data_type()).collect::<Vec<_>>())?;
    let wanted = data_type(graph)?;
    let words = |error: datafusion::arrow::error::ArrowError| error.to_string();
    let mut present = BooleanArray::from(vec![true; rows]);
    for column in columns {
        present = and(&present, &is_not_null(column).map_err(words)?).map_err(words)?;
    }
    if present.true_count() == 0 {
        return Ok(new_null_array(&wanted, rows));
    }
    let columns: Vec<ArrayRef> =
        columns.iter().map(|column| filter(column, &present)).collect::<Result<_, _>>().map_err(words)?;
    let inputs = match placement {
        Placement::Each => graph
            .inputs
            .iter()
            .zip(&columns)
            .map(|(input, column)| tensor(input, column))
            .collect::<Result<Vec<_>, _>>()?,
        Placement::Beside => vec![beside(&graph.inputs[0], &columns)?],
    };
    let count = present.true_count();
    let a_row = inputs.iter().map(|tensor| tensor.values.len() / count).sum::<usize>().max(1);
    let batch = graph.inputs.iter().find_map(TensorInfo::fixed_batch);
    if batch.is_some_and(|batch| batch.saturating_mul(a_row) > MAX_TENSOR_ELEMENTS) {
        return Err(format!("it takes {}, more than can be given to it at once", graph.display_inputs()));
    }
    // Equal parts, as many for each worker.
    let threads = engine.workers.threads();
    let most = (PASS / a_row).clamp(1, PASS_ROWS);
    let size = batch.unwrap_or(count.div_ceil(count.div_ceil(most).next_multiple_of(threads)));
    let outputs: Vec<OutputRef> = (0..graph.outputs.len()).map(OutputRef::Index).collect();
    let pass = |first: usize| {
        let rows = size.min(count - first);
        let inputs = graph.inputs.iter().zip(&inputs).map(|(info, tensor)| {
            let part = part(tensor, first, rows, batch.unwrap_or(rows))?;
            Ok(NamedTensor { name: info.name.clone(), tensor: part })
        });
        let results = loaded.backend.run(&inputs.collect::<Result<Vec<_>, String>>()?, &outputs, &engine.workers)?;
        let kept = results
            .into_iter()
            .zip(&graph.outputs)
            .map(|(result, info)| keep(result, info, rows, batch.unwrap_or(rows)));
        kept.collect::<Result<Vec<ArrayRef>, String>>()
    };
    let starts: Vec<usize> = (0..count).step_by(size).collect();
    let passes = engine.workers.pool().run(|| starts.into_par_iter().map(pass).collect::<Result<Vec<_>, String>>())?;
    let joined = (0..graph.outputs.len()).map(|number| {
        let parts: Vec<&dyn Array> = passes.iter().map(|pass| pass[number].as_ref()).collect();
        concat(&parts).map_err(words)
    });
    let mut joined: Vec<ArrayRef> = joined.collect::<Result<_, _>>()?;
    let values: ArrayRef = match &wanted {
        DataType::Struct(fields) if graph.outputs.len() > 1 => {
            Arc::new(StructArray::try_new(fields.clone(), joined, None).map_err(words)?)
        }
        _ => joined.swap_remove(0),
    };
    // Back to where the rows were.
    let mut next = 0;
    let places = present.iter().map(|is_present| {
        (is_present == Some(true)).then(|| {
            next += 1;
            next - 1
        })
    });
    take(&values, &UInt32Array::from_iter(places), None).map_err(words)
}
