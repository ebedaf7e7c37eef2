//! ONNX metadata, read without a backend: protobuf validation, inputs, outputs and element types of a graph.

mod graph_info;
mod validate;
mod wire;
mod zip_map;

pub(crate) use graph_info::{
    Dim, ElementType, GraphInfo, MAX_TENSOR_ELEMENTS, OutputActivation, TensorInfo, is_default_domain,
    omits_kernel_shape,
};
pub(crate) use wire::encode_field;
pub(crate) use zip_map::replace_zip_maps;
