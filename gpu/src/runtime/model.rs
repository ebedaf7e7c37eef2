//! [`Model`]: a graph on a device, and [`Run`], one pass under way.

use std::sync::{Arc, Mutex, PoisonError};

use super::program::{Memory, Program, encode};
use crate::device::{Device, Mapped, fill, map};
use crate::error::Error;
use crate::graph::Graph;
use crate::plan::{arena, plan};
use crate::precision::Precision;

/// A graph whose weights are on a device. Passes are started from any thread and run one after the other.
#[derive(Debug)]
pub struct Model {
    device: Arc<Device>,
    graph: Arc<Graph>,
    precision: Precision,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    memory: Memory,
    /// The last one used is the last one.
    programs: Vec<(Shapes, Program)>,
    /// Buffers that results are read from, and nobody reads now.
    readable: Vec<(wgpu::Buffer, u64)>,
    /// Buffers that inputs are written to, mapped, and of which nothing is copied now.
    writable: Vec<(wgpu::Buffer, u64)>,
}

/// What a program is for: the shapes of the inputs, and the tensors that are wanted.
type Shapes = (Vec<Vec<usize>>, Vec<String>);

/// Programs that are kept. Each has a few buffers of its own.
const MOST_PROGRAMS: usize = 16;

/// A value of one of the graph's inputs, in row-major order.
#[derive(Debug)]
pub struct Input<'a> {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its numbers, in as many parts as they come.
    pub parts: Vec<&'a [f32]>,
}

/// A tensor that was computed, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub values: Vec<f32>,
}

/// A pass that the device is at work on.
#[derive(Debug)]
pub struct Run<'m> {
    model: &'m Model,
    submission: wgpu::SubmissionIndex,
    staging: wgpu::Buffer,
    bytes: u64,
    mapped: Mapped,
    /// What the inputs were written to, to be written again.
    uploads: Vec<(Mapped, wgpu::Buffer, u64)>,
    /// For each tensor its shape, and where its bytes begin.
    outputs: Vec<(Vec<usize>, u64)>,
}

impl Model {
    /// Takes a graph to a device. Weights are copied when the first pass needs them.
    ///
    /// # Errors
    /// [`Error::Unsupported`] names an operator that does not run there, [`Error::Missing`] what the device lacks for 16-bit floats.
    pub fn new(device: Arc<Device>, graph: Arc<Graph>, precision: Precision) -> Result<Self, Error> {
        graph.check()?;
        if precision == Precision::F16 && !device.adapter().has_f16 {
            return Err(Error::Missing { adapter: device.adapter().name.clone(), feature: "16-bit floats".to_owned() });
        }
        Ok(Self { device, graph, precision, state: Mutex::default() })
    }

    /// Where it runs.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// How many bits its numbers have.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The graph that it runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Starts a pass over inputs in the order of the graph, for tensors by their names. The device works on it while the caller
    /// prepares the next one.
    ///
    /// # Errors
    /// [`Error::is_memory`] ones when a smaller batch may do; [`Error::Unsupported`] and [`Error::Graph`] when the graph cannot be
    /// run on these shapes; [`Error::Lost`] when the device is gone.
    pub fn start(&self, inputs: &[Input], wanted: &[String]) -> Result<Run<'_>, Error> {
        self.device.check()?;
        for (name, input) in self.graph.inputs.iter().zip(inputs) {
            let given: usize = input.parts.iter().map(|part| part.len()).sum();
            if input.shape.iter().product::<usize>() != given {
                let reason = format!("its input '{name}' of shape {:?} got {given} numbers", input.shape);
                return Err(Error::Graph { reason });
            }
        }
        if inputs.len() != self.graph.inputs.len() {
            let reason = format!("it has {} inputs and got {}", self.graph.inputs.len(), inputs.len());
            return Err(Error::Graph { reason });
        }
        let shapes: Shapes = (inputs.iter().map(|input| input.shape.clone()).collect(), wanted.to_vec());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.submit(&mut state, inputs, &shapes).inspect_err(|error| {
            if error.is_memory() {
                // What was taken for this batch is in the way of a smaller one.
                *state = State { memory: std::mem::take(&mut state.memory), ..State::default() };
                state.memory.shrink();
            }
        })
    }

    fn submit(&self, state: &mut State, inputs: &[Input], shapes: &Shapes) -> Result<Run<'_>, Error> {
        self.prepare(state, shapes)?;
        let State { programs, readable, writable, .. } = state;
        let Some((_, program)) = programs.last() else {
            return Err(Error::Graph { reason: "there is no program".to_owned() });
        };
        // Results one behind the other; a copy begins at a multiple of four bytes.
        let mut bytes = 0;
        let mut outputs = Vec::new();
        for output in &program.outputs {
            outputs.push((output.shape.clone(), bytes));
            bytes += self.bytes(output.shape.iter().product());
        }
        let staging = match take(readable, bytes) {
            Some(staging) => staging,
            None => self.device.buffer(bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)?,
        };
        let mut commands = self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut uploads = Vec::new();
        for (input, buffer) in inputs.iter().zip(&program.inputs) {
            let Some((buffer, len)) = buffer else { continue };
            let size = self.bytes(*len);
            let upload = take(writable, size).map_or_else(|| self.device.writable(size), Ok)?;
            fill(&upload, |write| encode(self.precision, &input.parts, write))?;
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

    /// One pass from start to end.
    ///
    /// # Errors
    /// Those of [`Model::start`] and [`Run::wait`].
    pub fn run(&self, inputs: &[Input], wanted: &[String]) -> Result<Vec<Tensor>, Error> {
        self.start(inputs, wanted)?.wait()
    }

    /// The bytes that results take on the device in one pass, and those of the largest of them, for inputs of these shapes.
    ///
    /// # Errors
    /// Those of planning.
    pub fn working_bytes(&self, shapes: &[Vec<usize>], wanted: &[String]) -> Result<(u64, u64), Error> {
        let plan = plan(&self.graph, shapes, wanted)?;
        let size = self.precision.size() as u64;
        let arena = arena(&plan).buffers;
        let inputs: usize = shapes.iter().map(|shape| shape.iter().product::<usize>()).sum();
        let total: usize = arena.iter().sum::<usize>() + inputs;
        let largest = arena.iter().copied().max().unwrap_or(0).max(inputs);
        Ok((total as u64 * size, largest as u64 * size))
    }

    /// Seconds that the device takes for each kernel of a pass.
    pub(crate) fn each(&self, shapes: &[Vec<usize>], wanted: &[String]) -> Result<Vec<f64>, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.prepare(&mut state, &(shapes.to_vec(), wanted.to_vec()))?;
        state.programs.last().map_or_else(|| Ok(Vec::new()), |(_, program)| program.seconds(&self.device))
    }

    /// Starts several passes over whatever is on the device.
    pub(crate) fn repeat(
        &self,
        shapes: &[Vec<usize>],
        wanted: &[String],
        passes: usize,
    ) -> Result<wgpu::SubmissionIndex, Error> {
        self.device.check()?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.prepare(&mut state, &(shapes.to_vec(), wanted.to_vec()))?;
        let mut commands = self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if let Some((_, program)) = state.programs.last() {
            (0..passes).for_each(|_| program.encode(&mut commands));
        }
        Ok(self.device.queue.submit([commands.finish()]))
    }

    /// Has the program for these shapes last in the list.
    fn prepare(&self, state: &mut State, shapes: &Shapes) -> Result<(), Error> {
        if let Some(number) = state.programs.iter().position(|(known, _)| known == shapes) {
            let program = state.programs.remove(number);
            state.programs.push(program);
            return Ok(());
        }
        let plan = plan(&self.graph, &shapes.0, &shapes.1)?;
        let (program, others_are_good) = Program::new(&self.device, self.precision, &plan, &mut state.memory)?;
        if !others_are_good {
            state.programs.clear();
        }
        if state.programs.len() == MOST_PROGRAMS {
            state.programs.remove(0);
        }
        state.programs.push((shapes.clone(), program));
        Ok(())
    }

    /// Bytes of so many numbers, as they are copied.
    fn bytes(&self, numbers: usize) -> u64 {
        (numbers * self.precision.size()).next_multiple_of(4) as u64
    }
}

impl Run<'_> {
    /// Waits for the device, and reads what it has computed.
    ///
    /// # Errors
    /// [`Error::Lost`] when the device stopped on the way.
    pub fn wait(self) -> Result<Vec<Tensor>, Error> {
        let Self { model, submission, staging, bytes, mapped, uploads, outputs } = self;
        model.device.wait(submission)?;
        let lost = |reason: String| Error::Lost { reason };
        mapped.recv().map_err(|error| lost(error.to_string()))?.map_err(|error| lost(error.to_string()))?;
        let view = staging.get_mapped_range(..).map_err(|error| lost(error.to_string()))?;
        let tensors = outputs.into_iter().map(|(shape, offset)| {
            let len = shape.iter().product();
            Tensor { values: model.precision.decode(&view[offset as usize..], len), shape }
        });
        let tensors = tensors.collect();
        drop(view);
        staging.unmap();
        let mut state = model.state.lock().unwrap_or_else(PoisonError::into_inner);
        keep(&mut state.readable, staging, bytes);
        for (mapped, upload, size) in uploads {
            if matches!(mapped.try_recv(), Ok(Ok(()))) {
                keep(&mut state.writable, upload, size);
            }
        }
        Ok(tensors)
    }
}

/// A buffer of that size that waits to be used again.
fn take(buffers: &mut Vec<(wgpu::Buffer, u64)>, bytes: u64) -> Option<wgpu::Buffer> {
    let number = buffers.iter().position(|(_, size)| *size == bytes)?;
    Some(buffers.swap_remove(number).0)
}

/// Keeps a buffer for the next pass, and the last few alone.
fn keep(buffers: &mut Vec<(wgpu::Buffer, u64)>, buffer: wgpu::Buffer, bytes: u64) {
    const KEPT: usize = 4;
    if buffers.len() == KEPT {
        buffers.remove(0);
    }
    buffers.push((buffer, bytes));
}
