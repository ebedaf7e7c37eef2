//! [`Gpu`]: ONNX models on a GPU, through `ocelli-gpu`.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Array};
use datafusion::arrow::datatypes::{DataType, Float32Type};
use ocelli_gpu::{Adapter, BatchRequest, Device, DynamicBatcher, Error, Model, Precision, adapters, may_have_gpu};

use super::api::{
    Backend, CancelCheck, DeviceQueue, GpuTarget, ModelBytes, NamedTensor, OutputRef, RunCompletion, Tensor,
    cast_checked, cast_to_input,
};
use crate::onnx::{ElementType, GraphInfo, TensorInfo};
use crate::runtime::WorkerPool;

/// A model on a GPU. Reloaded on a new device if the device is lost.
pub(crate) struct Gpu {
    graph: Arc<ocelli_gpu::Graph>,
    target: GpuTarget,
    precision: Precision,
    /// The names of the graph outputs, and their types if the file declares them.
    outputs: Vec<(String, Option<DataType>)>,
    /// The names of the graph inputs, in order.
    inputs: Vec<String>,
    /// The fixed batch size, if the graph has one.
    fixed_batch: Option<usize>,
    current: Mutex<Arc<DeviceModel>>,
}

/// The model on one device.
struct DeviceModel {
    model: Arc<Model>,
    /// Started with the first request, which determines the shape of an image.
    batcher: OnceLock<Result<DynamicBatcher, Error>>,
}

/// The adapters of the machine, enumerated once per process.
fn all_adapters() -> &'static [Adapter] {
    static ADAPTERS: OnceLock<Vec<Adapter>> = OnceLock::new();
    ADAPTERS.get_or_init(adapters)
}

/// One line per adapter.
pub(super) fn adapter_descriptions() -> Result<Vec<String>, String> {
    match all_adapters() {
        [] => Err("none (is a Vulkan driver installed?)".to_owned()),
        found => Ok(found.iter().map(ToString::to_string).collect()),
    }
}

/// Environment variable that selects an adapter by a substring of its name, including software adapters, unless an option does. If it is
/// empty, `'auto'` selects the CPU.
const ADAPTER_VARIABLE: &str = "OCELLI_GPU_ADAPTER";

/// The adapter whose name contains `name` or the variable's value, otherwise the first hardware adapter.
///
/// # Errors
/// A message that lists the adapters.
pub(super) fn select_adapter(name: Option<&str>, hardware_only: bool) -> Result<&'static Adapter, String> {
    let variable = std::env::var(ADAPTER_VARIABLE).ok();
    if hardware_only && name.is_none() && variable.as_ref().is_some_and(String::is_empty) {
        return Err(format!("{ADAPTER_VARIABLE} is empty"));
    }
    // Enumeration is slow, and some drivers print messages: it is skipped on machines without a GPU.
    if hardware_only && !may_have_gpu() {
        return Err("this machine has no GPU".to_owned());
    }
    let variable = variable.filter(|name| !name.is_empty());
    let adapter = Adapter::select(all_adapters(), name.or(variable.as_deref())).map_err(|error| error.to_string())?;
    match hardware_only && adapter.is_software {
        true => Err(format!("{} is a software adapter, which is used only with device 'gpu'", adapter.name)),
        false => Ok(adapter),
    }
}

impl Gpu {
    /// Loads a model on the adapter of `target`.
    pub(super) fn load(file: &ModelBytes, graph: &GraphInfo, target: &GpuTarget) -> Result<Self, String> {
        let to_message = |error: Error| error.to_string();
        // The GPU computes with floats: wider integers would lose precision, and integer division would be wrong.
        let is_unsupported = |input: &&TensorInfo| {
            !matches!(
                input.element_type,
                ElementType::F16
                    | ElementType::F32
                    | ElementType::F64
                    | ElementType::I8
                    | ElementType::U8
                    | ElementType::Bool
            )
        };
        if let Some(input) = graph.inputs.iter().find(is_unsupported) {
            return Err(format!("its input is {input}, and the GPU backend computes with floats only"));
        }
        let parsed = Arc::new(ocelli_gpu::Graph::parse(&file.graph, &file.external).map_err(to_message)?);
        let device = Device::shared(Some(&target.name)).map_err(to_message)?;
        let precision = if target.is_float16 { Precision::F16 } else { Precision::F32 };
        let current = DeviceModel::new(device, Arc::clone(&parsed), precision).map_err(to_message)?;
        let outputs = graph.outputs.iter().map(|output| (output.name.clone(), output.element_type.data_type()));
        Ok(Self {
            inputs: graph.inputs.iter().map(|input| input.name.clone()).collect(),
            fixed_batch: graph.inputs.iter().find_map(TensorInfo::fixed_batch),
            outputs: outputs.collect(),
            target: target.clone(),
            precision,
            graph: parsed,
            current: Mutex::new(Arc::new(current)),
        })
    }

    /// The model on the current device, or on a new one if that was lost: the query that lost it fails, later ones run.
    fn current(&self) -> Result<Arc<DeviceModel>, Error> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let is_dead = matches!(current.batcher.get(), Some(Ok(batcher)) if !batcher.is_alive());
        if is_dead || current.model.device().check().is_err() {
            let device = Device::shared(Some(&self.target.name))?;
            *current = Arc::new(DeviceModel::new(device, Arc::clone(&self.graph), self.precision)?);
        }
        Ok(Arc::clone(&current))
    }

    fn names(&self, outputs: &[OutputRef]) -> Result<Vec<String>, String> {
        let name = |output: &OutputRef| match output {
            OutputRef::Index(index) => self.outputs.get(*index).map(|(name, _)| name.clone()),
            OutputRef::Name(name) => Some((*name).to_owned()),
        };
        outputs.iter().map(name).collect::<Option<_>>().ok_or_else(|| "the model has fewer outputs".to_owned())
    }

    /// Runs the model; if the batch exceeds the device memory, runs it in halves.
    fn run_halving_on_oom(
        &self,
        inputs: &[(Vec<usize>, ArrayRef)],
        names: &[String],
    ) -> Result<Vec<ocelli_gpu::OutputTensor>, Error> {
        let values = inputs.iter().map(|(_, values)| &values.as_primitive::<Float32Type>().values()[..]);
        let gpu_inputs = inputs.iter().zip(values);
        let gpu_inputs: Vec<_> = gpu_inputs
            .map(|((shape, _), values)| ocelli_gpu::Input { shape: shape.clone(), chunks: vec![values] })
            .collect();
        let rows = inputs.first().and_then(|(shape, _)| shape.first().copied()).unwrap_or(0);
        let have_equal_rows = inputs.iter().all(|(shape, _)| shape.first() == Some(&rows));
        match self.current()?.model.run(&gpu_inputs, names) {
            Err(error) if error.is_memory_limit() && self.fixed_batch.is_none() && have_equal_rows && rows > 1 => {
                let run_rows = |first: usize, count: usize| {
                    let slice_rows = |(shape, values): &(Vec<usize>, ArrayRef)| {
                        let row_len = values.len() / rows;
                        ([&[count], &shape[1..]].concat(), values.slice(first * row_len, count * row_len))
                    };
                    self.run_halving_on_oom(&inputs.iter().map(slice_rows).collect::<Vec<_>>(), names)
                };
                let (mut outputs, second) = (run_rows(0, rows / 2)?, run_rows(rows / 2, rows - rows / 2)?);
                for (output, second) in outputs.iter_mut().zip(second) {
                    output.values.extend(second.values);
                    if let (Some(rows), Some(second_rows)) = (output.shape.first_mut(), second.shape.first()) {
                        *rows += second_rows;
                    }
                }
                Ok(outputs)
            }
            other => other,
        }
    }
}

impl DeviceModel {
    fn new(device: Arc<Device>, graph: Arc<ocelli_gpu::Graph>, precision: Precision) -> Result<Self, Error> {
        Ok(Self { model: Arc::new(Model::new(device, graph, precision)?), batcher: OnceLock::new() })
    }

    /// The batcher, started by the first call. All images of a model have the same shape, `item_shape`.
    fn batcher(
        &self,
        item_shape: &[usize],
        fixed_batch: Option<usize>,
        names: &[String],
    ) -> Result<&DynamicBatcher, Error> {
        let start = || DynamicBatcher::new(Arc::clone(&self.model), item_shape.to_vec(), fixed_batch, names);
        let batcher = self.batcher.get_or_init(start);
        batcher.as_ref().map_err(Clone::clone)
    }
}

impl Backend for Gpu {
    fn run(&self, inputs: &[NamedTensor], outputs: &[OutputRef], _: &WorkerPool) -> Result<Vec<Tensor>, String> {
        let names = self.names(outputs)?;
        let gpu_inputs = self.inputs.iter().map(|name| {
            let input =
                inputs.iter().find(|input| input.name == *name).ok_or_else(|| format!("input {name} is missing"))?;
            let values = cast_to_input(&input.tensor.values, &DataType::Float32).map_err(|error| error.to_string())?;
            Ok((input.tensor.shape.clone(), values))
        });
        let gpu_inputs = gpu_inputs.collect::<Result<Vec<_>, String>>()?;
        let results = self.run_halving_on_oom(&gpu_inputs, &names).map_err(|error| error.to_string())?;
        let tensors = results.into_iter().zip(&names).map(|(tensor, name)| {
            let data_type =
                self.outputs.iter().find(|(output, _)| output == name).and_then(|(_, data_type)| data_type.clone());
            let values: ArrayRef = Arc::new(Float32Array::from(tensor.values));
            let values =
                cast_checked(&values, &data_type.unwrap_or(DataType::Float32)).map_err(|error| error.to_string())?;
            Ok(Tensor { shape: tensor.shape, values })
        });
        tensors.collect()
    }

    fn queue(&self) -> Option<&dyn DeviceQueue> {
        (self.inputs.len() == 1).then_some(self)
    }
}

impl DeviceQueue for Gpu {
    fn push(
        &self,
        values: Vec<f32>,
        shape: &[usize],
        outputs: &[OutputRef],
        is_cancelled: CancelCheck,
        done: RunCompletion,
    ) {
        let prepared = self.names(outputs).and_then(|names| {
            let current = self.current().map_err(|error| error.to_string())?;
            Ok((current, names))
        });
        let (current, names) = match prepared {
            Ok(prepared) => prepared,
            Err(reason) => return done(Err(reason)),
        };
        let (count, item_shape) = (shape.first().copied().unwrap_or(0), shape.get(1..).unwrap_or_default());
        match current.batcher(item_shape, self.fixed_batch, &names) {
            Ok(batcher) => {
                let done = |results: Result<Vec<ocelli_gpu::OutputTensor>, Error>| {
                    let results = results.map(|tensors| tensors.into_iter().map(|tensor| tensor.values).collect());
                    done(results.map_err(|error| error.to_string()));
                };
                batcher.push(BatchRequest { values, count, outputs: names, is_cancelled }, Box::new(done));
            }
            Err(error) => done(Err(error.to_string())),
        }
    }

    fn depth(&self) -> usize {
        /// The depth until the batch size is known, and the least afterwards.
        const MIN_QUEUE_DEPTH: usize = 32;
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match current.batcher.get() {
            // One batch that runs, and one that is being assembled.
            Some(Ok(batcher)) => MIN_QUEUE_DEPTH.max(2 * batcher.max_batch()),
            _ => MIN_QUEUE_DEPTH,
        }
    }
}
