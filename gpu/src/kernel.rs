//! [`Kernel`]: what a step runs. One file a kernel, its `.wgsl` beside its `.rs`.

mod copy;
mod depthwise;
mod expression;
mod gemm;
mod layer_norm;
mod pool;
mod reduce;
mod shader;
mod softmax;
mod strided_layout;
mod window;

pub(crate) use copy::Copy;
pub(crate) use depthwise::Depthwise;
pub(crate) use expression::{Binary, Expression, Term, Unary};
pub(crate) use gemm::{A, B, Gemm, MatrixUnits, Road, padded};
pub(crate) use layer_norm::LayerNorm;
pub(crate) use pool::Pool;
pub(crate) use reduce::{Combine, Reduce};
pub(crate) use shader::{GROUPS_ACROSS, Reads};
pub(crate) use softmax::Softmax;
pub(crate) use strided_layout::{Places, dense_strides};
pub(crate) use window::Window;

use crate::precision::Precision;
use shader::Shader;

/// A kernel, with all that is known of its shapes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kernel {
    Gemm(Gemm),
    Depthwise(Depthwise),
    Pool(Pool),
    Reduce(Reduce),
    Softmax(Softmax),
    LayerNorm(LayerNorm),
    /// Nothing but what is done to each number on its way out.
    Pointwise,
    Copy(Copy),
}

impl Kernel {
    /// For messages.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Gemm(_) => "gemm",
            Self::Depthwise(_) => "depthwise",
            Self::Pool(_) => "pool",
            Self::Reduce(_) => "reduce",
            Self::Softmax(_) => "softmax",
            Self::LayerNorm(_) => "layer_norm",
            Self::Pointwise => "pointwise",
            Self::Copy(_) => "copy",
        }
    }

    /// How many buffers it reads beside the operands of its expression.
    pub(crate) fn inputs(&self) -> usize {
        match self {
            Self::Pointwise => 0,
            Self::Pool(_) | Self::Reduce(_) | Self::Softmax(_) | Self::LayerNorm(_) | Self::Copy(_) => 1,
            Self::Gemm(_) | Self::Depthwise(_) => 2,
        }
    }

    /// Whether more can be done to its numbers on their way out.
    pub(crate) fn takes_expressions(&self) -> bool {
        !matches!(self, Self::Copy(_))
    }

    /// What its threads are dealt: rows, where it has them, and workgroups, for a result of `count` numbers.
    pub(crate) fn sizes(&self, count: usize, road: Option<Road>) -> (usize, usize) {
        match self {
            Self::Gemm(gemm) => (gemm.rows, road.map_or(0, |road| gemm.groups(road))),
            Self::Softmax(Softmax { length }) | Self::LayerNorm(LayerNorm { length, .. }) => {
                let rows = count / length.max(&1);
                (rows, rows)
            }
            Self::Reduce(_) => (0, count.div_ceil(64)),
            Self::Depthwise(_) | Self::Pool(_) | Self::Pointwise | Self::Copy(_) => (0, count.div_ceil(256)),
        }
    }

    /// Its source; `finish` has what is done to each number, which reads `operands` more buffers.
    pub(crate) fn source(&self, road: Option<Road>, precision: Precision, operands: usize, finish: &str) -> String {
        let numbers = vec![Reads::Numbers; operands];
        let shader = |inputs: usize| {
            Shader::new(precision, &vec![Reads::Numbers; inputs + operands], Reads::Numbers).push(finish)
        };
        match self {
            Self::Gemm(gemm) => match road {
                Some(road) => gemm.source(road, precision, &numbers, finish),
                None => String::new(),
            },
            Self::Depthwise(depthwise) => depthwise.declare(shader(2)).build(),
            Self::Pool(pool) => pool.declare(shader(1)).build(),
            Self::Reduce(reduce) => reduce.declare(shader(1)).build(),
            Self::Softmax(softmax) => softmax.declare(shader(1)).build(),
            Self::LayerNorm(norm) => norm.declare(shader(1)).build(),
            Self::Pointwise => shader(0).push(include_str!("kernel/pointwise.wgsl")).build(),
            Self::Copy(copy) => copy.declare(shader(1)).build(),
        }
    }
}
