//! [`Program`]: a plan compiled for a device: pipelines, buffers and bind groups.

use std::collections::HashMap;

use crate::device::{Device, Dispatch, DispatchUniform};
use crate::error::Error;
use crate::kernel::{GemmVariant, Kernel};
use crate::plan::{BufferSource, Plan, Step, plan_memory};
use crate::precision::Precision;

/// A plan ready to run. Runs reuse the same buffers, so they execute one after the other.
#[derive(Debug)]
pub(crate) struct Program {
    dispatches: Vec<Dispatch>,
    /// For each input of the graph that the plan reads, its buffer and element count.
    pub(crate) inputs: Vec<Option<(wgpu::Buffer, usize)>>,
    /// The requested outputs, in order.
    pub(crate) outputs: Vec<Output>,
}

/// An output tensor.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) buffer: wgpu::Buffer,
    pub(crate) shape: Vec<usize>,
}

/// The buffers that the programs of one model share, because they run one after the other.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    weights: HashMap<String, wgpu::Buffer>,
    /// The buffers of intermediate tensors with their capacities in elements, the largest first.
    activations: Vec<(wgpu::Buffer, usize)>,
}

impl BufferPool {
    /// Grows the pool to buffers of these sizes in elements, which are in descending order. Returns `false` if existing buffers
    /// were replaced, which invalidates the programs that use them.
    fn grow(&mut self, device: &Device, precision: Precision, sizes: &[usize]) -> Result<bool, Error> {
        let mut is_unchanged = true;
        for (index, &size) in sizes.iter().enumerate() {
            if self.activations.get(index).is_some_and(|(_, capacity)| *capacity >= size) {
                continue;
            }
            // All later buffers are smaller and are replaced as well. The old ones are freed before the new one is allocated.
            is_unchanged &= self.activations.len() <= index;
            self.activations.truncate(index);
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
            self.activations.push((device.buffer((size * precision.size()) as u64, usage)?, size));
        }
        Ok(is_unchanged)
    }

    /// Frees the buffers of intermediate tensors.
    pub(crate) fn shrink(&mut self) {
        self.activations.clear();
    }
}

impl Program {
    /// Compiles a plan. The flag is `false` if earlier programs have become invalid, see [`BufferPool::grow`].
    ///
    /// # Errors
    /// Those of [`Device::buffer`] and [`Device::pipeline`].
    pub(crate) fn new(
        device: &Device,
        precision: Precision,
        plan: &Plan,
        pool: &mut BufferPool,
    ) -> Result<(Self, bool), Error> {
        let memory = plan_memory(plan);
        let others_are_valid = pool.grow(device, precision, &memory.sizes)?;
        let mut buffers = Vec::with_capacity(plan.buffers.len());
        let mut inputs = Vec::new();
        // Bound for tensors that fusion has eliminated.
        let unused = device.buffer(0, wgpu::BufferUsages::STORAGE)?;
        for (storage, place) in plan.buffers.iter().zip(&memory.slots) {
            let bytes = (storage.len * precision.size()) as u64;
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
            buffers.push(match (&storage.source, place) {
                (BufferSource::Step, Some(place)) => pool.activations[*place].0.clone(),
                (BufferSource::Step, None) => unused.clone(),
                (BufferSource::Input(index), _) => {
                    let buffer = device.buffer(bytes, usage)?;
                    inputs.resize(inputs.len().max(index + 1), None);
                    inputs[*index] = Some((buffer.clone(), storage.len));
                    buffer
                }
                (BufferSource::Weights(weights), _) => match pool.weights.get(&weights.name) {
                    Some(buffer) => buffer.clone(),
                    None => {
                        let buffer = device.buffer(bytes, usage)?;
                        let values = (weights.pack)();
                        device.upload(values.len() * precision.size(), &buffer, |write| {
                            encode(precision, &[&values], write)
                        })?;
                        pool.weights.insert(weights.name.clone(), buffer.clone());
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
            .map(|tensor| Output { buffer: buffers[tensor.buffer].clone(), shape: tensor.shape.clone() });
        Ok((Self { dispatches, inputs, outputs: outputs.collect() }, others_are_valid))
    }

    /// Measures seconds per run of each kernel.
    pub(crate) fn benchmark(&self, device: &Device) -> Result<Vec<f64>, Error> {
        self.dispatches.iter().map(|dispatch| dispatch.benchmark(device)).collect()
    }

    /// Records one run into a command buffer.
    pub(crate) fn encode(&self, commands: &mut wgpu::CommandEncoder) {
        let mut pass = commands.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        self.dispatches.iter().for_each(|dispatch| dispatch.encode(&mut pass));
    }
}

/// Converts the concatenation of `chunks` to the device's format.
pub(crate) fn encode(precision: Precision, chunks: &[&[f32]], write: &mut dyn FnMut(usize, &[u8])) {
    let mut start = 0;
    for chunk in chunks {
        precision.encode(chunk, |offset, bytes| write(start + offset, bytes));
        start += chunk.len() * precision.size();
    }
}

/// Compiles and binds the kernel of a step, for products the variant that the autotuner selects.
fn dispatch(device: &Device, precision: Precision, step: &Step, buffers: &[wgpu::Buffer]) -> Result<Dispatch, Error> {
    let compile = |variant: Option<GemmVariant>| {
        let epilogue = step.epilogue.to_wgsl(|index| {
            let offset = step.operands.get(index).map_or_else(String::new, |operand| operand.layout.to_wgsl("i"));
            format!("f32(in{}[{offset}])", step.kernel.num_inputs() + index)
        });
        let source = step.kernel.source(variant, precision, step.operands.len(), &epilogue);
        let (rows, num_workgroups) = step.kernel.dispatch_size(step.num_elements, variant);
        let uniform = DispatchUniform { num_elements: step.num_elements, rows, num_workgroups };
        let bound = step.reads().chain([step.output]).map(|storage| &buffers[storage]);
        Dispatch::new(device, step.kernel.name(), &source, uniform, bound)
    };
    let Kernel::Gemm(gemm) = &step.kernel else { return compile(None) };
    let cooperative_matrix = device.adapter().usable_cooperative_matrix().filter(|_| precision == Precision::F16);
    let mut variants = gemm.variants(cooperative_matrix);
    let selected =
        device.autotuner.select(gemm, precision, &variants, |variant| compile(Some(variant))?.benchmark(device))?;
    // Without tuning, the driver may still reject the selected variant: the others follow as fallbacks.
    variants.sort_by_key(|variant| Some(*variant) != selected);
    let mut rejected = Error::Kernel { kernel: step.kernel.name().to_owned(), reason: "it has no variants".to_owned() };
    for variant in variants {
        match compile(Some(variant)) {
            Err(error @ Error::Kernel { .. }) => rejected = error,
            result => return result,
        }
    }
    Err(rejected)
}
