//! [`GraphInfo`]: the signature of an ONNX graph, and properties that determine how it is used.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::panic::catch_unwind;

use datafusion::arrow::datatypes as arrow;
use rten_onnx::onnx::{self, DataLocation, DataType, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

use super::validate;
use super::zip_map::{ZipMaps, zip_maps};

/// The maximum size of a tensor, in elements: 1 GiB of floats. Larger sizes are errors in a file.
pub(crate) const MAX_TENSOR_ELEMENTS: usize = 1 << 28;

/// Inputs, outputs and derived properties of a graph.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GraphInfo {
    /// The inputs without initializers.
    pub(crate) inputs: Vec<TensorInfo>,
    pub(crate) outputs: Vec<TensorInfo>,
    /// The opset version of the default domain.
    pub(crate) opset: i64,
    /// The external data files with weights.
    pub(crate) external_files: BTreeSet<String>,
    /// The activation function that computes the first output.
    pub(crate) output_activation: Option<OutputActivation>,
    /// Whether all floating-point weights are float16.
    pub(crate) is_float16: bool,
    /// The input of the last layer, a candidate for the embedding.
    pub(crate) embedding_candidate: Option<String>,
    /// The names of all computed tensors.
    pub(crate) tensors: BTreeSet<String>,
    /// Whether a convolution omits the attribute `kernel_shape`.
    pub(crate) omits_kernel_shapes: bool,
    /// The operators of the default domain, including those of subgraphs.
    pub(crate) operators: BTreeSet<String>,
    /// The outputs that a ZipMap computes; their declaration is that of its input.
    pub(crate) zip_maps: ZipMaps,
}

/// An activation function whose results are probabilities, or their logarithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputActivation {
    LogSoftmax,
    Sigmoid,
    Softmax,
}

/// The name, element type and shape of an input or output.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TensorInfo {
    pub(crate) name: String,
    pub(crate) element_type: ElementType,
    pub(crate) dims: Vec<Dim>,
}

/// A dimension of a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dim {
    Fixed(usize),
    /// A symbolic dimension: equal names mean equal sizes.
    Named(String),
    Unknown,
}

/// The element type of a tensor (ONNX `TensorProto.DataType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ElementType {
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
    String,
    /// The `TensorProto.DataType` code of an unsupported type.
    Other(i32),
}

impl GraphInfo {
    /// Parses an ONNX file.
    ///
    /// # Errors
    /// A message if it is not a valid ONNX file, or has no inputs or outputs.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, String> {
        const NOT_ONNX: &str = "it is not an ONNX file, or it is corrupt";
        let invalid = |reason: String| format!("{NOT_ONNX} ({reason})");
        validate::validate_protobuf(file).map_err(invalid)?;
        // The parser is third-party code on untrusted bytes, so its panics are caught.
        let parsed = catch_unwind(|| ModelProto::parse_buf(file).map_err(|error| error.to_string()));
        let model = parsed.unwrap_or_else(|_| Err("the parser panicked".to_owned()));
        let model = model.map_err(invalid)?;
        let graph = model.graph.as_ref().filter(|graph| !graph.node.is_empty());
        let graph = graph.ok_or_else(|| format!("{NOT_ONNX} (it contains no graph)"))?;
        let initialized: HashMap<&str, &TensorProto> =
            graph.initializer.iter().filter_map(|tensor| Some((tensor.name.as_deref()?, tensor))).collect();
        let inputs = graph.input.iter().map(tensor_info);
        let inputs = inputs.filter(|input| !initialized.contains_key(input.name.as_str())).collect::<Vec<_>>();
        let zip_maps = zip_maps(graph);
        let outputs = graph.output.iter().map(|output| {
            let info = tensor_info(output);
            match zip_maps.get(&info.name) {
                Some(labels) => {
                    let dims = vec![Dim::Unknown, Dim::Fixed(labels.len())];
                    TensorInfo { name: info.name, element_type: ElementType::F32, dims }
                }
                None => info,
            }
        });
        let outputs: Vec<TensorInfo> = outputs.collect();
        let (Some(_), Some(first_output)) = (inputs.first(), outputs.first()) else {
            return Err("it has no inputs or no outputs".to_owned());
        };
        let default = model.opset_import.iter().find(|set| is_default_domain(set.domain.as_deref()));
        let opset = default.and_then(|set| set.version).unwrap_or(0);
        let output_activation = output_activation(graph, &first_output.name);
        let embedding_candidate = embedding_candidate(graph, &first_output.name, &initialized);
        let external_files = graph.initializer.iter().filter_map(external_file).collect();
        let tensors =
            graph.node.iter().flat_map(|node| &node.output).filter(|name| !name.is_empty()).cloned().collect();
        let omits_kernel_shapes = graph.node.iter().any(omits_kernel_shape);
        let mut operators = BTreeSet::new();
        collect_operators(graph, &mut operators);
        let has = |data_type| graph.initializer.iter().any(|tensor| tensor.data_type == Some(data_type));
        let is_float16 = has(DataType::FLOAT16) && !has(DataType::FLOAT);
        Ok(Self {
            inputs,
            outputs,
            opset,
            external_files,
            output_activation,
            is_float16,
            embedding_candidate,
            tensors,
            omits_kernel_shapes,
            operators,
            zip_maps,
        })
    }

    /// An output of the graph by name.
    pub(crate) fn output(&self, name: &str) -> Option<&TensorInfo> {
        self.outputs.iter().find(|output| output.name == name)
    }
}

/// Operators that keep the values of their first input.
const VALUE_PRESERVING_OPS: [&str; 7] = ["Identity", "Cast", "Flatten", "Squeeze", "Unsqueeze", "Reshape", "Dropout"];

/// The producers of `tensor`, backward through shape-only operators, activations and biases, up to and including the first other
/// operator.
fn producer_chain<'a>(graph: &'a GraphProto, tensor: &str) -> impl Iterator<Item = &'a NodeProto> {
    let producer = |tensor: &str| {
        let node = graph.node.iter().rfind(|node| node.output.iter().any(|output| output == tensor));
        node.filter(|node| node.op_type.as_deref() != Some("Constant"))
    };
    let mut next = producer(tensor);
    // Corrupt graphs may contain cycles.
    let mut steps = graph.node.len();
    std::iter::from_fn(move || {
        let node = next.take()?;
        steps = steps.checked_sub(1)?;
        let op = node.op_type.as_deref().unwrap_or_default();
        if op == "Add" {
            // An Add of a bias passes through; an Add of two computed operands does not.
            let mut computed = node.input.iter().filter_map(|input| producer(input));
            next = computed.next().filter(|_| computed.next().is_none());
        } else if VALUE_PRESERVING_OPS.contains(&op) || OutputActivation::from_op(op).is_some() {
            next = node.input.first().and_then(|input| producer(input));
        }
        Some(node)
    })
}

/// The activation function that computes `output`, if only its shape or type is changed afterwards.
fn output_activation(graph: &GraphProto, output: &str) -> Option<OutputActivation> {
    let mut ops = producer_chain(graph, output).map(|node| node.op_type.as_deref().unwrap_or_default());
    OutputActivation::from_op(ops.find(|op| !VALUE_PRESERVING_OPS.contains(op))?)
}

/// The input of the last fully connected layer (penultimate features).
fn embedding_candidate(graph: &GraphProto, output: &str, initialized: &HashMap<&str, &TensorProto>) -> Option<String> {
    let layer = producer_chain(graph, output)
        .last()
        .filter(|node| matches!(node.op_type.as_deref(), Some("Gemm" | "MatMul")) && node.input.len() >= 2)?;
    let is_weight = |name: &String| initialized.contains_key(name.as_str());
    layer.input[..2].iter().find(|name| !is_weight(name)).cloned()
}

/// Whether a domain is that of the standard operators.
pub(crate) fn is_default_domain(domain: Option<&str>) -> bool {
    matches!(domain, None | Some("" | "ai.onnx"))
}

/// Adds the operators of the default domain in a graph and its subgraphs.
fn collect_operators(graph: &GraphProto, operators: &mut BTreeSet<String>) {
    for node in &graph.node {
        if is_default_domain(node.domain.as_deref()) {
            operators.extend(node.op_type.clone());
        }
        for subgraph in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
            collect_operators(subgraph, operators);
        }
    }
}

/// Whether a convolution omits its optional attribute `kernel_shape`.
pub(crate) fn omits_kernel_shape(node: &NodeProto) -> bool {
    matches!(node.op_type.as_deref(), Some("Conv" | "ConvTranspose"))
        && !node.attribute.iter().any(|attribute| attribute.name.as_deref() == Some("kernel_shape"))
}

/// The external data file of an initializer, if it has one.
fn external_file(tensor: &TensorProto) -> Option<String> {
    if tensor.data_location != Some(DataLocation::EXTERNAL) {
        return None;
    }
    let location = tensor.external_data.iter().find(|entry| entry.key.as_deref() == Some("location"))?;
    location.value.clone()
}

fn tensor_info(value: &ValueInfoProto) -> TensorInfo {
    let tensor = value.r#type.as_ref().and_then(|value_type| value_type.tensor_type.as_ref());
    let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map_or(&[][..], |shape| &shape.dim);
    TensorInfo {
        name: value.name.clone().unwrap_or_default(),
        element_type: ElementType::from_onnx(tensor.and_then(|tensor| tensor.elem_type)),
        dims: dims.iter().map(dim).collect(),
    }
}

fn dim(dim: &onnx::Dimension) -> Dim {
    match (dim.dim_value.map(usize::try_from), &dim.dim_param) {
        (Some(Ok(length)), _) if length > 0 => Dim::Fixed(length),
        (_, Some(name)) if !name.is_empty() => Dim::Named(name.clone()),
        _ => Dim::Unknown,
    }
}

impl OutputActivation {
    const OPS: [(&str, Self); 3] =
        [("LogSoftmax", Self::LogSoftmax), ("Sigmoid", Self::Sigmoid), ("Softmax", Self::Softmax)];

    fn from_op(op: &str) -> Option<Self> {
        Self::OPS.iter().find(|(name, _)| *name == op).map(|(_, activation)| *activation)
    }
}

/// The name of the operator.
impl fmt::Display for OutputActivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::OPS.iter().find(|(_, activation)| activation == self).map_or("", |(name, _)| name))
    }
}

impl ElementType {
    const NAMES: [(Self, DataType, &'static str); 13] = [
        (Self::F16, DataType::FLOAT16, "float16"),
        (Self::F32, DataType::FLOAT, "float32"),
        (Self::F64, DataType::DOUBLE, "float64"),
        (Self::I8, DataType::INT8, "int8"),
        (Self::I16, DataType::INT16, "int16"),
        (Self::I32, DataType::INT32, "int32"),
        (Self::I64, DataType::INT64, "int64"),
        (Self::U8, DataType::UINT8, "uint8"),
        (Self::U16, DataType::UINT16, "uint16"),
        (Self::U32, DataType::UINT32, "uint32"),
        (Self::U64, DataType::UINT64, "uint64"),
        (Self::Bool, DataType::BOOL, "bool"),
        (Self::String, DataType::STRING, "string"),
    ];

    /// The Arrow type.
    pub(crate) fn data_type(self) -> Option<arrow::DataType> {
        Some(match self {
            Self::F16 => arrow::DataType::Float16,
            Self::F32 => arrow::DataType::Float32,
            Self::F64 => arrow::DataType::Float64,
            Self::I8 => arrow::DataType::Int8,
            Self::I16 => arrow::DataType::Int16,
            Self::I32 => arrow::DataType::Int32,
            Self::I64 => arrow::DataType::Int64,
            Self::U8 => arrow::DataType::UInt8,
            Self::U16 => arrow::DataType::UInt16,
            Self::U32 => arrow::DataType::UInt32,
            Self::U64 => arrow::DataType::UInt64,
            Self::Bool => arrow::DataType::Boolean,
            Self::String => arrow::DataType::Utf8,
            Self::Other(_) => return None,
        })
    }

    fn from_onnx(data_type: Option<DataType>) -> Self {
        let code = data_type.map_or(0, |data_type| data_type.0);
        Self::NAMES
            .iter()
            .find(|(_, data_type, _)| data_type.0 == code)
            .map_or(Self::Other(code), |(element_type, ..)| *element_type)
    }
}

impl TensorInfo {
    /// The batch size, if the first dimension is fixed.
    pub(crate) fn fixed_batch(&self) -> Option<usize> {
        match self.dims.first() {
            Some(Dim::Fixed(length)) => Some(*length),
            _ => None,
        }
    }

    /// Whether a dimension has size 3, as the channels of an image.
    pub(crate) fn has_three_channels(&self) -> bool {
        self.dims.len() == 4 && [1, 3].into_iter().any(|axis| self.dims[axis] == Dim::Fixed(3))
    }

    /// The number of dimensions after the first whose size is not 1.
    pub(crate) fn non_unit_rank(&self) -> usize {
        self.dims.iter().skip(1).filter(|dim| **dim != Dim::Fixed(1)).count()
    }
}

/// As in `DESCRIBE MODEL`: `pixel_values float32 [batch, 3, 224, 224]`.
impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.dims.iter().map(ToString::to_string).collect();
        write!(f, "{} {} [{}]", self.name, self.element_type, dims.join(", "))
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(length) => write!(f, "{length}"),
            Self::Named(name) => f.write_str(name),
            Self::Unknown => f.write_str("?"),
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, Self::NAMES.iter().find(|(element_type, ..)| element_type == self)) {
            (_, Some((_, _, name))) => f.write_str(name),
            (Self::Other(code), _) => write!(f, "type {code}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILTIN: &[u8] = include_bytes!("../models/resnet20-cifar10/model.onnx");

    #[test]
    fn the_builtin_graph_is_parsed() {
        let graph = GraphInfo::parse(BUILTIN).unwrap();
        let display = |tensors: &[TensorInfo]| tensors.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(display(&graph.inputs), ["pixel_values float32 [batch, 3, 32, 32]"]);
        assert_eq!(display(&graph.outputs), ["logits float32 [batch, 10]"]);
        assert_eq!(
            (graph.embedding_candidate.as_deref(), graph.output_activation),
            (Some("/ReduceMean_output_0"), None)
        );
        assert!(graph.external_files.is_empty(), "{graph:?}");
    }

    /// A graph of operators, each of which takes the result of the one before it and `b`, as in `op(op(x, b), b)`; the result is `y`.
    fn chain(ops: &[&str]) -> GraphProto {
        let name = |index: usize| if index == ops.len() { "y".to_owned() } else { format!("x{index}") };
        let node = |(index, op): (usize, &&str)| NodeProto {
            op_type: Some((*op).to_owned()),
            input: vec![name(index), "b".to_owned()],
            output: vec![name(index + 1)],
            ..Default::default()
        };
        GraphProto { node: ops.iter().enumerate().map(node).collect(), ..Default::default() }
    }

    #[test]
    fn the_last_operator_is_an_activation() {
        let cases: [(&[&str], Option<OutputActivation>); 9] = [
            (&["Gemm", "Sigmoid"], Some(OutputActivation::Sigmoid)),
            (&["MatMul", "Add", "Softmax", "Identity"], Some(OutputActivation::Softmax)),
            (&["Gemm", "LogSoftmax", "Reshape", "Cast"], Some(OutputActivation::LogSoftmax)),
            (&["Sigmoid", "Flatten"], Some(OutputActivation::Sigmoid)),
            // The values change afterwards.
            (&["Gemm", "Sigmoid", "Mul"], None),
            (&["Gemm", "Softmax", "Add"], None),
            (&["Sigmoid", "Gemm"], None),
            (&["Gemm", "Relu"], None),
            (&[], None),
        ];
        for (ops, expected) in cases {
            assert_eq!(output_activation(&chain(ops), "y"), expected, "{ops:?}");
        }
        assert_eq!(OutputActivation::LogSoftmax.to_string(), "LogSoftmax");
    }

    #[test]
    fn the_embedding_is_the_input_of_the_last_layer() {
        let weights = TensorProto { name: Some("b".to_owned()), ..Default::default() };
        let initialized = HashMap::from([("b", &weights)]);
        let candidate = |ops: &[&str]| embedding_candidate(&chain(ops), "y", &initialized);
        assert_eq!(candidate(&["Relu", "Gemm", "Sigmoid"]).as_deref(), Some("x1"));
        assert_eq!(candidate(&["Relu", "Gemm", "Add", "LogSoftmax"]).as_deref(), Some("x1"));
        assert_eq!(candidate(&["Relu", "Conv", "Sigmoid"]), None);
    }

    #[test]
    fn invalid_files_are_rejected() {
        for file in [&b""[..], b"not a graph", &BUILTIN[..BUILTIN.len() / 2], &[0xff; 64]] {
            let error = GraphInfo::parse(file).unwrap_err();
            assert!(error.starts_with("it is not an ONNX file, or it is corrupt ("), "{error}");
        }
    }
}
