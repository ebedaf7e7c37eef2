//! [`Gpu`]: ONNX models on a GPU, through `ocelli-gpu`.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Array};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Float32Type};
use ocelli_gpu::{Adapter, BatchRequest, Device, DynamicBatcher, Error, Model, Precision, adapters, may_have_gpu};

use super::api::{Backend, CancelCheck, Done, GraphFile, Input, Output, Queue, Tensor};
use super::selection::GpuTarget;
use crate::onnx::{Element, Graph, TensorInfo};
use crate::runtime::WorkerPool;

/// A graph on a GPU, and again on another one when that is lost.
pub(crate) struct Gpu {
    graph: Arc<ocelli_gpu::Graph>,
    target: GpuTarget,
    precision: Precision,
    /// The graph's outputs with their types, where the file says them.
    outputs: Vec<(String, Option<DataType>)>,
    /// The names of its inputs, as it counts them.
    inputs: Vec<String>,
    /// How many rows it takes at a time, where the file says it.
    fixed: Option<usize>,
    running: Mutex<Arc<Running>>,
}

/// A graph on one device.
struct Running {
    model: Arc<Model>,
    /// Started when the first pictures come, which say how large they are.
    batcher: OnceLock<Result<DynamicBatcher, Error>>,
}

/// What there is, once for the whole process.
fn known() -> &'static [Adapter] {
    static KNOWN: OnceLock<Vec<Adapter>> = OnceLock::new();
    KNOWN.get_or_init(adapters)
}

pub(super) fn lines() -> Result<Vec<String>, String> {
    match known() {
        [] => Err("none (is a Vulkan driver installed?)".to_owned()),
        known => Ok(known.iter().map(ToString::to_string).collect()),
    }
}

/// Names a GPU where no option does, also one that computes on the CPU; empty, it keeps `'auto'` to the CPU.
const ADAPTER: &str = "OCELLI_GPU_ADAPTER";

/// The adapter that has that in its name, or that of the variable; else the first real GPU.
///
/// # Errors
/// The adapters that there are.
pub(super) fn find(name: Option<&str>, must_be_real: bool) -> Result<&'static Adapter, String> {
    let variable = std::env::var(ADAPTER).ok();
    if must_be_real && name.is_none() && variable.as_ref().is_some_and(String::is_empty) {
        return Err(format!("{ADAPTER} is empty"));
    }
    // Drivers take their time, and some talk: where there is no card, they are not asked.
    if must_be_real && !may_have_gpu() {
        return Err("this machine has none".to_owned());
    }
    let variable = variable.filter(|name| !name.is_empty());
    let adapter = Adapter::select(known(), name.or(variable.as_deref())).map_err(|error| error.to_string())?;
    match must_be_real && adapter.is_software {
        true => Err(format!("{} computes on the CPU, and is used only where 'device' is 'gpu'", adapter.name)),
        false => Ok(adapter),
    }
}

impl Gpu {
    pub(super) fn load(file: &GraphFile, graph: &Graph, target: &GpuTarget) -> Result<Self, String> {
        let words = |error: Error| error.to_string();
        // Its numbers are floats: whole ones would lose digits, and be divided like others.
        let is_whole = |input: &&TensorInfo| {
            !matches!(
                input.element,
                Element::F16 | Element::F32 | Element::F64 | Element::I8 | Element::U8 | Element::Bool
            )
        };
        if let Some(input) = graph.inputs.iter().find(is_whole) {
            return Err(format!("its input is {input}, and the GPU computes with floats"));
        }
        let parsed = Arc::new(ocelli_gpu::Graph::parse(&file.graph, &file.external).map_err(words)?);
        let device = Device::shared(Some(&target.name)).map_err(words)?;
        let precision = if target.is_half { Precision::F16 } else { Precision::F32 };
        let running = Running::new(device, Arc::clone(&parsed), precision).map_err(words)?;
        let outputs = graph.outputs.iter().map(|output| (output.name.clone(), output.element.data_type()));
        Ok(Self {
            inputs: graph.inputs.iter().map(|input| input.name.clone()).collect(),
            fixed: graph.inputs.iter().find_map(TensorInfo::fixed_batch),
            outputs: outputs.collect(),
            target: target.clone(),
            precision,
            graph: parsed,
            running: Mutex::new(Arc::new(running)),
        })
    }

    /// The device, or a new one in the place of one that was lost: the query that lost it has failed, the next one runs.
    fn running(&self) -> Result<Arc<Running>, Error> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let is_dead = matches!(running.batcher.get(), Some(Ok(batcher)) if !batcher.is_alive());
        if is_dead || running.model.device().check().is_err() {
            let device = Device::shared(Some(&self.target.name))?;
            *running = Arc::new(Running::new(device, Arc::clone(&self.graph), self.precision)?);
        }
        Ok(Arc::clone(&running))
    }

    fn names(&self, outputs: &[Output]) -> Result<Vec<String>, String> {
        let name = |output: &Output| match output {
            Output::Number(number) => self.outputs.get(*number).map(|(name, _)| name.clone()),
            Output::Named(name) => Some((*name).to_owned()),
        };
        outputs.iter().map(name).collect::<Option<_>>().ok_or_else(|| "it has fewer outputs".to_owned())
    }

    /// One pass, or two of half as many rows where the device has no room for all.
    fn pass(&self, inputs: &[(Vec<usize>, ArrayRef)], names: &[String]) -> Result<Vec<ocelli_gpu::Tensor>, Error> {
        let numbers = inputs.iter().map(|(_, values)| &values.as_primitive::<Float32Type>().values()[..]);
        let given = inputs.iter().zip(numbers);
        let given: Vec<_> =
            given.map(|((shape, _), part)| ocelli_gpu::Input { shape: shape.clone(), chunks: vec![part] }).collect();
        let rows = inputs.first().and_then(|(shape, _)| shape.first().copied()).unwrap_or(0);
        let are_rows = inputs.iter().all(|(shape, _)| shape.first() == Some(&rows));
        match self.running()?.model.run(&given, names) {
            Err(error) if error.is_memory_limit() && self.fixed.is_none() && are_rows && rows > 1 => {
                let half = |first: usize, count: usize| {
                    let part = |(shape, values): &(Vec<usize>, ArrayRef)| {
                        let size = values.len() / rows;
                        ([&[count], &shape[1..]].concat(), values.slice(first * size, count * size))
                    };
                    self.pass(&inputs.iter().map(part).collect::<Vec<_>>(), names)
                };
                let (mut front, back) = (half(0, rows / 2)?, half(rows / 2, rows - rows / 2)?);
                for (front, back) in front.iter_mut().zip(back) {
                    front.values.extend(back.values);
                    if let (Some(rows), Some(more)) = (front.shape.first_mut(), back.shape.first()) {
                        *rows += more;
                    }
                }
                Ok(front)
            }
            other => other,
        }
    }
}

impl Running {
    fn new(device: Arc<Device>, graph: Arc<ocelli_gpu::Graph>, precision: Precision) -> Result<Self, Error> {
        Ok(Self { model: Arc::new(Model::new(device, graph, precision)?), batcher: OnceLock::new() })
    }

    /// What runs pictures of that shape: those of one model are all prepared alike.
    fn batcher(&self, item: &[usize], fixed: Option<usize>, names: &[String]) -> Result<&DynamicBatcher, Error> {
        let make = || DynamicBatcher::new(Arc::clone(&self.model), item.to_vec(), fixed, names);
        let batcher = self.batcher.get_or_init(make);
        batcher.as_ref().map_err(Clone::clone)
    }
}

impl Backend for Gpu {
    fn run(&self, inputs: &[Input], outputs: &[Output], _: &WorkerPool) -> Result<Vec<Tensor>, String> {
        let names = self.names(outputs)?;
        let given = self.inputs.iter().map(|name| {
            let input =
                inputs.iter().find(|input| input.name == *name).ok_or_else(|| format!("input {name} is missing"))?;
            let values = strict(&input.tensor.values, &DataType::Float32)?;
            Ok((input.tensor.shape.clone(), values))
        });
        let given = given.collect::<Result<Vec<_>, String>>()?;
        let results = self.pass(&given, &names).map_err(|error| error.to_string())?;
        let tensors = results.into_iter().zip(&names).map(|(tensor, name)| {
            let wanted =
                self.outputs.iter().find(|(known, _)| known == name).and_then(|(_, data_type)| data_type.clone());
            let values: ArrayRef = Arc::new(Float32Array::from(tensor.values));
            let values = strict(&values, &wanted.unwrap_or(DataType::Float32))?;
            Ok(Tensor { shape: tensor.shape, values })
        });
        tensors.collect()
    }

    fn queue(&self) -> Option<&dyn Queue> {
        (self.inputs.len() == 1).then_some(self)
    }
}

/// Without a NULL for what does not fit.
fn strict(values: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(values, to, &options).map_err(|error| error.to_string())
}

impl Queue for Gpu {
    fn push(&self, values: Vec<f32>, shape: &[usize], outputs: &[Output], is_cancelled: CancelCheck, done: Done) {
        let ready = self.names(outputs).and_then(|names| {
            let running = self.running().map_err(|error| error.to_string())?;
            Ok((running, names))
        });
        let (running, names) = match ready {
            Ok(ready) => ready,
            Err(reason) => return done(Err(reason)),
        };
        let (count, item) = (shape.first().copied().unwrap_or(0), shape.get(1..).unwrap_or_default());
        match running.batcher(item, self.fixed, &names) {
            Ok(batcher) => {
                let done = |results: Result<Vec<ocelli_gpu::Tensor>, Error>| {
                    let results = results.map(|tensors| tensors.into_iter().map(|tensor| tensor.values).collect());
                    done(results.map_err(|error| error.to_string()));
                };
                batcher.push(BatchRequest { values, count, outputs: names, is_cancelled }, Box::new(done));
            }
            Err(error) => done(Err(error.to_string())),
        }
    }

    fn images(&self) -> usize {
        /// Until it is known how large a batch may be.
        const FEW: usize = 32;
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.batcher.get() {
            // One that runs, one that gathers.
            Some(Ok(batcher)) => FEW.max(2 * batcher.max_batch()),
            _ => FEW,
        }
    }
}
