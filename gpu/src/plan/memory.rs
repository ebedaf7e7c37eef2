//! [`plan_memory`]: assigns results whose live ranges do not overlap to the same buffer.

use super::{BufferId, BufferSource, Plan};

/// Allocations, and the assignment of the plan's buffers to them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryPlan {
    /// The size of each allocation in elements, in descending order.
    pub(crate) sizes: Vec<usize>,
    /// For each buffer of the plan its allocation; inputs and weights have their own.
    pub(crate) slots: Vec<Option<usize>>,
}

/// The steps from the first write to the last read of a buffer, both included.
#[derive(Debug, Clone, Copy)]
struct LiveRange {
    buffer: BufferId,
    first: usize,
    last: usize,
}

/// Greedy-by-size assignment: results in descending order of size, each to the smallest allocation that is free during its live range.
///
/// Allocations are whole buffers and not ranges of one, because wgpu does not let a kernel read and write the same buffer.
pub(crate) fn plan_memory(plan: &Plan) -> MemoryPlan {
    let mut ranges = live_ranges(plan);
    ranges.sort_by_key(|range| (std::cmp::Reverse(plan.buffers[range.buffer].len), range.first));
    let mut memory = MemoryPlan { sizes: Vec::new(), slots: vec![None; plan.buffers.len()] };
    let mut assigned: Vec<Vec<LiveRange>> = Vec::new();
    for range in ranges {
        let is_free = |assigned: &Vec<LiveRange>| {
            assigned.iter().all(|other| other.last < range.first || range.last < other.first)
        };
        // In descending order every existing allocation is large enough, and the last one is the smallest.
        let buffer = assigned.iter().rposition(is_free).unwrap_or_else(|| {
            memory.sizes.push(plan.buffers[range.buffer].len);
            assigned.push(Vec::new());
            assigned.len() - 1
        });
        assigned[buffer].push(range);
        memory.slots[range.buffer] = Some(buffer);
    }
    memory
}

fn live_ranges(plan: &Plan) -> Vec<LiveRange> {
    let mut ranges: Vec<Option<LiveRange>> = vec![None; plan.buffers.len()];
    for (index, step) in plan.steps.iter().enumerate() {
        // A concatenation writes its output in several steps.
        let range = ranges[step.output].get_or_insert(LiveRange { buffer: step.output, first: index, last: index });
        range.last = index;
        for buffer in step.reads() {
            if let Some(range) = &mut ranges[buffer] {
                range.last = index;
            }
        }
    }
    for output in &plan.outputs {
        if let Some(range) = &mut ranges[output.buffer] {
            range.last = plan.steps.len();
        }
    }
    let is_step = |range: &LiveRange| matches!(plan.buffers[range.buffer].source, BufferSource::Step);
    ranges.into_iter().flatten().filter(is_step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Expression, Kernel};
    use crate::plan::{BufferDecl, PlannedTensor, Step};

    /// Random graphs: no two results that are live at the same time share an allocation, and each fits.
    #[test]
    fn live_results_do_not_overlap() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let count = random.usize(1..20);
            let buffers = (0..=count).map(|index| BufferDecl {
                len: random.usize(1..100),
                source: if index == 0 { BufferSource::Input(0) } else { BufferSource::Step },
            });
            let buffers: Vec<_> = buffers.collect();
            let steps = (1..=count).map(|output| Step {
                kernel: Kernel::Pointwise,
                inputs: vec![random.usize(0..output), random.usize(0..output)],
                output,
                num_elements: 0,
                epilogue: Expression::identity(),
                operands: Vec::new(),
            });
            let steps: Vec<_> = steps.collect();
            let outputs = vec![PlannedTensor { buffer: count, shape: Vec::new(), order: Vec::new() }];
            let plan = Plan { steps, buffers, outputs };
            let memory = plan_memory(&plan);
            assert_eq!(memory.slots[0], None);
            // Reference: the results that are live at each step.
            for now in 0..count {
                let reads_later = |buffer| {
                    plan.steps[now..].iter().any(|step| step.reads().any(|read| read == buffer)) || buffer == count
                };
                let mut here: Vec<usize> = (1..=now + 1).filter(|&s| s == now + 1 || reads_later(s)).collect();
                here.iter().for_each(|&s| assert!(memory.sizes[memory.slots[s].unwrap()] >= plan.buffers[s].len));
                let living = here.len();
                here.sort_by_key(|&s| memory.slots[s]);
                here.dedup_by_key(|s| memory.slots[*s]);
                assert_eq!(here.len(), living, "{plan:?} {memory:?}");
            }
        }
    }
}
