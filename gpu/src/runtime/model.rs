//! [`Model`]: a graph loaded on a device, and [`Run`], one run in flight.

use std::sync::{Arc, Mutex, PoisonError};

use super::program::{BufferPool, Program, encode};
use crate::device::{Device, MapReceiver, map, write_staging};
use crate::error::Error;
use crate::graph::Graph;
use crate::plan::{plan, plan_memory};
use crate::precision::Precision;

/// A graph whose weights are on a device. Runs can be started from any thread; the device executes them in order.
#[derive(Debug)]
pub struct Model {
    device: Arc<Device>,
    graph: Arc<Graph>,
    precision: Precision,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pool: BufferPool,
    /// An LRU cache, the most recently used last.
    programs: Vec<(ProgramKey, Program)>,
    /// Idle buffers for downloads, with their sizes.
    download_buffers: Vec<(wgpu::Buffer, u64)>,
    /// Idle mapped buffers for uploads, with their sizes.
    upload_buffers: Vec<(wgpu::Buffer, u64)>,
}

/// The shapes of the inputs, and the requested outputs.
type ProgramKey = (Vec<Vec<usize>>, Vec<String>);

/// Each cached program has a few buffers of its own.
const MAX_CACHED_PROGRAMS: usize = 16;

/// The value of a graph input, in row-major order.
#[derive(Debug)]
pub struct Input<'a> {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its elements, in consecutive chunks.
    pub chunks: Vec<&'a [f32]>,
}

/// An output tensor, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputTensor {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its elements.
    pub values: Vec<f32>,
}

/// A run in flight.
#[derive(Debug)]
pub struct Run<'m> {
    model: &'m Model,
    submission: wgpu::SubmissionIndex,
    /// The buffer that the outputs are downloaded to, and its size.
    staging: wgpu::Buffer,
    bytes: u64,
    mapped: MapReceiver,
    /// The upload buffers of the inputs with their sizes, returned to the pool once they are mapped again.
    uploads: Vec<(MapReceiver, wgpu::Buffer, u64)>,
    /// The shape of each output, and its byte offset in `staging`.
    outputs: Vec<(Vec<usize>, u64)>,
}

impl Model {
    /// Loads a graph. Its weights are uploaded by the first run that needs them.
    ///
    /// # Errors
    /// [`Error::Unsupported`] names an operator that is not supported, [`Error::MissingFeature`] if the device does not support 16-bit floats
    /// and `precision` needs them.
    pub fn new(device: Arc<Device>, graph: Arc<Graph>, precision: Precision) -> Result<Self, Error> {
        graph.check_supported()?;
        if precision == Precision::F16 && !device.adapter().has_f16 {
            return Err(Error::MissingFeature {
                adapter: device.adapter().name.clone(),
                feature: "16-bit floats".to_owned(),
            });
        }
        Ok(Self { device, graph, precision, state: Mutex::default() })
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// The storage type of its tensors.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The graph that it runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Starts a run with inputs in the order of the graph, for outputs or intermediate tensors by name. The device works while the
    /// caller prepares the next run.
    ///
    /// # Errors
    /// [`Error::is_memory_limit`] ones if a smaller batch may succeed; [`Error::Unsupported`] and [`Error::Graph`] if the graph
    /// cannot be planned for these shapes; [`Error::Lost`] if the device is lost.
    pub fn start(&self, inputs: &[Input], outputs: &[String]) -> Result<Run<'_>, Error> {
        self.device.check()?;
        for (name, input) in self.graph.inputs.iter().zip(inputs) {
            let given: usize = input.chunks.iter().map(|chunk| chunk.len()).sum();
            if input.shape.iter().product::<usize>() != given {
                let reason = format!("input '{name}' of shape {:?} got {given} elements", input.shape);
                return Err(Error::Graph { reason });
            }
        }
        if inputs.len() != self.graph.inputs.len() {
            let reason = format!("the graph takes {} inputs, got {}", self.graph.inputs.len(), inputs.len());
            return Err(Error::Graph { reason });
        }
        let key: ProgramKey = (inputs.iter().map(|input| input.shape.clone()).collect(), outputs.to_vec());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.submit(&mut state, inputs, &key).inspect_err(|error| {
            if error.is_memory_limit() {
                // Frees the buffers of this batch, and keeps the weights, to make space for a smaller one.
                *state = State { pool: std::mem::take(&mut state.pool), ..State::default() };
                state.pool.shrink();
            }
        })
    }

    fn submit(&self, state: &mut State, inputs: &[Input], key: &ProgramKey) -> Result<Run<'_>, Error> {
        self.pack(state, key)?;
        let State { programs, download_buffers, upload_buffers, .. } = state;
        let Some((_, program)) = programs.last() else {
            return Err(Error::Graph { reason: "no program was prepared".to_owned() });
        };
        // The outputs are concatenated, each at a multiple of four bytes, as copies require.
        let mut bytes = 0;
        let mut outputs = Vec::new();
        for output in &program.outputs {
            outputs.push((output.shape.clone(), bytes));
            bytes += self.bytes(output.shape.iter().product());
        }
        let staging = match take_pooled(download_buffers, bytes) {
            Some(staging) => staging,
            None => self.device.buffer(bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)?,
        };
        let mut commands = self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut uploads = Vec::new();
        for (input, buffer) in inputs.iter().zip(&program.inputs) {
            let Some((buffer, len)) = buffer else { continue };
            let size = self.bytes(*len);
            let upload = take_pooled(upload_buffers, size).map_or_else(|| self.device.staging_buffer(size), Ok)?;
            write_staging(&upload, |write| encode(self.precision, &input.chunks, write))?;
            commands.copy_buffer_to_buffer(&upload, 0, buffer, 0, size);
            uploads.push((upload, size));
        }
        program.encode(&mut commands);
        for (output, (shape, offset)) in program.outputs.iter().zip(&outputs) {
            let size = self.bytes(shape.iter().product());
            commands.copy_buffer_to_buffer(&output.buffer, 0, &staging, *offset, size);
        }
        let submission = self.device.queue.submit([commands.finish()]);
        let mapped = map(&staging, wgpu::MapMode::Read);
        let uploads = uploads.into_iter().map(|(upload, size)| (map(&upload, wgpu::MapMode::Write), upload, size));
        Ok(Run { model: self, submission, staging, bytes, mapped, uploads: uploads.collect(), outputs })
    }

    /// Runs the model and waits for the outputs.
    ///
    /// # Errors
    /// Those of [`Model::start`] and [`Run::wait`].
    pub fn run(&self, inputs: &[Input], outputs: &[String]) -> Result<Vec<OutputTensor>, Error> {
        self.start(inputs, outputs)?.wait()
    }

    /// Estimates the device memory of a run with inputs of these shapes, without weights: the total bytes, and those of the largest
    /// buffer.
    ///
    /// # Errors
    /// Those of planning.
    pub fn working_set_bytes(&self, shapes: &[Vec<usize>], outputs: &[String]) -> Result<(u64, u64), Error> {
        let plan = plan(&self.graph, shapes, outputs)?;
        let size = self.precision.size() as u64;
        let sizes = plan_memory(&plan).sizes;
        let inputs: usize = shapes.iter().map(|shape| shape.iter().product::<usize>()).sum();
        let total: usize = sizes.iter().sum::<usize>() + inputs;
        let largest = sizes.iter().copied().max().unwrap_or(0).max(inputs);
        Ok((total as u64 * size, largest as u64 * size))
    }

    /// Measures seconds per run of each kernel.
    pub(crate) fn time_kernels(&self, shapes: &[Vec<usize>], outputs: &[String]) -> Result<Vec<f64>, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.pack(&mut state, &(shapes.to_vec(), outputs.to_vec()))?;
        state.programs.last().map_or_else(|| Ok(Vec::new()), |(_, program)| program.benchmark(&self.device))
    }

    /// Submits several runs on the current contents of the input buffers.
    pub(crate) fn repeat(
        &self,
        shapes: &[Vec<usize>],
        outputs: &[String],
        runs: usize,
    ) -> Result<wgpu::SubmissionIndex, Error> {
        self.device.check()?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.pack(&mut state, &(shapes.to_vec(), outputs.to_vec()))?;
        let mut commands = self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if let Some((_, program)) = state.programs.last() {
            (0..runs).for_each(|_| program.encode(&mut commands));
        }
        Ok(self.device.queue.submit([commands.finish()]))
    }

    /// Moves the program of this key to the end of the cache, compiling it if needed.
    fn pack(&self, state: &mut State, key: &ProgramKey) -> Result<(), Error> {
        if let Some(index) = state.programs.iter().position(|(cached, _)| cached == key) {
            let program = state.programs.remove(index);
            state.programs.push(program);
            return Ok(());
        }
        let plan = plan(&self.graph, &key.0, &key.1)?;
        let (program, others_are_valid) = Program::new(&self.device, self.precision, &plan, &mut state.pool)?;
        if !others_are_valid {
            state.programs.clear();
        }
        if state.programs.len() == MAX_CACHED_PROGRAMS {
            state.programs.remove(0);
        }
        state.programs.push((key.clone(), program));
        Ok(())
    }

    /// Bytes of `len` elements, rounded up as copies require.
    fn bytes(&self, len: usize) -> u64 {
        (len * self.precision.size()).next_multiple_of(4) as u64
    }
}

impl Run<'_> {
    /// Waits for the run and downloads its outputs.
    ///
    /// # Errors
    /// [`Error::Lost`] if the device was lost during the run.
    pub fn wait(self) -> Result<Vec<OutputTensor>, Error> {
        let Self { model, submission, staging, bytes, mapped, uploads, outputs } = self;
        let tensors = model.device.read_back(submission, &staging, &mapped, |view| {
            let tensors = outputs.into_iter().map(|(shape, offset)| {
                let len = shape.iter().product();
                OutputTensor { values: model.precision.decode(&view[offset as usize..], len), shape }
            });
            tensors.collect()
        })?;
        let mut state = model.state.lock().unwrap_or_else(PoisonError::into_inner);
        return_to_pool(&mut state.download_buffers, staging, bytes);
        for (mapped, upload, size) in uploads {
            if matches!(mapped.try_recv(), Ok(Ok(()))) {
                return_to_pool(&mut state.upload_buffers, upload, size);
            }
        }
        Ok(tensors)
    }
}

/// Takes an idle buffer of exactly that size.
fn take_pooled(pool: &mut Vec<(wgpu::Buffer, u64)>, bytes: u64) -> Option<wgpu::Buffer> {
    let index = pool.iter().position(|(_, size)| *size == bytes)?;
    Some(pool.swap_remove(index).0)
}

/// Keeps a buffer for a later run, evicting the oldest one if the pool is full.
fn return_to_pool(pool: &mut Vec<(wgpu::Buffer, u64)>, buffer: wgpu::Buffer, bytes: u64) {
    const MAX_POOLED_BUFFERS: usize = 4;
    if pool.len() == MAX_POOLED_BUFFERS {
        pool.remove(0);
    }
    pool.push((buffer, bytes));
}
