//! [`Kernel`]: the compute kernel of a plan step. One file per kernel, its `.wgsl` next to its `.rs`.

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
pub(crate) use gemm::{CooperativeMatrix, Gemm, GemmVariant, LhsLayout, RhsLayout, padded_depth};
pub(crate) use layer_norm::LayerNorm;
pub(crate) use pool::Pool;
pub(crate) use reduce::{Reduce, ReduceOp};
pub(crate) use shader::{BindingType, MAX_WORKGROUPS_X};
pub(crate) use softmax::Softmax;
pub(crate) use strided_layout::{StridedLayout, row_major_strides};
pub(crate) use window::Window;

use crate::precision::Precision;
use shader::Shader;

/// The largest element count of a buffer: convolutions address it with 32-bit signed offsets.
pub(crate) const MAX_ELEMENTS: usize = i32::MAX as usize;

/// A kernel specialized for its shapes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kernel {
    Gemm(Gemm),
    Depthwise(Depthwise),
    Pool(Pool),
    Reduce(Reduce),
    Softmax(Softmax),
    LayerNorm(LayerNorm),
    /// An epilogue alone: elementwise arithmetic on its operands.
    Pointwise,
    Copy(Copy),
}

impl Kernel {
    /// The pipeline label, also in error messages.
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

    /// The number of input buffers, without the operands of the epilogue.
    pub(crate) fn num_inputs(&self) -> usize {
        match self {
            Self::Pointwise => 0,
            Self::Pool(_) | Self::Reduce(_) | Self::Softmax(_) | Self::LayerNorm(_) | Self::Copy(_) => 1,
            Self::Gemm(_) | Self::Depthwise(_) => 2,
        }
    }

    /// Whether an epilogue can be fused into the kernel.
    pub(crate) fn supports_epilogue(&self) -> bool {
        !matches!(self, Self::Copy(_))
    }

    /// Rows (0 for kernels without rows) and workgroups of a dispatch that computes `num_elements` outputs.
    pub(crate) fn dispatch_size(&self, num_elements: usize, variant: Option<GemmVariant>) -> (usize, usize) {
        match self {
            Self::Gemm(gemm) => (gemm.m, variant.map_or(0, |variant| gemm.num_workgroups(variant))),
            Self::Softmax(Softmax { length }) | Self::LayerNorm(LayerNorm { length, .. }) => {
                let rows = num_elements / length.max(&1);
                (rows, rows)
            }
            Self::Reduce(_) => (0, num_elements.div_ceil(64)),
            Self::Depthwise(_) | Self::Pool(_) | Self::Pointwise | Self::Copy(_) => (0, num_elements.div_ceil(256)),
        }
    }

    /// The WGSL source; `epilogue` declares the function `epilogue`, which reads `num_operands` more buffers.
    pub(crate) fn source(
        &self,
        variant: Option<GemmVariant>,
        precision: Precision,
        num_operands: usize,
        epilogue: &str,
    ) -> String {
        let shader = |num_inputs: usize| {
            let inputs = vec![BindingType::Scalar; num_inputs + num_operands];
            Shader::new(precision, &inputs, BindingType::Scalar).push(epilogue)
        };
        match self {
            Self::Gemm(gemm) => match variant {
                Some(variant) => gemm.source(variant, precision, &vec![BindingType::Scalar; num_operands], epilogue),
                None => String::new(),
            },
            Self::Depthwise(depthwise) => depthwise.emit(shader(2)).build(),
            Self::Pool(pool) => pool.emit(shader(1)).build(),
            Self::Reduce(reduce) => reduce.emit(shader(1)).build(),
            Self::Softmax(softmax) => softmax.emit(shader(1)).build(),
            Self::LayerNorm(norm) => norm.emit(shader(1)).build(),
            Self::Pointwise => shader(0).push(include_str!("kernel/pointwise.wgsl")).build(),
            Self::Copy(copy) => copy.emit(shader(1)).build(),
        }
    }
}
