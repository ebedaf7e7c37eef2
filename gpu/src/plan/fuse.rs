//! [`fuse_epilogues`]: elementwise steps become epilogues of the steps that compute their operands.

use std::collections::HashMap;

use super::{BufferId, BufferSource, Operand, Plan, Step};
use crate::kernel::Kernel;

/// The operands of an epilogue: together with the bindings of the largest kernel, at most eight storage buffers, wgpu's default limit.
const MAX_OPERANDS: usize = 4;

/// Fuses each pointwise step into its last producer, if the step is the producer's only consumer.
pub(super) fn fuse_epilogues(plan: &mut Plan) {
    let mut use_counts: HashMap<BufferId, usize> = HashMap::new();
    for buffer in plan.steps.iter().flat_map(Step::reads).chain(plan.outputs.iter().map(|output| output.buffer)) {
        *use_counts.entry(buffer).or_default() += 1;
    }
    let mut done: Vec<Step> = Vec::with_capacity(plan.steps.len());
    for step in std::mem::take(&mut plan.steps) {
        let merged = match step.kernel {
            Kernel::Pointwise => producer(&step, &done, &use_counts, plan).and_then(|producer| {
                let merged = merge(&done[producer], &step)?;
                done.remove(producer);
                Some(merged)
            }),
            _ => None,
        };
        done.push(merged.unwrap_or(step));
    }
    plan.steps = done;
}

/// The last step whose output only `step` reads, element by element.
fn producer(step: &Step, done: &[Step], use_counts: &HashMap<BufferId, usize>, plan: &Plan) -> Option<usize> {
    done.iter().rposition(|producer| {
        let reads = step.operands.iter().filter(|operand| operand.buffer == producer.output).count();
        let is_whole = |operand: &Operand| operand.buffer != producer.output || operand.layout.is_contiguous();
        reads > 0
            && use_counts.get(&producer.output) == Some(&reads)
            && producer.kernel.supports_epilogue()
            && producer.num_elements == step.num_elements
            && plan.buffers[producer.output].len == step.num_elements
            && matches!(plan.buffers[producer.output].source, BufferSource::Step)
            && step.operands.iter().all(is_whole)
    })
}

/// Merges both steps. `None` if they have too many operands.
fn merge(producer: &Step, step: &Step) -> Option<Step> {
    let mut operands = producer.operands.clone();
    let mut indices = Vec::new();
    for operand in &step.operands {
        if operand.buffer == producer.output {
            indices.push(None);
            continue;
        }
        let same = operands.iter().position(|other| other.buffer == operand.buffer && other.layout == operand.layout);
        indices.push(Some(same.unwrap_or_else(|| {
            operands.push(operand.clone());
            operands.len() - 1
        })));
    }
    if operands.len() > MAX_OPERANDS {
        return None;
    }
    let epilogue = step.epilogue.compose(&producer.epilogue, |index| indices[index]);
    Some(Step { epilogue, operands, output: step.output, ..producer.clone() })
}
