//! [`Dispatch`]: a pipeline with its bind group and workgroup counts.

use std::iter::once;
use std::time::Instant;

use crate::device::Device;
use crate::error::Error;
use crate::kernel::MAX_WORKGROUPS_X;

/// A compiled kernel, bound to its buffers.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    /// Along x and y.
    workgroups: [u32; 2],
}

/// The uniform `dispatch` of a kernel, see `kernel/shader.wgsl`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DispatchUniform {
    pub(crate) num_elements: usize,
    pub(crate) rows: usize,
    pub(crate) num_workgroups: usize,
}

impl Dispatch {
    /// Compiles a source and binds the uniform and the buffers, in the order of its bindings.
    ///
    /// # Errors
    /// [`Error::Kernel`] if the driver rejects the kernel.
    pub(crate) fn new<'b>(
        device: &Device,
        name: &str,
        source: &str,
        uniform: DispatchUniform,
        buffers: impl Iterator<Item = &'b wgpu::Buffer>,
    ) -> Result<Self, Error> {
        let pipeline = device.pipeline(name, source)?;
        let num_workgroups = uniform.num_workgroups as u32;
        let words = [uniform.num_elements as u32, uniform.rows as u32, num_workgroups, 0];
        let uniform_buffer = device.buffer(16, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST)?;
        device.queue.write_buffer(&uniform_buffer, 0, bytemuck::cast_slice(&words));
        let bindings = once(uniform_buffer.as_entire_binding()).chain(buffers.map(|buffer| buffer.as_entire_binding()));
        let entries = (0..).zip(bindings).map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource });
        let entries: Vec<_> = entries.collect();
        let scope = device.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let bind_group = device.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(name),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(Error::Kernel { kernel: name.to_owned(), reason: error.to_string() });
        }
        let workgroups = [num_workgroups.min(MAX_WORKGROUPS_X), num_workgroups.div_ceil(MAX_WORKGROUPS_X)];
        Ok(Self { pipeline, bind_group, workgroups })
    }

    pub(crate) fn encode(&self, pass: &mut wgpu::ComputePass) {
        let [x, y] = self.workgroups;
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(x, y, 1);
    }

    /// Measures the kernel: seconds per run, the best of a few tries.
    pub(crate) fn benchmark(&self, device: &Device) -> Result<f64, Error> {
        const TRIES: usize = 3;
        const RUNS_PER_TRY: usize = 4;
        let mut best = f64::INFINITY;
        for _ in 0..TRIES {
            let mut commands = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for _ in 0..RUNS_PER_TRY {
                self.encode(&mut commands.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
            }
            let begin = Instant::now();
            let submission = device.queue.submit([commands.finish()]);
            device.wait(submission)?;
            best = best.min(begin.elapsed().as_secs_f64() / RUNS_PER_TRY as f64);
        }
        Ok(best)
    }
}
