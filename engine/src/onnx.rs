//! ONNX metadata, read without a backend: protobuf validation, inputs, outputs and element types of a graph.

mod graph_info;
mod validate;

pub(crate) use graph_info::{
    Dim, ElementType, GraphInfo, MAX_TENSOR_ELEMENTS, OutputActivation, TensorInfo, omits_kernel_shape,
};
