//! [`Ort`]: the ONNX Runtime backend.

#[cfg(feature = "dynamic-ort")]
mod dynamic;
mod library;

#[cfg(not(any(feature = "dynamic-ort", feature = "bundled-ort")))]
compile_error!("ocelli needs the feature dynamic-ort, which is a default, or bundled-ort");

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, StringArray};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use ort::AsPointer;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, PrimitiveTensorElementType, Shape, TensorElementType, TensorRef, ValueType};

use super::api::{Backend, Bytes, ModelBytes, NamedTensor, OutputRef, Tensor};
use crate::onnx::{GraphInfo, encode_field};
use crate::runtime::WorkerPool;

#[cfg(feature = "dynamic-ort")]
use dynamic::find;
use library::Library;
#[cfg(not(feature = "dynamic-ort"))]
use library::find;

/// Finds and loads the library, once per process. The error is the reason why there is none.
pub(crate) fn library() -> &'static Result<Library, String> {
    static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
    LIBRARY.get_or_init(find)
}

/// A session that any number of workers run concurrently, each on its own thread.
///
/// ONNX Runtime starts no threads: the worker pool provides the parallelism, and one thread per run gives the highest throughput.
pub(crate) struct Ort {
    session: Session,
    /// The names of the graph outputs, followed by the extra outputs.
    outputs: Vec<CString>,
}

impl Ort {
    /// Loads an ONNX file. `extra_outputs` names inner tensors that can be requested in addition to the graph outputs.
    pub(super) fn load(file: ModelBytes, graph: &GraphInfo, extra_outputs: &[String]) -> Result<Self, String> {
        let library = library().as_ref().map_err(Clone::clone)?;
        let to_message = |error: ort::Error| error_message(&error);
        let to_builder_message = |error: ort::Error<ort::session::builder::SessionBuilder>| error_message(&error);
        let builder = Session::builder(&library.environment).map_err(to_message)?;
        let builder = builder.with_intra_threads(1).map_err(to_builder_message)?;
        let builder = builder.with_inter_threads(1).map_err(to_builder_message)?;
        // Memory plans depend on the batch size, which varies.
        let mut builder = builder.with_memory_pattern(false).map_err(to_builder_message)?;
        for (name, bytes) in file.external {
            let bytes: Arc<[u8]> = bytes.into();
            builder = builder.with_external_initializer_file_in_memory(name, bytes).map_err(to_builder_message)?;
        }
        let session = match (extra_outputs, file.graph) {
            ([], bytes) => builder.commit_from_memory(&bytes),
            (extra_outputs, Bytes::Static(bytes)) => {
                builder.commit_from_memory(&with_outputs(bytes.to_vec(), extra_outputs))
            }
            (extra_outputs, Bytes::Owned(bytes)) => builder.commit_from_memory(&with_outputs(bytes, extra_outputs)),
        };
        let names = graph.outputs.iter().map(|output| &output.name).chain(extra_outputs);
        let outputs = names.map(|name| CString::new(name.as_str()).map_err(|error| error.to_string()));
        Ok(Self { session: session.map_err(to_message)?, outputs: outputs.collect::<Result<_, _>>()? })
    }
}

/// Adds inner tensors to the outputs of a graph.
///
/// Protocol Buffers merge repeated occurrences of a field, so the additional outputs are appended to the file:
/// `ModelProto.graph = 7`, `GraphProto.output = 12`, `ValueInfoProto.name = 1`.
fn with_outputs(mut file: Vec<u8>, extra_outputs: &[String]) -> Vec<u8> {
    let outputs: Vec<u8> =
        extra_outputs.iter().flat_map(|name| encode_field(12, &encode_field(1, name.as_bytes()))).collect();
    file.extend(encode_field(7, &outputs));
    file
}

impl Backend for Ort {
    fn run(&self, inputs: &[NamedTensor], outputs: &[OutputRef], _: &WorkerPool) -> Result<Vec<Tensor>, String> {
        let values = inputs.iter().map(|input| value(&input.tensor)).collect::<Result<Vec<_>, _>>()?;
        let names = inputs.iter().map(|input| CString::new(input.name.as_str()).map_err(|error| error.to_string()));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let requested = outputs.iter().map(|output| match output {
            OutputRef::Index(index) => self.outputs.get(*index),
            OutputRef::Name(name) => self.outputs.iter().find(|output| output.as_bytes() == name.as_bytes()),
        });
        let requested = requested
            .collect::<Option<Vec<_>>>()
            .ok_or("a requested output was not declared when the model was loaded")?;
        let results = run(&self.session, &names, &values, &requested)?;
        results.iter().map(tensor).collect()
    }
}

/// `OrtApi::Run`, which is documented to be thread-safe. The crate `ort` requires exclusive access, because some execution providers are
/// not thread-safe; these sessions use the CPU provider only.
fn run(
    session: &Session,
    names: &[CString],
    values: &[SessionInputValue],
    outputs: &[&CString],
) -> Result<Vec<DynValue>, String> {
    let names: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let values: Vec<*const ort::sys::OrtValue> = values.iter().map(|value| value.ptr()).collect();
    let output_names: Vec<_> = outputs.iter().map(|name| name.as_ptr()).collect();
    let mut results: Vec<*mut ort::sys::OrtValue> = vec![ptr::null_mut(); output_names.len()];
    // SAFETY: the session and the values live until this returns; the lengths are those of the arrays; the names are NUL-terminated.
    let status = unsafe {
        (ort::api().Run)(
            session.inner().ptr().cast_mut(),
            ptr::null(),
            names.as_ptr(),
            values.as_ptr(),
            values.len(),
            output_names.as_ptr(),
            output_names.len(),
            results.as_mut_ptr(),
        )
    };
    // SAFETY: the status is what the call returned, and is not used again.
    unsafe { ort::Error::result_from_status(status) }.map_err(|error| error_message(&error))?;
    let results = results.into_iter().map(|result| NonNull::new(result).ok_or("an output is missing".to_owned()));
    // SAFETY: each value is uniquely owned, and allocated by this session's allocator.
    results.map(|result| Ok(unsafe { DynValue::from_ptr(result?, Some(session.allocator())) })).collect()
}

/// The trimmed message of an ONNX Runtime error.
fn error_message<T>(error: &ort::Error<T>) -> String {
    error.message().trim().to_owned()
}

/// A view of a tensor; only strings and booleans are copied.
fn value(tensor: &Tensor) -> Result<SessionInputValue<'_>, String> {
    fn view<T>(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>>
    where
        T: ArrowPrimitiveType,
        T::Native: PrimitiveTensorElementType + std::fmt::Debug,
    {
        let elements: &[T::Native] = tensor.values.as_primitive::<T>().values();
        Ok(TensorRef::from_array_view((tensor.shape.as_slice(), elements))?.into())
    }
    let value = match tensor.values.data_type() {
        DataType::Float16 => view::<Float16Type>(tensor),
        DataType::Float32 => view::<Float32Type>(tensor),
        DataType::Float64 => view::<Float64Type>(tensor),
        DataType::Int8 => view::<Int8Type>(tensor),
        DataType::Int16 => view::<Int16Type>(tensor),
        DataType::Int32 => view::<Int32Type>(tensor),
        DataType::Int64 => view::<Int64Type>(tensor),
        DataType::UInt8 => view::<UInt8Type>(tensor),
        DataType::UInt16 => view::<UInt16Type>(tensor),
        DataType::UInt32 => view::<UInt32Type>(tensor),
        DataType::UInt64 => view::<UInt64Type>(tensor),
        DataType::Boolean => {
            let booleans: Vec<bool> = tensor.values.as_boolean().values().iter().collect();
            ort::value::Tensor::from_array((tensor.shape.clone(), booleans)).map(SessionInputValue::from)
        }
        DataType::Utf8 => {
            let strings = tensor.values.as_string::<i32>().iter();
            let strings: Vec<String> = strings.map(|string| string.unwrap_or_default().to_owned()).collect();
            ort::value::Tensor::from_string_array((tensor.shape.clone(), strings.as_slice()))
                .map(SessionInputValue::from)
        }
        other => return Err(format!("it does not support values of type {other}")),
    };
    value.map_err(|error| error_message(&error))
}

/// Copies an output into Arrow.
fn tensor(value: &DynValue) -> Result<Tensor, String> {
    fn slice<T>(value: &DynValue) -> ort::Result<(&Shape, ArrayRef)>
    where
        T: ArrowPrimitiveType,
        T::Native: PrimitiveTensorElementType,
    {
        let (shape, values) = value.try_extract_tensor::<T::Native>()?;
        Ok((shape, Arc::new(PrimitiveArray::<T>::from_iter_values(values.iter().copied()))))
    }
    let ValueType::Tensor { ty, .. } = value.dtype() else {
        return Err("its output is not a tensor".to_owned());
    };
    let copied = match ty {
        TensorElementType::Float16 => slice::<Float16Type>(value),
        TensorElementType::Float32 => slice::<Float32Type>(value),
        TensorElementType::Float64 => slice::<Float64Type>(value),
        TensorElementType::Int8 => slice::<Int8Type>(value),
        TensorElementType::Int16 => slice::<Int16Type>(value),
        TensorElementType::Int32 => slice::<Int32Type>(value),
        TensorElementType::Int64 => slice::<Int64Type>(value),
        TensorElementType::Uint8 => slice::<UInt8Type>(value),
        TensorElementType::Uint16 => slice::<UInt16Type>(value),
        TensorElementType::Uint32 => slice::<UInt32Type>(value),
        TensorElementType::Uint64 => slice::<UInt64Type>(value),
        TensorElementType::Bool => value.try_extract_tensor::<bool>().map(|(shape, booleans)| {
            let booleans: ArrayRef = Arc::new(BooleanArray::from(booleans.to_vec()));
            (shape, booleans)
        }),
        TensorElementType::String => value.try_extract_strings().map(|(shape, strings)| {
            let strings: ArrayRef = Arc::new(StringArray::from(strings));
            (shape, strings)
        }),
        other => return Err(format!("its output has the unsupported type {other}")),
    };
    let (shape, values) = copied.map_err(|error| error_message(&error))?;
    Ok(Tensor { shape: shape.iter().map(|&length| usize::try_from(length).unwrap_or(0)).collect(), values })
}
