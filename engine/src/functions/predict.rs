//! `predict('model', a, b, …)`: any model on columns of numbers.
//!
//! ```text
//! a  b      rows ──▶ tensors, [rows, …] ──model──▶ tensors, [rows, …] ──▶ one value a row
//! 1  [2, 3]
//! ```

use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, ListArray, StructArray, UInt32Array, new_null_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{cast, concat, filter, interleave, is_not_null, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use rayon::prelude::*;

use crate::backend::{Input, Output, Tensor};
use crate::engine::Engine;
use crate::error::Error;
use crate::model::{Dim, Graph, Loaded, Model, TensorInfo};
use crate::options::OcelliOptions;

const NAME: &str = "predict";
const SYNTAX: &str = "predict('model', column, …)";

/// What DataFusion sees of it.
#[derive(Debug)]
pub(super) struct Predict {
    signature: Signature,
    engine: Engine,
}

impl Predict {
    pub(super) fn new(engine: Engine) -> Self {
        // The model behind a name may change between queries.
        Self { signature: Signature::user_defined(Volatility::Stable), engine }
    }

    /// The model of a constant.
    fn model(&self, name: Option<&ScalarValue>) -> Result<Arc<Model>, Error> {
        let problem = "the model's name must be written as text, in quotes, and come first".to_owned();
        let name = name.and_then(|name| name.try_as_str().flatten());
        self.engine.models.get(name.ok_or(Error::Arguments { syntax: SYNTAX, problem })?)
    }
}

/// Each session has one.
impl PartialEq for Predict {
    fn eq(&self, _: &Self) -> bool {
        true
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
        let refuse = |problem| Error::Prediction { model: model.name().to_owned(), problem };
        place(&graph, &types).map_err(refuse)?;
        Ok(Arc::new(Field::new(NAME, data_type(&graph).map_err(refuse)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((ColumnarValue::Scalar(name), columns)) = args.args.split_first() else {
            return internal_err!("{NAME} was planned without a model");
        };
        let model = self.model(Some(name))?;
        let columns: Vec<ArrayRef> =
            columns.iter().map(|column| column.to_array(args.number_rows)).collect::<Result<_>>()?;
        let kind = model.backend(OcelliOptions::of(&args.config_options).backend)?.0;
        let refuse = |problem| Error::Prediction { model: model.name().to_owned(), problem };
        let values = predict(&self.engine, model.load(kind)?, &columns, args.number_rows).map_err(refuse)?;
        Ok(ColumnarValue::Array(values))
    }

    fn with_updated_config(&self, _: &ConfigOptions) -> Option<datafusion::logical_expr::ScalarUDF> {
        None
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
            let description = "Any model on columns: a column of numbers, truth values or text, or of lists of them, for each of \
                its inputs, or, for a model with one input of several numbers, as many columns of numbers. NULL where a \
                column is NULL. The type is that of the model's output, a list where it gives several numbers a row, a \
                struct where it has several outputs.";
            let section = DocSection { label: "Models", ..Default::default() };
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
fn place(graph: &Graph, types: &[&DataType]) -> Result<Placement, String> {
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
            let (count, shown) = (inputs.len(), graph.shown_inputs());
            return Err(format!("it takes {count} inputs ({shown}), got {} columns", types.len()));
        }
    };
    for (number, data_type) in types.iter().enumerate() {
        let input = &graph.inputs[if placement == Placement::Each { number } else { 0 }];
        let Some(wanted) = input.element.data_type() else {
            return Err(format!("its input is {input}, a type that is not known here"));
        };
        let mut value = *data_type;
        while let DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) = value {
            value = item.data_type();
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
fn data_type(graph: &Graph) -> Result<DataType, String> {
    let types = graph.outputs.iter().map(|output| {
        let Some(mut value) = output.element.data_type() else {
            return Err(format!("its output is {output}, a type that is not known here"));
        };
        let rest = output.dims.get(1..).unwrap_or_default();
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

fn predict(engine: &Engine, loaded: &Loaded, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, String> {
    let graph = &loaded.graph;
    let placement = place(graph, &columns.iter().map(|column| column.data_type()).collect::<Vec<_>>())?;
    let wanted = data_type(graph)?;
    let words = |error: datafusion::arrow::error::ArrowError| error.to_string();
    let mut present = BooleanArray::from(vec![true; rows]);
    for column in columns {
        present = datafusion::arrow::compute::and(&present, &is_not_null(column).map_err(words)?).map_err(words)?;
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
    let size = batch.unwrap_or((PASS / a_row).clamp(1, PASS_ROWS));
    let outputs: Vec<Output> = (0..graph.outputs.len()).map(Output::Number).collect();
    let pass = |first: usize| {
        let rows = size.min(count - first);
        let inputs = graph.inputs.iter().zip(&inputs).map(|(info, tensor)| {
            let part = part(tensor, first, rows, batch.unwrap_or(rows))?;
            Ok(Input { name: info.name.clone(), tensor: part })
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
            let fields: Fields = fields.clone();
            Arc::new(StructArray::try_new(fields, joined, None).map_err(words)?)
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

/// A column as the values of an input.
fn tensor(info: &TensorInfo, column: &ArrayRef) -> Result<Tensor, String> {
    let rows = column.len();
    let mut values = Arc::clone(column);
    while is_list(values.data_type()) {
        values = flattened(&values)?;
    }
    if values.null_count() > 0 {
        return Err(format!("there is a NULL in a list for input '{}'", info.name));
    }
    let length = values.len() / rows.max(1);
    let rest = info.dims.get(1..).unwrap_or_default();
    let fixed: usize = rest.iter().map(|dim| if let Dim::Fixed(length) = dim { *length } else { 1 }).product();
    let open = rest.iter().filter(|dim| !matches!(dim, Dim::Fixed(_))).count();
    if fixed == 0 || !length.is_multiple_of(fixed) || (open == 0 && length != fixed) || (open > 1 && length != fixed) {
        return Err(format!("its input is {info}, got {length} values in a row"));
    }
    let mut left = length / fixed;
    let dims = rest.iter().map(|dim| match dim {
        Dim::Fixed(length) => *length,
        _ => std::mem::replace(&mut left, 1),
    });
    let shape = std::iter::once(rows).chain(dims).collect();
    Ok(Tensor { shape, values: as_element(info, &values)? })
}

/// The items of lists that are all of one length.
fn flattened(lists: &ArrayRef) -> Result<ArrayRef, String> {
    if let Some(lists) = lists.as_fixed_size_list_opt() {
        return Ok(lists.values().slice(lists.value_offset(0) as usize, lists.len() * lists.value_length() as usize));
    }
    let (DataType::List(item) | DataType::LargeList(item)) = lists.data_type() else {
        return Err(format!("it does not take values of type {}", lists.data_type()));
    };
    let lists = cast(lists, &DataType::List(Arc::clone(item))).map_err(|error| error.to_string())?;
    let lists = lists.as_list::<i32>();
    let lengths: Vec<usize> = lists.offsets().lengths().collect();
    if let Some(row) = lengths.iter().position(|length| *length != lengths[0]) {
        return Err(format!(
            "the lists of a batch have {} values and {}; they must be equally long",
            lengths[0], lengths[row]
        ));
    }
    let first = lists.value_offsets().first().copied().unwrap_or(0) as usize;
    Ok(lists.values().slice(first, lengths.iter().sum()))
}

/// Columns of numbers, one beside the other.
fn beside(info: &TensorInfo, columns: &[ArrayRef]) -> Result<Tensor, String> {
    let words = |error: datafusion::arrow::error::ArrowError| error.to_string();
    let columns: Vec<ArrayRef> = columns.iter().map(|column| as_element(info, column)).collect::<Result<_, _>>()?;
    let rows = columns.first().map_or(0, |column| column.len());
    let places: Vec<(usize, usize)> =
        (0..rows).flat_map(|row| (0..columns.len()).map(move |column| (column, row))).collect();
    let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    Ok(Tensor { shape: vec![rows, columns.len()], values: interleave(&columns, &places).map_err(words)? })
}

fn as_element(info: &TensorInfo, values: &ArrayRef) -> Result<ArrayRef, String> {
    let wanted = info.element.data_type().unwrap_or(DataType::Float32);
    let converted = cast(values, &wanted).map_err(|error| error.to_string())?;
    if converted.null_count() > values.null_count() {
        return Err(format!("its input is {info}, got a number that does not fit"));
    }
    Ok(converted)
}

/// Some rows of a tensor, filled up to the batch size that the graph wants.
fn part(tensor: &Tensor, first: usize, rows: usize, batch: usize) -> Result<Tensor, String> {
    let words = |error: datafusion::arrow::error::ArrowError| error.to_string();
    let all = tensor.shape[0];
    let length = tensor.values.len() / all;
    let mut shape = tensor.shape.clone();
    shape[0] = batch;
    let mut values = tensor.values.slice(first * length, rows * length);
    if rows < batch {
        // Any values do, so the first ones come again.
        let indices = UInt32Array::from_iter_values((0..batch * length).map(|at| (at % (rows * length)) as u32));
        values = take(&values, &indices, None).map_err(words)?;
    }
    Ok(Tensor { shape, values })
}

/// What came of the rows, without what filled the batch up: one value a row, in lists where there are more axes.
fn keep(result: Tensor, info: &TensorInfo, rows: usize, batch: usize) -> Result<ArrayRef, String> {
    let words = |error: datafusion::arrow::error::ArrowError| error.to_string();
    if result.shape.first() != Some(&batch) || result.shape.len() != info.dims.len() {
        return Err(format!("its output is {info}, and it gave {:?} for {batch} rows", result.shape));
    }
    let length = result.values.len() / batch.max(1);
    let mut values = result.values.slice(0, rows * length);
    let rest = info.dims.get(1..).unwrap_or_default();
    if length == 1 && rest.len() < 2 && rest.iter().all(|dim| *dim == Dim::Fixed(1)) {
        return Ok(values);
    }
    for (axis, dim) in rest.iter().enumerate().rev() {
        let length = result.shape[axis + 1];
        let item = Arc::new(Field::new_list_field(values.data_type().clone(), false));
        let count = values.len() / length.max(1);
        values = match dim {
            Dim::Fixed(fixed) if *fixed != length => {
                return Err(format!("its output is {info}, and it gave {:?}", result.shape));
            }
            Dim::Fixed(_) => {
                let length = i32::try_from(length).map_err(|_| "a list is too long".to_owned())?;
                Arc::new(FixedSizeListArray::try_new(item, length, values, None).map_err(words)?)
            }
            _ => {
                let offsets = OffsetBuffer::from_repeated_length(length, count);
                Arc::new(ListArray::try_new(item, offsets, values, None).map_err(words)?)
            }
        };
    }
    Ok(values)
}

fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
}
