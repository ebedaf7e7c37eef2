//! [`Gemm`]: matrix products, and convolutions as implicit GEMM.
//!
//! ```text
//! out[batch, row, column] = epilogue(sum over k of a[batch, row, k] * b[batch, k, column])     [m, k] x [k, n] -> [m, n]
//! ```
//! - A convolution over `[batch, height, width, channels]` images is a product: its rows are the output pixels, k runs over the
//!   elements of the window, and im2col is implicit, so that A is never materialized (implicit GEMM: Chetlur et al., cuDNN, 2014).
//!   A 1 x 1 convolution is a plain product. The batches are the channel groups.
//! - [`GemmVariant`] is the schedule: 32-bit SIMT arithmetic on every adapter, or cooperative matrices where they are supported.

use super::shader::{BindingType, Shader, unroll};
use super::window::Window;
use crate::precision::Precision;

/// A product, or one per batch, with dimensions named as in BLAS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gemm {
    /// Rows of A, in one batch.
    pub(crate) m: usize,
    /// Columns of A, and rows of B.
    pub(crate) k: usize,
    /// Columns of B, in one batch.
    pub(crate) n: usize,
    pub(crate) batch: usize,
    pub(crate) a: LhsLayout,
    pub(crate) b: RhsLayout,
    /// The stride between the outputs of two batches.
    pub(crate) out_batch_stride: usize,
    /// The leading dimension of the output: the stride between its rows, which are contiguous.
    pub(crate) ldc: usize,
}

/// The layout of operand A.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LhsLayout {
    /// Implicit im2col of images with `in_channels`, of which each batch reads `channels`.
    Im2col { window: Window, in_channels: usize, channels: usize },
    /// A strided matrix.
    Matrix { batch_stride: usize, row_stride: usize, k_stride: usize },
}

/// The layout of operand B.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RhsLayout {
    /// Packed weights `[batch, n, padded_depth(k)]`, see [`padded_depth`].
    Packed,
    /// A strided matrix.
    Matrix { batch_stride: usize, k_stride: usize, column_stride: usize },
}

/// The k dimension of packed weights: zero-padded, so that rows are read in whole vectors of four or eight elements.
pub(crate) const fn padded_depth(k: usize) -> usize {
    k.next_multiple_of(8)
}

/// A kernel variant with its tile sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum GemmVariant {
    Simt(Tile),
    Cooperative(CooperativeTile),
}

/// The output tile of a workgroup, and of each of its threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tile {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) thread_m: usize,
    pub(crate) thread_n: usize,
}

/// The output blocks of a subgroup, and the subgroups of a workgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CooperativeTile {
    /// Rows and columns of a cooperative matrix: 8 or 16.
    pub(crate) block_size: usize,
    pub(crate) subgroup_size: usize,
    pub(crate) blocks_m: usize,
    pub(crate) blocks_n: usize,
    pub(crate) subgroups_m: usize,
    pub(crate) subgroups_n: usize,
}

const TILES: [Tile; 4] = [
    Tile { m: 128, n: 128, thread_m: 8, thread_n: 8 },
    Tile { m: 128, n: 64, thread_m: 8, thread_n: 4 },
    Tile { m: 64, n: 64, thread_m: 4, thread_n: 4 },
    Tile { m: 32, n: 32, thread_m: 4, thread_n: 4 },
];

/// `[blocks_m, blocks_n, subgroups_m, subgroups_n]`.
const COOPERATIVE_TILES: [[usize; 4]; 4] = [[4, 2, 2, 4], [4, 4, 2, 2], [2, 2, 2, 2], [2, 4, 2, 1]];

/// The cooperative matrix support of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CooperativeMatrix {
    pub(crate) block_size: usize,
    pub(crate) subgroup_size: usize,
}

impl Gemm {
    /// The candidate variants on a device, the most promising first.
    pub(crate) fn variants(&self, cooperative_matrix: Option<CooperativeMatrix>) -> Vec<GemmVariant> {
        let cooperative = cooperative_matrix.into_iter().flat_map(|CooperativeMatrix { block_size, subgroup_size }| {
            COOPERATIVE_TILES.map(|[blocks_m, blocks_n, subgroups_m, subgroups_n]| {
                GemmVariant::Cooperative(CooperativeTile {
                    block_size,
                    subgroup_size,
                    blocks_m,
                    blocks_n,
                    subgroups_m,
                    subgroups_n,
                })
            })
        });
        let mut variants: Vec<GemmVariant> = cooperative.chain(TILES.map(GemmVariant::Simt)).collect();
        let is_simt = |variant: &GemmVariant| matches!(variant, GemmVariant::Simt(_));
        // Cooperative matrices first; within each kind the largest tile that is at least two thirds full, unless it leaves too few
        // workgroups to occupy the device.
        const MIN_WORKGROUPS: usize = 128;
        variants.sort_by_key(|variant| {
            let (tile_m, tile_n) = variant.tile();
            let tiles = self.m.div_ceil(tile_m) * self.n.div_ceil(tile_n) * self.batch;
            let is_wasteful =
                (self.m.next_multiple_of(tile_m) * self.n.next_multiple_of(tile_n)) * 2 > self.m * self.n * 3;
            let has_low_occupancy = tiles < MIN_WORKGROUPS;
            let prefers_small = is_wasteful || has_low_occupancy;
            let size = if prefers_small { tile_m * tile_n } else { usize::MAX - tile_m * tile_n };
            (is_simt(variant), is_wasteful, has_low_occupancy, size)
        });
        variants
    }

    pub(crate) fn num_workgroups(&self, variant: GemmVariant) -> usize {
        let (tile_m, tile_n) = variant.tile();
        self.m.div_ceil(tile_m) * self.n.div_ceil(tile_n) * self.batch
    }

    /// The binding types of A and B: vectors where k is contiguous and every stride is a multiple of four.
    pub(crate) fn binding_types(&self) -> [BindingType; 2] {
        let binding_type = |strides: &[usize]| match strides.iter().all(|stride| stride.is_multiple_of(4)) {
            true => BindingType::Vec4,
            false => BindingType::Scalar,
        };
        let a = match self.a {
            LhsLayout::Im2col { in_channels, channels, .. } => binding_type(&[in_channels, channels]),
            LhsLayout::Matrix { batch_stride, row_stride, k_stride: 1 } => {
                binding_type(&[batch_stride, row_stride, self.k])
            }
            LhsLayout::Matrix { .. } => BindingType::Scalar,
        };
        let b = match self.b {
            RhsLayout::Packed => BindingType::Vec4,
            RhsLayout::Matrix { batch_stride, k_stride: 1, column_stride } => {
                binding_type(&[batch_stride, column_stride, self.k])
            }
            RhsLayout::Matrix { .. } => BindingType::Scalar,
        };
        [a, b]
    }

    /// The WGSL source of a variant; `epilogue` declares the function `epilogue`, which reads `operands`.
    pub(crate) fn source(
        &self,
        variant: GemmVariant,
        precision: Precision,
        operands: &[BindingType],
        epilogue: &str,
    ) -> String {
        let binding_types = self.binding_types();
        let mut shader = Shader::new(precision, &[&binding_types[..], operands].concat(), BindingType::Scalar);
        if let GemmVariant::Cooperative(_) = variant {
            shader = shader.enable("wgpu_cooperative_matrix");
        }
        let constants = [("K", self.k), ("N", self.n), ("OUT_BATCH_STRIDE", self.out_batch_stride), ("LDC", self.ldc)];
        shader = constants.into_iter().fold(shader, |shader, (name, value)| shader.constant(name, value));
        shader = shader.push(include_str!("gemm/rows.wgsl"));
        shader = match &self.a {
            LhsLayout::Im2col { window, in_channels, channels } => {
                let is_one_tap = channels.is_multiple_of(variant.tile_k());
                let shader = window
                    .emit(shader)
                    .constant("IN_CHANNELS", *in_channels)
                    .constant("CHANNELS", *channels)
                    .constant("ONE_TAP_PER_TILE", is_one_tap.into());
                shader.push(include_str!("gemm/im2col.wgsl"))
            }
            LhsLayout::Matrix { batch_stride, row_stride, k_stride } => {
                let shader = shader
                    .constant("A_BATCH_STRIDE", *batch_stride)
                    .constant("A_ROW_STRIDE", *row_stride)
                    .constant("A_K_STRIDE", *k_stride);
                shader.push(include_str!("gemm/matrix_a.wgsl"))
            }
        };
        let (batch_stride, k_stride, column_stride) = match self.b {
            RhsLayout::Packed => (self.n * padded_depth(self.k), 1, padded_depth(self.k)),
            RhsLayout::Matrix { batch_stride, k_stride, column_stride } => (batch_stride, k_stride, column_stride),
        };
        shader = shader
            .constant("B_BATCH_STRIDE", batch_stride)
            .constant("B_K_STRIDE", k_stride)
            .constant("B_COLUMN_STRIDE", column_stride);
        shader = shader.push(include_str!("gemm/matrix_b.wgsl"));
        shader = shader.push(&load("a", 0, binding_types[0])).push(&load("b", 1, binding_types[1])).push(epilogue);
        variant.emit(shader, self.n).build()
    }
}

/// The function that loads four elements along k; out of bounds they are zero.
fn load(operand: &str, input: usize, binding_type: BindingType) -> String {
    match binding_type {
        BindingType::Vec4 => format!(
            "fn load_{operand}(row: Row, k: u32, inner: u32) -> vec4<T> {{
                let offset = offset_of_{operand}(row, k, inner);
                if offset < 0 {{ return vec4<T>(); }}
                return in{input}[offset / 4];
            }}\n"
        ),
        BindingType::Scalar => format!(
            "fn scalar_of_{operand}(row: Row, k: u32, inner: u32) -> T {{
                let offset = offset_of_{operand}(row, k, inner);
                if offset < 0 {{ return T(); }}
                return in{input}[offset];
            }}
            fn load_{operand}(row: Row, k: u32, inner: u32) -> vec4<T> {{
                return vec4<T>(
                    scalar_of_{operand}(row, k, inner),
                    scalar_of_{operand}(row, k, inner + 1u),
                    scalar_of_{operand}(row, k, inner + 2u),
                    scalar_of_{operand}(row, k, inner + 3u),
                );
            }}\n"
        ),
    }
}

impl GemmVariant {
    /// The output tile of a workgroup, `(m, n)`.
    pub(crate) fn tile(self) -> (usize, usize) {
        match self {
            Self::Simt(Tile { m, n, .. }) => (m, n),
            Self::Cooperative(tile) => {
                (tile.block_size * tile.blocks_m * tile.subgroups_m, tile.block_size * tile.blocks_n * tile.subgroups_n)
            }
        }
    }

    /// Elements along k of a tile.
    fn tile_k(self) -> usize {
        match self {
            Self::Simt(_) => 16,
            Self::Cooperative(_) => 32,
        }
    }

    fn workgroup_size(self) -> usize {
        match self {
            Self::Simt(tile) => tile.m / tile.thread_m * (tile.n / tile.thread_n),
            Self::Cooperative(tile) => tile.subgroups_m * tile.subgroups_n * tile.subgroup_size,
        }
    }

    fn emit(self, shader: Shader, n: usize) -> Shader {
        let (tile_m, tile_n) = self.tile();
        let workgroup_size = self.workgroup_size();
        // Both in vec4 along k; the padding puts the rows of a tile into different memory banks.
        let k_vectors = self.tile_k() / 4;
        let padding = match self {
            Self::Simt(_) => 1,
            Self::Cooperative(_) => 2,
        };
        let mut constants = vec![
            ("TILE_M", tile_m),
            ("TILE_N", tile_n),
            ("TILE_K", self.tile_k()),
            ("TILE_STRIDE", k_vectors + padding),
            ("K_VECTORS", k_vectors),
            ("WORKGROUP_SIZE", workgroup_size),
            ("TILES_N", n.div_ceil(tile_n)),
        ];
        let mut trip_counts =
            vec![("A_LOADS", tile_m * k_vectors / workgroup_size), ("B_LOADS", tile_n * k_vectors / workgroup_size)];
        let (shader, body) = match self {
            Self::Simt(tile) => {
                constants.extend([("THREADS_M", tile.m / tile.thread_m), ("THREADS_N", tile.n / tile.thread_n)]);
                trip_counts.extend([("THREAD_M", tile.thread_m), ("THREAD_N", tile.thread_n)]);
                (shader, include_str!("gemm/simt.wgsl").to_owned())
            }
            Self::Cooperative(tile) => {
                let blocks = [("BLOCKS_M", tile.blocks_m), ("BLOCKS_N", tile.blocks_n)];
                constants.extend(blocks);
                constants.extend([
                    ("BLOCK_SIZE", tile.block_size),
                    ("SUBGROUP_SIZE", tile.subgroup_size),
                    ("SUBGROUPS", tile.subgroups_m * tile.subgroups_n),
                    ("SUBGROUPS_N", tile.subgroups_n),
                ]);
                trip_counts.extend(blocks);
                trip_counts.push(("BLOCKS_K", self.tile_k() / tile.block_size));
                let matrix = format!("coop_mat{0}x{0}", tile.block_size);
                (shader, include_str!("gemm/cooperative.wgsl").replace("MATRIX", &matrix))
            }
        };
        let shader = constants.into_iter().fold(shader, |shader, (name, value)| shader.constant(name, value));
        shader.push(&unroll(&body, &trip_counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tile_loads_divide_evenly_among_threads() {
        let gemm = Gemm {
            m: 1000,
            k: 64,
            n: 64,
            batch: 1,
            a: LhsLayout::Matrix { batch_stride: 0, row_stride: 64, k_stride: 1 },
            b: RhsLayout::Packed,
            out_batch_stride: 0,
            ldc: 64,
        };
        for subgroup_size in [8, 16, 32, 64] {
            for variant in gemm.variants(Some(CooperativeMatrix { block_size: 16, subgroup_size })) {
                let (tile_m, tile_n) = variant.tile();
                let k_vectors = if matches!(variant, GemmVariant::Simt(_)) { 4 } else { 8 };
                for rows in [tile_m, tile_n] {
                    assert_eq!(rows * k_vectors % variant.workgroup_size(), 0, "{variant:?}");
                }
            }
        }
    }
}
