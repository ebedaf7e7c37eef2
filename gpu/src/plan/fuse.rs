//! [`fuse`]: what is done to each number of a result is done where the result is made.

use std::collections::HashMap;

use super::{Operand, Plan, Source, Step, Storage};
use crate::kernel::Kernel;

/// Buffers that an expression reads: with those of the largest kernel, a device has to bind no more than eight.
const MOST_OPERANDS: usize = 4;

/// Merges each pointwise step into the last of the steps that make its operands, where nobody else reads that.
pub(super) fn fuse(plan: &mut Plan) {
    let mut readers: HashMap<Storage, usize> = HashMap::new();
    for storage in plan.steps.iter().flat_map(Step::reads).chain(plan.outputs.iter().map(|output| output.storage)) {
        *readers.entry(storage).or_default() += 1;
    }
    let mut done: Vec<Step> = Vec::with_capacity(plan.steps.len());
    for step in std::mem::take(&mut plan.steps) {
        let merged = match step.kernel {
            Kernel::Pointwise => maker(&step, &done, &readers, plan).and_then(|maker| {
                let merged = merge(&done[maker], &step)?;
                done.remove(maker);
                Some(merged)
            }),
            _ => None,
        };
        done.push(merged.unwrap_or(step));
    }
    plan.steps = done;
}

/// The last step that makes an operand of `step` for it alone, number by number.
fn maker(step: &Step, done: &[Step], readers: &HashMap<Storage, usize>, plan: &Plan) -> Option<usize> {
    done.iter().rposition(|maker| {
        let reads = step.operands.iter().filter(|operand| operand.storage == maker.output).count();
        let is_whole = |operand: &Operand| operand.storage != maker.output || operand.places.is_contiguous();
        reads > 0
            && readers.get(&maker.output) == Some(&reads)
            && maker.kernel.supports_epilogue()
            && maker.count == step.count
            && plan.storages[maker.output].len == step.count
            && matches!(plan.storages[maker.output].source, Source::Step)
            && step.operands.iter().all(is_whole)
    })
}

/// Both in one, unless that reads too much.
fn merge(maker: &Step, step: &Step) -> Option<Step> {
    let mut operands = maker.operands.clone();
    let mut numbers = Vec::new();
    for operand in &step.operands {
        if operand.storage == maker.output {
            numbers.push(None);
            continue;
        }
        let known =
            operands.iter().position(|known| known.storage == operand.storage && known.places == operand.places);
        numbers.push(Some(known.unwrap_or_else(|| {
            operands.push(operand.clone());
            operands.len() - 1
        })));
    }
    if operands.len() > MOST_OPERANDS {
        return None;
    }
    let finish = step.finish.compose(&maker.finish, |number| numbers[number]);
    Some(Step { finish, operands, output: step.output, ..maker.clone() })
}
