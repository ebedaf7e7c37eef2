//! What an ONNX file says about its graph, without a backend: protobuf validation, inputs, outputs, element types.

mod graph_info;
mod validate;

#[cfg(any(test, feature = "gpu"))]
pub(crate) use graph_info::ElementType;
pub(crate) use graph_info::{Dim, GraphInfo, MAX_TENSOR_ELEMENTS, TensorInfo, omits_kernel_shape};
