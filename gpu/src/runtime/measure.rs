//! Benchmark support: the work of a [`Model`] and the time that a [`Device`] takes for it.

use std::time::Instant;

use super::model::Model;
use crate::device::Device;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::plan::{BufferSource, Plan, Step, plan};

/// A roofline estimate of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorkEstimate {
    /// Multiplications plus additions of its matrix products and convolutions.
    pub flops: f64,
    /// Bytes that its kernels read and write, if each kernel reads each of its inputs once.
    pub bytes: f64,
    /// Kernel dispatches.
    pub num_kernels: usize,
}

impl Model {
    /// Estimates the work of a run with inputs of these shapes.
    ///
    /// # Errors
    /// Those of planning.
    pub fn estimate_work(&self, shapes: &[Vec<usize>], outputs: &[String]) -> Result<WorkEstimate, Error> {
        let plan = plan(self.graph(), shapes, outputs)?;
        let elements: usize = plan.steps.iter().map(|step| elements_moved(step, &plan)).sum();
        Ok(WorkEstimate {
            flops: plan.steps.iter().map(flops).sum(),
            bytes: (elements * self.precision().size()) as f64,
            num_kernels: plan.steps.len(),
        })
    }

    /// Measures seconds per run, averaged over `runs` in one submission, without uploads and downloads.
    ///
    /// # Errors
    /// Those of [`Model::start`].
    pub fn benchmark(&self, shapes: &[Vec<usize>], outputs: &[String], runs: usize) -> Result<f64, Error> {
        let begin = Instant::now();
        let submission = self.repeat(shapes, outputs, runs)?;
        self.device().wait(submission)?;
        Ok(begin.elapsed().as_secs_f64() / runs.max(1) as f64)
    }

    /// Measures each kernel of a run by itself: its description and seconds.
    ///
    /// # Errors
    /// Those of [`Model::start`].
    pub fn benchmark_kernels(&self, shapes: &[Vec<usize>], outputs: &[String]) -> Result<Vec<(String, f64)>, Error> {
        let seconds = self.time_kernels(shapes, outputs)?;
        let Plan { steps, .. } = plan(self.graph(), shapes, outputs)?;
        Ok(steps.iter().map(|step| format!("{:?}", step.kernel)).zip(seconds).collect())
    }
}

impl Device {
    /// Measures seconds for a copy of `bytes` bytes within the device: the ceiling of its memory bandwidth.
    ///
    /// # Errors
    /// If two buffers of that size do not fit.
    pub fn benchmark_copy(&self, bytes: u64) -> Result<f64, Error> {
        const COPIES: u32 = 8;
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let (src, dst) = (self.buffer(bytes, usage)?, self.buffer(bytes, usage)?);
        let mut seconds = f64::INFINITY;
        // The first try also clears the buffers.
        for _ in 0..3 {
            let mut commands = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            (0..COPIES).for_each(|_| commands.copy_buffer_to_buffer(&src, 0, &dst, 0, bytes));
            let begin = Instant::now();
            let submission = self.queue.submit([commands.finish()]);
            self.wait(submission)?;
            seconds = seconds.min(begin.elapsed().as_secs_f64() / f64::from(COPIES));
        }
        Ok(seconds)
    }
}

fn flops(step: &Step) -> f64 {
    match &step.kernel {
        Kernel::Gemm(gemm) => 2.0 * [gemm.m, gemm.k, gemm.n, gemm.batch].map(|dim| dim as f64).iter().product::<f64>(),
        Kernel::Depthwise(depthwise) => {
            let [height, width] = depthwise.window.kernel;
            2.0 * (step.num_elements * height * width) as f64
        }
        _ => 0.0,
    }
}

/// Elements that a step reads and writes.
fn elements_moved(step: &Step, plan: &Plan) -> usize {
    let read = step.reads().map(|storage| match (&plan.buffers[storage].source, &step.kernel) {
        // A copy may read or write only a part of the buffer.
        (BufferSource::Step | BufferSource::Input(_), Kernel::Copy(_)) => step.num_elements,
        _ => plan.buffers[storage].len,
    });
    read.sum::<usize>() + step.num_elements
}
