//! [`Program`]: a plan on a device: pipelines, buffers, and what binds them.

use std::collections::HashMap;

use crate::device::Device;
use crate::device::{Dispatch, Size};
use crate::error::Error;
use crate::kernel::{Kernel, Road};
use crate::plan::{Plan, Source, Step, arena};
use crate::precision::Precision;

/// A plan that can be run as often as wanted, one run after the other.
#[derive(Debug)]
pub(crate) struct Program {
    dispatches: Vec<Dispatch>,
    /// For each input of the graph its buffer and numbers, where the plan reads it.
    pub(crate) inputs: Vec<Option<(wgpu::Buffer, usize)>>,
    /// Of the outputs that were wanted.
    pub(crate) outputs: Vec<Output>,
}

/// A tensor that is read back.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) buffer: wgpu::Buffer,
    pub(crate) shape: Vec<usize>,
}

/// Buffers that programs of one model share, because they run one after the other.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    weights: HashMap<String, wgpu::Buffer>,
    /// What results are written to, the largest first; with the numbers that each has room for.
    arena: Vec<(wgpu::Buffer, usize)>,
}

impl Memory {
    /// Makes room for a plan; `false` when buffers had to be replaced, and programs that use them are to be made again.
    fn grow(&mut self, device: &Device, precision: Precision, sizes: &[usize]) -> Result<bool, Error> {
        let mut fits = true;
        for (number, &size) in sizes.iter().enumerate() {
            if self.arena.get(number).is_some_and(|(_, room)| *room >= size) {
                continue;
            }
            // Those that come behind are smaller, and are replaced as well; what was there goes first.
            fits &= self.arena.len() <= number;
            self.arena.truncate(number);
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
            self.arena.push((device.buffer((size * precision.size()) as u64, usage)?, size));
        }
        Ok(fits)
    }

    /// Gives back what results were written to.
    pub(crate) fn shrink(&mut self) {
        self.arena.clear();
    }
}

impl Program {
    /// Makes a plan runnable. Also says whether programs that were made before are still good.
    ///
    /// # Errors
    /// Those of [`Device::buffer`] and [`Device::pipeline`].
    pub(crate) fn new(
        device: &Device,
        precision: Precision,
        plan: &Plan,
        memory: &mut Memory,
    ) -> Result<(Self, bool), Error> {
        let arena = arena(plan);
        let others_are_good = memory.grow(device, precision, &arena.buffers)?;
        let mut buffers = Vec::with_capacity(plan.storages.len());
        let mut inputs = Vec::new();
        // For what nobody reads or writes since steps were merged.
        let unused = device.buffer(0, wgpu::BufferUsages::STORAGE)?;
        for (storage, place) in plan.storages.iter().zip(&arena.places) {
            let bytes = (storage.len * precision.size()) as u64;
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
            buffers.push(match (&storage.source, place) {
                (Source::Step, Some(place)) => memory.arena[*place].0.clone(),
                (Source::Step, None) => unused.clone(),
                (Source::Input(number), _) => {
                    let buffer = device.buffer(bytes, usage)?;
                    inputs.resize(inputs.len().max(number + 1), None);
                    inputs[*number] = Some((buffer.clone(), storage.len));
                    buffer
                }
                (Source::Weights(weights), _) => match memory.weights.get(&weights.name) {
                    Some(buffer) => buffer.clone(),
                    None => {
                        let buffer = device.buffer(bytes, usage)?;
                        let numbers = (weights.prepare)();
                        device.upload(numbers.len() * precision.size(), &buffer, |write| {
                            encode(precision, &[&numbers], write)
                        })?;
                        memory.weights.insert(weights.name.clone(), buffer.clone());
                        buffer
                    }
                },
            });
        }
        let dispatches = plan.steps.iter().map(|step| dispatch(device, precision, step, &buffers));
        let dispatches = dispatches.collect::<Result<_, _>>()?;
        let outputs = plan
            .outputs
            .iter()
            .map(|tensor| Output { buffer: buffers[tensor.storage].clone(), shape: tensor.shape.clone() });
        Ok((Self { dispatches, inputs, outputs: outputs.collect() }, others_are_good))
    }

    /// How long the device takes for each of its kernels.
    pub(crate) fn seconds(&self, device: &Device) -> Result<Vec<f64>, Error> {
        self.dispatches.iter().map(|dispatch| dispatch.seconds(device)).collect()
    }

    /// Writes all of it into a command buffer.
    pub(crate) fn encode(&self, commands: &mut wgpu::CommandEncoder) {
        let mut pass = commands.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        self.dispatches.iter().for_each(|dispatch| dispatch.encode(&mut pass));
    }
}

/// Gives numbers as the device has them, one part behind the other.
pub(crate) fn encode(precision: Precision, parts: &[&[f32]], write: &mut dyn FnMut(usize, &[u8])) {
    let mut before = 0;
    for part in parts {
        precision.encode(part, |place, bytes| write(before + place, bytes));
        before += part.len() * precision.size();
    }
}

/// A step on the road that suits the device.
fn dispatch(device: &Device, precision: Precision, step: &Step, buffers: &[wgpu::Buffer]) -> Result<Dispatch, Error> {
    let make = |road: Option<Road>| {
        let finish = step.finish.to_wgsl(|number| {
            let place = step.operands.get(number).map_or_else(String::new, |operand| operand.places.to_wgsl("i"));
            format!("f32(in{}[{place}])", step.kernel.inputs() + number)
        });
        let source = step.kernel.source(road, precision, step.operands.len(), &finish);
        let (rows, groups) = step.kernel.sizes(step.count, road);
        let size = Size { count: step.count, rows, groups };
        let bound = step.reads().chain([step.output]).map(|storage| &buffers[storage]);
        Dispatch::new(device, step.kernel.name(), &source, size, bound)
    };
    let Kernel::Gemm(gemm) = &step.kernel else { return make(None) };
    let units = device.adapter().units().filter(|_| precision == Precision::F16);
    let mut roads = gemm.roads(units);
    let chosen = device.tuner.choose(gemm, precision, &roads, |road| make(Some(road))?.seconds(device))?;
    // One that was not tried may be refused.
    roads.sort_by_key(|road| Some(*road) != chosen);
    let mut refused = Error::Kernel { kernel: step.kernel.name().to_owned(), reason: "there is none".to_owned() };
    for road in roads {
        match make(Some(road)) {
            Err(error @ Error::Kernel { .. }) => refused = error,
            made => return made,
        }
    }
    Err(refused)
}
