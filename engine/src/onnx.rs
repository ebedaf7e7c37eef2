//! What an ONNX file says about its graph, without a backend: protobuf validation, inputs, outputs, element types.

mod graph_info;
mod validate;

#[cfg(any(test, feature = "gpu"))]
pub(crate) use graph_info::Element;
pub(crate) use graph_info::{Dim, Graph, TensorInfo, omits_kernel_shape};
