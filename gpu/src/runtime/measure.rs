//! What benches ask of a [`Model`] and a [`Device`]: how much there is to do, and how long the device takes for it.

use std::time::Instant;

use super::model::Model;
use crate::device::Device;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::plan::{Plan, Source, Step, plan};

/// What one pass does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Multiplications and additions of its products, each counted as one.
    pub flops: f64,
    /// Bytes that its kernels read and write when each tensor is read once by whoever reads it.
    pub bytes: f64,
    /// Kernels.
    pub kernels: usize,
}

impl Model {
    /// What a pass over inputs of these shapes does.
    ///
    /// # Errors
    /// Those of planning.
    pub fn work(&self, shapes: &[Vec<usize>], wanted: &[String]) -> Result<Work, Error> {
        let plan = plan(self.graph(), shapes, wanted)?;
        let numbers: usize = plan.steps.iter().map(|step| moved(step, &plan)).sum();
        Ok(Work {
            flops: plan.steps.iter().map(flops).sum(),
            bytes: (numbers * self.precision().size()) as f64,
            kernels: plan.steps.len(),
        })
    }

    /// Seconds for one of `passes` over what is on the device already, nothing copied to it or from it.
    ///
    /// # Errors
    /// Those of [`Model::start`].
    pub fn seconds(&self, shapes: &[Vec<usize>], wanted: &[String], passes: usize) -> Result<f64, Error> {
        let begin = Instant::now();
        let submission = self.repeat(shapes, wanted, passes)?;
        self.device().wait(submission)?;
        Ok(begin.elapsed().as_secs_f64() / passes.max(1) as f64)
    }

    /// Seconds of each kernel of a pass by itself, and what it is.
    ///
    /// # Errors
    /// Those of [`Model::start`].
    pub fn seconds_of_kernels(&self, shapes: &[Vec<usize>], wanted: &[String]) -> Result<Vec<(String, f64)>, Error> {
        let seconds = self.each(shapes, wanted)?;
        let Plan { steps, .. } = plan(self.graph(), shapes, wanted)?;
        Ok(steps.iter().map(|step| format!("{:?}", step.kernel)).zip(seconds).collect())
    }
}

impl Device {
    /// Seconds for a copy of so many bytes from one place of the device to another: what its memory can do.
    ///
    /// # Errors
    /// When there is no room for them twice.
    pub fn copy_seconds(&self, bytes: u64) -> Result<f64, Error> {
        const TIMES: u32 = 8;
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let (from, to) = (self.buffer(bytes, usage)?, self.buffer(bytes, usage)?);
        let mut seconds = f64::INFINITY;
        // The first time, the buffers are cleared.
        for _ in 0..3 {
            let mut commands = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            (0..TIMES).for_each(|_| commands.copy_buffer_to_buffer(&from, 0, &to, 0, bytes));
            let begin = Instant::now();
            let submission = self.queue.submit([commands.finish()]);
            self.wait(submission)?;
            seconds = seconds.min(begin.elapsed().as_secs_f64() / f64::from(TIMES));
        }
        Ok(seconds)
    }
}

fn flops(step: &Step) -> f64 {
    match &step.kernel {
        Kernel::Gemm(gemm) => {
            2.0 * [gemm.rows, gemm.depth, gemm.columns, gemm.batch].map(|n| n as f64).iter().product::<f64>()
        }
        Kernel::Depthwise(depthwise) => {
            let [height, width] = depthwise.window.kernel;
            2.0 * (step.count * height * width) as f64
        }
        _ => 0.0,
    }
}

/// Numbers that a step reads and writes.
fn moved(step: &Step, plan: &Plan) -> usize {
    let read = step.reads().map(|storage| match (&plan.storages[storage].source, &step.kernel) {
        // A part of a concatenation, or of its input.
        (Source::Step | Source::Input(_), Kernel::Copy(_)) => step.count,
        _ => plan.storages[storage].len,
    });
    read.sum::<usize>() + step.count
}
