//! [`Dispatch`]: a kernel with the buffers that it works on.

use std::iter::once;
use std::time::Instant;

use crate::device::Device;
use crate::error::Error;
use crate::kernel::GROUPS_ACROSS;

/// A compiled kernel, bound, and how many workgroups of it there are.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    groups: [u32; 2],
}

/// What `size` says in a kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) count: usize,
    pub(crate) rows: usize,
    pub(crate) groups: usize,
}

impl Dispatch {
    /// Compiles a source and binds `size` and the buffers, in the order of its bindings.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the driver refuses it.
    pub(crate) fn new<'b>(
        device: &Device,
        name: &str,
        source: &str,
        size: Size,
        buffers: impl Iterator<Item = &'b wgpu::Buffer>,
    ) -> Result<Self, Error> {
        let pipeline = device.pipeline(name, source)?;
        let groups = size.groups as u32;
        let numbers = [size.count as u32, size.rows as u32, groups, 0];
        let size = device.buffer(16, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST)?;
        device.queue.write_buffer(&size, 0, bytemuck::cast_slice(&numbers));
        let all = once(size.as_entire_binding()).chain(buffers.map(|buffer| buffer.as_entire_binding()));
        let entries = (0..).zip(all).map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource });
        let entries: Vec<_> = entries.collect();
        let scope = device.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let group = device.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(name),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(Error::Kernel { kernel: name.to_owned(), reason: error.to_string() });
        }
        Ok(Self { pipeline, group, groups: [groups.min(GROUPS_ACROSS), groups.div_ceil(GROUPS_ACROSS)] })
    }

    pub(crate) fn encode(&self, pass: &mut wgpu::ComputePass) {
        let [x, y] = self.groups;
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(x, y, 1);
    }

    /// How long the device takes for it, in the best of a few tries.
    pub(crate) fn seconds(&self, device: &Device) -> Result<f64, Error> {
        const TRIES: usize = 3;
        const RUNS: usize = 4;
        let mut best = f64::INFINITY;
        for _ in 0..TRIES {
            let mut commands = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for _ in 0..RUNS {
                self.encode(&mut commands.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
            }
            let begin = Instant::now();
            let submission = device.queue.submit([commands.finish()]);
            device.wait(submission)?;
            best = best.min(begin.elapsed().as_secs_f64() / RUNS as f64);
        }
        Ok(best)
    }
}
