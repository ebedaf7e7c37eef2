//! [`Rten`]: ONNX models in pure Rust, always there.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options};
use datafusion::arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Int8Type, Int32Type, UInt8Type};
use rten::{Model, ModelOptions, RunOptions, Value, ValueOrView};
use rten_onnx::onnx::{AttributeProto, AttributeType, ModelProto, TensorProto};
use rten_tensor::{Layout, Tensor as RtenTensor, TensorView};

use super::api::{Backend, Bytes, GraphFile, Input, Output, Tensor};
use crate::onnx::{Graph, omits_kernel_shape};
use crate::runtime::WorkerPool;

/// An ONNX graph, loaded by rten.
pub(crate) struct Rten {
    model: Model,
    /// The types of the graph's outputs, where the file says them: rten computes with few.
    outputs: Vec<Option<DataType>>,
}

impl Rten {
    /// Parses and optimizes an ONNX file. The weights stay where they are.
    pub(super) fn load(file: GraphFile, graph: &Graph) -> Result<Self, String> {
        let mut options = ModelOptions::with_all_ops();
        for (name, bytes) in file.external {
            options.external_data(&name, bytes);
        }
        let model = match file.graph {
            bytes if graph.omits_kernel_shapes => options.load(with_kernel_shapes(&bytes)?),
            Bytes::Static(bytes) => options.load_static_slice(bytes),
            Bytes::Owned(bytes) => options.load(bytes),
        };
        let model = model.map_err(|error| error.to_string())?;
        Ok(Self { model, outputs: graph.outputs.iter().map(|output| output.element.data_type()).collect() })
    }
}

/// The same graph, with the sizes of its kernels where ONNX lets them be left out and rten does not.
fn with_kernel_shapes(file: &[u8]) -> Result<Vec<u8>, String> {
    let mut model = ModelProto::parse_buf(file).map_err(|error| error.to_string())?;
    if let Some(graph) = &mut model.graph {
        for node in graph.node.iter_mut().filter(|node| omits_kernel_shape(node)) {
            let is_weight = |tensor: &&TensorProto| tensor.name.as_ref() == node.input.get(1);
            let weight = graph.initializer.iter().find(is_weight).ok_or("the size of a kernel is not known")?;
            node.attribute.push(AttributeProto {
                name: Some("kernel_shape".to_owned()),
                ints: weight.dims.get(2..).unwrap_or_default().to_vec(),
                r#type: Some(AttributeType::INTS),
                ..AttributeProto::default()
            });
        }
    }
    model.write_buf().map_err(|error| error.to_string())
}

impl Backend for Rten {
    fn run(&self, inputs: &[Input], outputs: &[Output], workers: &WorkerPool) -> Result<Vec<Tensor>, String> {
        let widened = inputs.iter().map(|input| widened(&input.tensor.values));
        let widened: Vec<ArrayRef> = widened.collect::<Result<_, _>>()?;
        let mut values = Vec::with_capacity(inputs.len());
        for (input, array) in inputs.iter().zip(&widened) {
            let node = self.model.node_id(&input.name).map_err(|error| error.to_string())?;
            values.push((node, view(&input.tensor.shape, array)?));
        }
        let nodes = outputs.iter().map(|output| match output {
            Output::Number(number) => {
                self.model.output_ids().get(*number).copied().ok_or_else(|| format!("it has no output {number}"))
            }
            Output::Named(name) => self.model.node_id(name).map_err(|error| error.to_string()),
        });
        let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
        // An output may be asked for under two names.
        let mut distinct = nodes.clone();
        distinct.sort_unstable();
        distinct.dedup();
        // A worker that calls this goes on working in its own pool: one set of threads for everything.
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(workers.pool())));
        let results = self.model.run(values, &distinct, Some(options)).map_err(|error| error.to_string())?;
        let results = results.into_iter().map(owned).collect::<Result<Vec<_>, _>>()?;
        let tensors = nodes.iter().zip(outputs).map(|(node, output)| {
            let tensor = distinct.iter().position(|known| known == node).and_then(|position| results.get(position));
            let tensor = tensor.cloned().ok_or("an output is missing")?;
            let wanted = match output {
                Output::Number(number) => self.outputs.get(*number).cloned().flatten(),
                Output::Named(_) => None,
            };
            let values = match wanted {
                Some(wanted) => cast(&tensor.values, &wanted).map_err(|error| error.to_string())?,
                None => tensor.values,
            };
            Ok(Tensor { values, ..tensor })
        });
        tensors.collect()
    }
}

/// In one of the types that rten has.
fn widened(values: &ArrayRef) -> Result<ArrayRef, String> {
    let to = match values.data_type() {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float32,
        DataType::Int8 => DataType::Int8,
        DataType::UInt8 => DataType::UInt8,
        DataType::Boolean | DataType::Int32 | DataType::Int64 => DataType::Int32,
        other => return Err(format!("it does not take values of type {other}")),
    };
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(values, &to, &strict)
        .map_err(|_| "a number does not fit into the 32 bits that rten has".to_owned())
}

fn view<'a>(shape: &[usize], values: &'a ArrayRef) -> Result<ValueOrView<'a>, String> {
    fn numbers<T: ArrowPrimitiveType>(values: &ArrayRef) -> &[T::Native] {
        values.as_primitive::<T>().values()
    }
    Ok(match values.data_type() {
        DataType::Float32 => TensorView::from_data(shape, numbers::<Float32Type>(values)).into(),
        DataType::Int8 => TensorView::from_data(shape, numbers::<Int8Type>(values)).into(),
        DataType::UInt8 => TensorView::from_data(shape, numbers::<UInt8Type>(values)).into(),
        DataType::Int32 => TensorView::from_data(shape, numbers::<Int32Type>(values)).into(),
        other => return Err(format!("it does not take values of type {other}")),
    })
}

fn owned(value: Value) -> Result<Tensor, String> {
    fn tensor<T: ArrowPrimitiveType>(tensor: RtenTensor<T::Native>) -> Tensor {
        let shape = tensor.shape().to_vec();
        Tensor { shape, values: Arc::new(PrimitiveArray::<T>::new(tensor.into_data().into(), None)) }
    }
    Ok(match value {
        Value::FloatTensor(values) => tensor::<Float32Type>(values),
        Value::Int32Tensor(values) => tensor::<Int32Type>(values),
        Value::Int8Tensor(values) => tensor::<Int8Type>(values),
        Value::UInt8Tensor(values) => tensor::<UInt8Type>(values),
        _ => return Err("it gives a sequence of tensors".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let values: ArrayRef = Arc::new(datafusion::arrow::array::Int64Array::from(vec![3_000_000_000]));
        assert_eq!(widened(&values).unwrap_err(), "a number does not fit into the 32 bits that rten has");
    }

    #[test]
    fn what_is_no_graph_is_refused() {
        let bundled = include_bytes!("../models/resnet20-cifar10/model.onnx");
        let graph = Graph::parse(bundled).unwrap();
        let file = GraphFile { graph: Bytes::Static(b"not a graph"), external: Vec::new() };
        assert!(Rten::load(file, &graph).is_err());
    }
}
