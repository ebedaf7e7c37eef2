//! [`Gemm`] multiplies dense matrices.

use wgpu::util::{BufferInitDescriptor, DeviceExt};

use crate::buffer::Buffer;
use crate::device::Device;
use crate::error::Error;

/// Rows and columns of the result that a workgroup computes, as in the shader.
const TILE: usize = 16;

/// `[m, k] x [k, n] -> [m, n]`, row-major, 32-bit floats: the tiled kernel that every adapter can run.
#[derive(Debug)]
pub struct Gemm<'d> {
    device: &'d Device,
    pipeline: wgpu::ComputePipeline,
}

impl<'d> Gemm<'d> {
    /// Compiles the kernel for a device.
    pub fn new(device: &'d Device) -> Self {
        let module = device.device.create_shader_module(wgpu::include_wgsl!("gemm.wgsl"));
        let pipeline = device.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("gemm"),
            layout: None,
            module: &module,
            entry_point: Some("gemm"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        Self { device, pipeline }
    }

    /// Starts the product of two matrices; `shape` is `[m, k, n]`. Reading the result waits for it.
    ///
    /// # Errors
    /// [`Error::Shape`] when a buffer has another length than the shape says, [`Error::TooLong`] for a side beyond the device,
    /// and those of [`Device::zeros`].
    ///
    /// # Panics
    /// When a buffer is of another device.
    pub fn run(&self, a: &Buffer, b: &Buffer, shape: [usize; 3]) -> Result<Buffer, Error> {
        let [m, k, n] = shape;
        let limit = self.device.device.limits().max_compute_workgroups_per_dimension as usize * TILE;
        if let Some(&side) = shape.iter().find(|&&side| side > limit) {
            return Err(Error::TooLong { kernel: "gemm", side, limit });
        }
        // No side is longer than 2^21 or so: products of two stay far below the largest number.
        for (buffer, expected) in [(a, m * k), (b, k * n)] {
            if buffer.len() != expected {
                return Err(Error::Shape { kernel: "gemm", shape, expected, actual: buffer.len() });
            }
        }
        let c = self.device.zeros(m * n)?;
        // With nothing to add up, the zeros are the result; the shader cannot have bindings without a byte.
        if m * k * n == 0 {
            return Ok(c);
        }
        let wgpu = &self.device.device;
        // The fourth number is what alignment asks for.
        let numbers = [m as u32, k as u32, n as u32, 0];
        let uniform = wgpu.create_buffer_init(&BufferInitDescriptor {
            label: Some("shape"),
            contents: bytemuck::cast_slice(&numbers),
            usage: wgpu::BufferUsages::UNIFORM,
        });
        let buffers = [&a.buffer, &b.buffer, &c.buffer, &uniform];
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let layout = self.pipeline.get_bind_group_layout(0);
        let group = wgpu.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("gemm"),
            layout: &layout,
            entries: &entries,
        });
        let mut commands = wgpu.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = commands.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(n.div_ceil(TILE) as u32, m.div_ceil(TILE) as u32, 1);
        drop(pass);
        self.device.queue.submit([commands.finish()]);
        Ok(c)
    }
}
