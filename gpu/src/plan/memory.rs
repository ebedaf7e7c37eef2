//! [`arena`]: which results share a buffer, because one is done with before the other begins.

use super::{Plan, Source, Storage};

/// Buffers, and which of them each storage is in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arena {
    /// The numbers that each buffer has room for.
    pub(crate) buffers: Vec<usize>,
    /// For each storage its buffer; inputs and weights have their own.
    pub(crate) places: Vec<Option<usize>>,
}

/// From when to when a storage is needed, in numbers of steps, both ends with it.
#[derive(Debug, Clone, Copy)]
struct Life {
    storage: Storage,
    first: usize,
    last: usize,
}

/// Deals the results of the steps out to buffers, the largest first, each to the buffer that is free and fits best.
///
/// Buffers, not places in one: a device lets no kernel read and write the same buffer.
pub(crate) fn arena(plan: &Plan) -> Arena {
    let mut lives = lives(plan);
    lives.sort_by_key(|life| (std::cmp::Reverse(plan.storages[life.storage].len), life.first));
    let mut arena = Arena { buffers: Vec::new(), places: vec![None; plan.storages.len()] };
    let mut tenants: Vec<Vec<Life>> = Vec::new();
    for life in lives {
        let is_free =
            |tenants: &Vec<Life>| tenants.iter().all(|other| other.last < life.first || life.last < other.first);
        // They come by their size: every buffer that is there is large enough, and the last one is the smallest.
        let buffer = tenants.iter().rposition(is_free).unwrap_or_else(|| {
            arena.buffers.push(plan.storages[life.storage].len);
            tenants.push(Vec::new());
            tenants.len() - 1
        });
        tenants[buffer].push(life);
        arena.places[life.storage] = Some(buffer);
    }
    arena
}

fn lives(plan: &Plan) -> Vec<Life> {
    let mut lives: Vec<Option<Life>> = vec![None; plan.storages.len()];
    for (number, step) in plan.steps.iter().enumerate() {
        // Parts of a concatenation are written one after the other.
        let life = lives[step.output].get_or_insert(Life { storage: step.output, first: number, last: number });
        life.last = number;
        for storage in step.reads() {
            if let Some(life) = &mut lives[storage] {
                life.last = number;
            }
        }
    }
    for output in &plan.outputs {
        if let Some(life) = &mut lives[output.storage] {
            life.last = plan.steps.len();
        }
    }
    let is_step = |life: &Life| matches!(plan.storages[life.storage].source, Source::Step);
    lives.into_iter().flatten().filter(is_step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Expression, Kernel};
    use crate::plan::{Step, Stored, Tensor};

    /// Random graphs: no two results that live at the same time share a buffer, and each has room.
    #[test]
    fn results_do_not_meet() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let count = random.usize(1..20);
            let storages = (0..=count).map(|number| Stored {
                len: random.usize(1..100),
                source: if number == 0 { Source::Input(0) } else { Source::Step },
            });
            let storages: Vec<_> = storages.collect();
            let steps = (1..=count).map(|output| Step {
                kernel: Kernel::Pointwise,
                inputs: vec![random.usize(0..output), random.usize(0..output)],
                output,
                count: 0,
                finish: Expression::identity(),
                operands: Vec::new(),
            });
            let steps: Vec<_> = steps.collect();
            let outputs = vec![Tensor { storage: count, shape: Vec::new(), order: Vec::new() }];
            let plan = Plan { steps, storages, outputs };
            let arena = arena(&plan);
            assert_eq!(arena.places[0], None);
            // The slow way: who is in each buffer while each step runs.
            for now in 0..count {
                let reads_later = |storage| {
                    plan.steps[now..].iter().any(|step| step.reads().any(|read| read == storage)) || storage == count
                };
                let mut here: Vec<usize> = (1..=now + 1).filter(|&s| s == now + 1 || reads_later(s)).collect();
                here.iter().for_each(|&s| assert!(arena.buffers[arena.places[s].unwrap()] >= plan.storages[s].len));
                let living = here.len();
                here.sort_by_key(|&s| arena.places[s]);
                here.dedup_by_key(|s| arena.places[*s]);
                assert_eq!(here.len(), living, "{plan:?} {arena:?}");
            }
        }
    }
}
