//! [`Graph`]: what an ONNX file says of itself.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::panic::catch_unwind;

use datafusion::arrow::datatypes as arrow;
use rten_onnx::onnx::{self, DataLocation, DataType, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

use super::validate;

/// The outside of a graph, and what of its inside decides how it is used.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Graph {
    /// Without those that have a value already.
    pub(crate) inputs: Vec<TensorInfo>,
    pub(crate) outputs: Vec<TensorInfo>,
    /// The version of the standard operators.
    pub(crate) opset: i64,
    /// Files beside this one that hold weights.
    pub(crate) external_files: BTreeSet<String>,
    /// Whether the first output has gone through a softmax.
    pub(crate) ends_in_softmax: bool,
    /// Whether all of its weights have 16 bits.
    pub(crate) is_half: bool,
    /// The tensor before the last layer.
    pub(crate) features: Option<String>,
    /// The names of everything that is computed.
    pub(crate) tensors: BTreeSet<String>,
    /// Whether the size of some kernel is that of its weights and nowhere else.
    pub(crate) omits_kernel_shapes: bool,
}

/// An input or output.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TensorInfo {
    pub(crate) name: String,
    pub(crate) element: Element,
    pub(crate) dims: Vec<Dim>,
}

/// The length of an axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dim {
    Fixed(usize),
    /// Any, the same wherever it has that name.
    Named(String),
    Unknown,
}

/// The type of a tensor's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
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
    /// ONNX's number of a type that is not known here.
    Other(i32),
}

impl Graph {
    /// Reads an ONNX file.
    ///
    /// # Errors
    /// One sentence when it is none, or one without inputs or outputs.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, String> {
        const NOT_ONNX: &str = "it is not an ONNX file, or a damaged one";
        let refuse = |reason: String| format!("{NOT_ONNX} ({reason})");
        validate::check(file).map_err(refuse)?;
        // The parser is other people's code, and the bytes are anybody's.
        let parsed = catch_unwind(|| ModelProto::parse_buf(file).map_err(|error| error.to_string()));
        let model = parsed.unwrap_or_else(|_| Err("the parser failed on it".to_owned()));
        let model = model.map_err(refuse)?;
        let graph = model.graph.as_ref().filter(|graph| !graph.node.is_empty());
        let graph = graph.ok_or_else(|| format!("{NOT_ONNX} (there are no operators in it)"))?;
        let initialized: HashMap<&str, &TensorProto> =
            graph.initializer.iter().filter_map(|tensor| Some((tensor.name.as_deref()?, tensor))).collect();
        let inputs = graph.input.iter().map(tensor_info);
        let inputs = inputs.filter(|input| !initialized.contains_key(input.name.as_str())).collect::<Vec<_>>();
        let outputs: Vec<TensorInfo> = graph.output.iter().map(tensor_info).collect();
        let (Some(_), Some(first)) = (inputs.first(), outputs.first()) else {
            return Err("it has no input or no output".to_owned());
        };
        let standard = |set: &&onnx::OperatorSetIdProto| matches!(set.domain.as_deref(), None | Some("" | "ai.onnx"));
        let opset = model.opset_import.iter().find(standard).and_then(|set| set.version).unwrap_or(0);
        let ends_in_softmax = chain(graph, &first.name).any(|node| node.op_type.as_deref() == Some("Softmax"));
        let features = features(graph, &first.name, &initialized);
        let external_files = graph.initializer.iter().filter_map(external_file).collect();
        let tensors =
            graph.node.iter().flat_map(|node| &node.output).filter(|name| !name.is_empty()).cloned().collect();
        let omits_kernel_shapes = graph.node.iter().any(omits_kernel_shape);
        let has = |wanted| graph.initializer.iter().any(|tensor| tensor.data_type == Some(wanted));
        let is_half = has(DataType::FLOAT16) && !has(DataType::FLOAT);
        Ok(Self {
            inputs,
            outputs,
            opset,
            external_files,
            ends_in_softmax,
            is_half,
            features,
            tensors,
            omits_kernel_shapes,
        })
    }

    /// The dimensions of a tensor of the graph, when the file says them.
    pub(crate) fn output(&self, name: &str) -> Option<&TensorInfo> {
        self.outputs.iter().find(|output| output.name == name)
    }
}

/// The nodes that only pass a tensor on, from `tensor` backward, up to and with the first that does not, or is a softmax.
fn chain<'a>(graph: &'a GraphProto, tensor: &str) -> impl Iterator<Item = &'a NodeProto> {
    const PASS_ON: [&str; 7] = ["Identity", "Cast", "Flatten", "Squeeze", "Reshape", "Softmax", "Dropout"];
    let maker = |tensor: &str| {
        let made = graph.node.iter().rfind(|node| node.output.iter().any(|output| output == tensor));
        made.filter(|node| node.op_type.as_deref() != Some("Constant"))
    };
    let mut next = maker(tensor);
    // Damaged graphs may go round in circles.
    let mut steps = graph.node.len();
    std::iter::from_fn(move || {
        let node = next.take()?;
        steps = steps.checked_sub(1)?;
        let op = node.op_type.as_deref().unwrap_or_default();
        if op == "Add" {
            // A bias and what it is added to; two computed operands are something else.
            let mut computed = node.input.iter().filter_map(|input| maker(input));
            next = computed.next().filter(|_| computed.next().is_none());
        } else if PASS_ON.contains(&op) {
            next = node.input.first().and_then(|input| maker(input));
        }
        Some(node)
    })
}

/// The input of the last fully connected layer.
fn features(graph: &GraphProto, output: &str, initialized: &HashMap<&str, &TensorProto>) -> Option<String> {
    let layer = chain(graph, output)
        .last()
        .filter(|node| matches!(node.op_type.as_deref(), Some("Gemm" | "MatMul")) && node.input.len() >= 2)?;
    let is_weight = |name: &String| initialized.contains_key(name.as_str());
    layer.input[..2].iter().find(|name| !is_weight(name)).cloned()
}

/// Of a convolution: the attribute that says it may be left out.
pub(crate) fn omits_kernel_shape(node: &NodeProto) -> bool {
    matches!(node.op_type.as_deref(), Some("Conv" | "ConvTranspose"))
        && !node.attribute.iter().any(|attribute| attribute.name.as_deref() == Some("kernel_shape"))
}

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
        element: Element::from_onnx(tensor.and_then(|tensor| tensor.elem_type)),
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

impl Element {
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

    /// In Arrow.
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
        let number = data_type.map_or(0, |data_type| data_type.0);
        Self::NAMES.iter().find(|(_, known, _)| known.0 == number).map_or(Self::Other(number), |(element, ..)| *element)
    }
}

impl TensorInfo {
    /// The length of the first axis, when it has one.
    pub(crate) fn fixed_batch(&self) -> Option<usize> {
        match self.dims.first() {
            Some(Dim::Fixed(length)) => Some(*length),
            _ => None,
        }
    }

    /// Whether one of its axes is said to be the colours of a picture.
    pub(crate) fn has_three_channels(&self) -> bool {
        self.dims.len() == 4 && [1, 3].into_iter().any(|axis| self.dims[axis] == Dim::Fixed(3))
    }

    /// How many axes behind the first are longer than 1, or may be.
    pub(crate) fn axes(&self) -> usize {
        self.dims.iter().skip(1).filter(|dim| **dim != Dim::Fixed(1)).count()
    }
}

/// As in `DESCRIBE MODEL`: `pixel_values float32 [batch, 3, 224, 224]`.
impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.dims.iter().map(ToString::to_string).collect();
        write!(f, "{} {} [{}]", self.name, self.element, dims.join(", "))
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

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, Self::NAMES.iter().find(|(element, ..)| element == self)) {
            (_, Some((_, _, name))) => f.write_str(name),
            (Self::Other(number), _) => write!(f, "type {number}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUNDLED: &[u8] = include_bytes!("../models/resnet20-cifar10/model.onnx");

    #[test]
    fn the_bundled_graph_says_what_it_is() {
        let graph = Graph::parse(BUNDLED).unwrap();
        let shown = |tensors: &[TensorInfo]| tensors.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&graph.inputs), ["pixel_values float32 [batch, 3, 32, 32]"]);
        assert_eq!(shown(&graph.outputs), ["logits float32 [batch, 10]"]);
        assert_eq!((graph.features.as_deref(), graph.ends_in_softmax), (Some("/ReduceMean_output_0"), false));
        assert!(graph.external_files.is_empty(), "{graph:?}");
    }

    #[test]
    fn what_is_no_graph_is_refused() {
        for file in [&b""[..], b"not a graph", &BUNDLED[..BUNDLED.len() / 2], &[0xff; 64]] {
            let error = Graph::parse(file).unwrap_err();
            assert!(error.starts_with("it is not an ONNX file, or a damaged one ("), "{error}");
        }
    }
}
