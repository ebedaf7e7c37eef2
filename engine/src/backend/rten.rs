//! [`Rten`]: the backend in pure Rust, which is always available.

mod repair;

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Int8Type, Int32Type, UInt8Type};
use rten::{Model, ModelOptions, RunOptions, Value, ValueOrView};
use rten_tensor::{Layout, Tensor as RtenTensor, TensorView};

use super::api::{Backend, Bytes, ModelBytes, NamedTensor, OutputRef, Tensor, cast_to_input};
use crate::onnx::GraphInfo;
use crate::runtime::WorkerPool;

/// A model loaded by rten.
pub(crate) struct Rten {
    model: Model,
    /// The types of the graph outputs if the file declares them; rten computes with fewer types.
    outputs: Vec<Option<DataType>>,
}

impl Rten {
    /// Parses and optimizes an ONNX file, without copying the weights unless operators are rewritten.
    pub(super) fn load(file: ModelBytes, graph: &GraphInfo) -> Result<Self, String> {
        let mut options = ModelOptions::with_all_ops();
        for (name, bytes) in file.external {
            options.external_data(&name, bytes);
        }
        let model = match file.graph {
            bytes if repair::may_need_repair(graph) => options.load(repair::repair(&bytes)?),
            Bytes::Static(bytes) => options.load_static_slice(bytes),
            Bytes::Owned(bytes) => options.load(bytes),
        };
        let model = model.map_err(|error| error.to_string())?;
        Ok(Self { model, outputs: graph.outputs.iter().map(|output| output.element_type.data_type()).collect() })
    }
}

impl Backend for Rten {
    fn run(&self, inputs: &[NamedTensor], outputs: &[OutputRef], workers: &WorkerPool) -> Result<Vec<Tensor>, String> {
        let inputs_cast = inputs.iter().map(|input| cast_to_supported(&input.tensor.values));
        let inputs_cast: Vec<ArrayRef> = inputs_cast.collect::<Result<_, _>>()?;
        let mut values = Vec::with_capacity(inputs.len());
        for (input, array) in inputs.iter().zip(&inputs_cast) {
            let node = self.model.node_id(&input.name).map_err(|error| error.to_string())?;
            values.push((node, view(&input.tensor.shape, array)?));
        }
        let nodes = outputs.iter().map(|output| match output {
            OutputRef::Index(index) => {
                self.model.output_ids().get(*index).copied().ok_or_else(|| format!("the model has no output {index}"))
            }
            OutputRef::Name(name) => self.model.node_id(name).map_err(|error| error.to_string()),
        });
        let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
        // An output may be requested twice.
        let mut distinct = nodes.clone();
        distinct.sort_unstable();
        distinct.dedup();
        // Runs in the worker pool, so that there is one set of threads.
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(workers.pool())));
        let results = self.model.run(values, &distinct, Some(options)).map_err(|error| error.to_string())?;
        let results = results.into_iter().map(to_arrow).collect::<Result<Vec<_>, _>>()?;
        let tensors = nodes.iter().zip(outputs).map(|(node, output)| {
            let tensor = distinct.iter().position(|other| other == node).and_then(|position| results.get(position));
            let tensor = tensor.cloned().ok_or("an output is missing")?;
            let data_type = match output {
                OutputRef::Index(index) => self.outputs.get(*index).cloned().flatten(),
                OutputRef::Name(_) => None,
            };
            let values = match data_type {
                Some(data_type) => cast(&tensor.values, &data_type).map_err(|error| error.to_string())?,
                None => tensor.values,
            };
            Ok(Tensor { values, ..tensor })
        });
        tensors.collect()
    }
}

/// Casts to a type that rten supports.
fn cast_to_supported(values: &ArrayRef) -> Result<ArrayRef, String> {
    let to = match values.data_type() {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float32,
        DataType::Int8 => DataType::Int8,
        DataType::UInt8 => DataType::UInt8,
        DataType::Boolean | DataType::Int32 | DataType::Int64 => DataType::Int32,
        other => return Err(format!("it does not support values of type {other}")),
    };
    let kind = if to.is_floating() { "floats" } else { "integers" };
    cast_to_input(values, &to).map_err(|_| format!("a value does not fit into the 32-bit {kind} of rten"))
}

/// A view of a tensor that [`cast_to_supported`] returned.
fn view<'a>(shape: &[usize], values: &'a ArrayRef) -> Result<ValueOrView<'a>, String> {
    fn slice<T: ArrowPrimitiveType>(values: &ArrayRef) -> &[T::Native] {
        values.as_primitive::<T>().values()
    }
    Ok(match values.data_type() {
        DataType::Float32 => TensorView::from_data(shape, slice::<Float32Type>(values)).into(),
        DataType::Int8 => TensorView::from_data(shape, slice::<Int8Type>(values)).into(),
        DataType::UInt8 => TensorView::from_data(shape, slice::<UInt8Type>(values)).into(),
        DataType::Int32 => TensorView::from_data(shape, slice::<Int32Type>(values)).into(),
        other => return Err(format!("it does not support values of type {other}")),
    })
}

/// Moves an output into Arrow.
fn to_arrow(value: Value) -> Result<Tensor, String> {
    fn tensor<T: ArrowPrimitiveType>(tensor: RtenTensor<T::Native>) -> Tensor {
        let shape = tensor.shape().to_vec();
        Tensor { shape, values: Arc::new(PrimitiveArray::<T>::new(tensor.into_data().into(), None)) }
    }
    Ok(match value {
        Value::FloatTensor(values) => tensor::<Float32Type>(values),
        Value::Int32Tensor(values) => tensor::<Int32Type>(values),
        Value::Int8Tensor(values) => tensor::<Int8Type>(values),
        Value::UInt8Tensor(values) => tensor::<UInt8Type>(values),
        _ => return Err("its output is a sequence of tensors".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflowing_integers_are_rejected() {
        let values: ArrayRef = Arc::new(datafusion::arrow::array::Int64Array::from(vec![3_000_000_000]));
        assert_eq!(cast_to_supported(&values).unwrap_err(), "a value does not fit into the 32-bit integers of rten");
    }

    #[test]
    fn invalid_graphs_are_rejected() {
        let builtin = include_bytes!("../models/resnet20-cifar10/model.onnx");
        let graph = GraphInfo::parse(builtin).unwrap();
        let file = ModelBytes { graph: Bytes::Static(b"not a graph"), external: Vec::new() };
        assert!(Rten::load(file, &graph).is_err());
    }
}
