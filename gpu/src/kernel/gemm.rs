//! [`Gemm`]: products of matrices, and convolutions as such.
//!
//! ```text
//! out[batch, row, column] = finish(sum over k of a[batch, row, k] * b[batch, k, column])
//! ```
//! - A convolution is one over `[batch, height, width, channels]` pictures: its rows are the pixels that it makes, its k runs over
//!   the numbers under the window, and a is never written out (implicit GEMM: Chetlur et al., cuDNN, 2014). One of 1 x 1 is a
//!   plain product. Its batches are the groups of channels.
//! - [`Road`] says what multiplies: 32-bit arithmetic on every adapter, or the matrix units of those that have them.

use super::shader::{Reads, Shader, unroll};
use super::window::Window;
use crate::precision::Precision;

/// One product, or one for each batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gemm {
    /// Rows of a, in one batch.
    pub(crate) rows: usize,
    /// Columns of a, and rows of b.
    pub(crate) depth: usize,
    /// Columns of b, in one batch.
    pub(crate) columns: usize,
    pub(crate) batch: usize,
    pub(crate) a: A,
    pub(crate) b: B,
    /// How far apart the results of two batches are.
    pub(crate) out_batch: usize,
    /// How far apart two rows of the result are; its columns lie together.
    pub(crate) out_row: usize,
}

/// Where the numbers of a are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum A {
    /// Under a window over pictures of `in_channels`, of which a batch sees `channels`.
    Window { window: Window, in_channels: usize, channels: usize },
    /// A matrix with these distances between batches, rows and columns.
    Matrix { batch: usize, row: usize, depth: usize },
}

/// Where the numbers of b are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum B {
    /// `[batch, columns, padded depth]`, see [`padded`].
    Weights,
    /// A matrix with these distances between batches, rows and columns.
    Matrix { batch: usize, depth: usize, column: usize },
}

/// The depth of weights: zeros behind the last, so that four or eight numbers can be read at once.
pub(crate) const fn padded(depth: usize) -> usize {
    depth.next_multiple_of(8)
}

/// What multiplies, and in which tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Road {
    Tiled(Tile),
    Units(Units),
}

/// Rows and columns of the result that a workgroup makes, and each of its threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tile {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) thread_rows: usize,
    pub(crate) thread_columns: usize,
}

/// Blocks of the result that a subgroup has, and subgroups of a workgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Units {
    /// Rows and columns of a block: 8 or 16.
    pub(crate) side: usize,
    pub(crate) subgroup_size: usize,
    pub(crate) block_rows: usize,
    pub(crate) block_columns: usize,
    pub(crate) subgroups_down: usize,
    pub(crate) subgroups_across: usize,
}

const TILES: [Tile; 4] = [
    Tile { rows: 128, columns: 128, thread_rows: 8, thread_columns: 8 },
    Tile { rows: 128, columns: 64, thread_rows: 8, thread_columns: 4 },
    Tile { rows: 64, columns: 64, thread_rows: 4, thread_columns: 4 },
    Tile { rows: 32, columns: 32, thread_rows: 4, thread_columns: 4 },
];

/// Blocks down and across for a subgroup, subgroups down and across.
const UNITS: [[usize; 4]; 4] = [[4, 2, 2, 4], [4, 4, 2, 2], [2, 2, 2, 2], [2, 4, 2, 1]];

/// The matrix units of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MatrixUnits {
    pub(crate) side: usize,
    pub(crate) subgroup_size: usize,
}

impl Gemm {
    /// The roads that there are for it on a device with these units, the likeliest first.
    pub(crate) fn roads(&self, units: Option<MatrixUnits>) -> Vec<Road> {
        let units = units.into_iter().flat_map(|MatrixUnits { side, subgroup_size }| {
            UNITS.map(|[block_rows, block_columns, subgroups_down, subgroups_across]| {
                Road::Units(Units { side, subgroup_size, block_rows, block_columns, subgroups_down, subgroups_across })
            })
        });
        let mut roads: Vec<Road> = units.chain(TILES.map(Road::Tiled)).collect();
        let is_tiled = |road: &Road| matches!(road, Road::Tiled(_));
        // Matrix units first; of each kind, the largest tile of which at least two thirds are used, unless too few are left to
        // keep the card busy.
        const BUSY: usize = 128;
        roads.sort_by_key(|road| {
            let (rows, columns) = road.tile();
            let tiles = self.rows.div_ceil(rows) * self.columns.div_ceil(columns) * self.batch;
            let wasted = (self.rows.next_multiple_of(rows) * self.columns.next_multiple_of(columns)) * 2
                > self.rows * self.columns * 3;
            (
                is_tiled(road),
                wasted,
                tiles < BUSY,
                if wasted || tiles < BUSY { rows * columns } else { usize::MAX - rows * columns },
            )
        });
        roads
    }

    /// Workgroups on a road.
    pub(crate) fn groups(&self, road: Road) -> usize {
        let (rows, columns) = road.tile();
        self.rows.div_ceil(rows) * self.columns.div_ceil(columns) * self.batch
    }

    /// How a and b are read.
    pub(crate) fn reads(&self) -> [Reads; 2] {
        let reads = |numbers: &[usize]| match numbers.iter().all(|number| number.is_multiple_of(4)) {
            true => Reads::Fours,
            false => Reads::Numbers,
        };
        let a = match self.a {
            A::Window { in_channels, channels, .. } => reads(&[in_channels, channels]),
            A::Matrix { batch, row, depth: 1 } => reads(&[batch, row, self.depth]),
            A::Matrix { .. } => Reads::Numbers,
        };
        let b = match self.b {
            B::Weights => Reads::Fours,
            B::Matrix { batch, depth: 1, column } => reads(&[batch, column, self.depth]),
            B::Matrix { .. } => Reads::Numbers,
        };
        [a, b]
    }

    /// The source for a road, without what `finish` needs.
    pub(crate) fn source(&self, road: Road, precision: Precision, operands: &[Reads], finish: &str) -> String {
        let reads = self.reads();
        let mut shader = Shader::new(precision, &[&reads[..], operands].concat(), Reads::Numbers);
        if let Road::Units(_) = road {
            shader = shader.enable("wgpu_cooperative_matrix");
        }
        let constants = [
            ("DEPTH", self.depth),
            ("COLUMNS", self.columns),
            ("OUT_BATCH", self.out_batch),
            ("OUT_ROW", self.out_row),
        ];
        shader = constants.into_iter().fold(shader, |shader, (name, value)| shader.constant(name, value));
        shader = shader.push(include_str!("gemm/rows.wgsl"));
        shader = match &self.a {
            A::Window { window, in_channels, channels } => {
                let is_one_tap = channels.is_multiple_of(road.tile_depth());
                let shader = window
                    .declare(shader)
                    .constant("IN_CHANNELS", *in_channels)
                    .constant("CHANNELS", *channels)
                    .constant("ONE_TAP_A_TILE", is_one_tap.into());
                shader.push(include_str!("gemm/im2col.wgsl"))
            }
            A::Matrix { batch, row, depth } => {
                let shader = shader.constant("A_BATCH", *batch).constant("A_ROW", *row).constant("A_DEPTH", *depth);
                shader.push(include_str!("gemm/matrix_a.wgsl"))
            }
        };
        let (batch, depth, column) = match self.b {
            B::Weights => (self.columns * padded(self.depth), 1, padded(self.depth)),
            B::Matrix { batch, depth, column } => (batch, depth, column),
        };
        shader = shader.constant("B_BATCH", batch).constant("B_DEPTH", depth).constant("B_COLUMN", column);
        shader = shader.push(include_str!("gemm/matrix_b.wgsl"));
        shader = shader.push(&load("a", 0, reads[0])).push(&load("b", 1, reads[1])).push(finish);
        road.declare(shader, self.columns).build()
    }
}

/// Four numbers along k; outside there are zeros, which add nothing.
fn load(operand: &str, input: usize, reads: Reads) -> String {
    match reads {
        Reads::Fours => format!(
            "fn load_{operand}(row: Row, k: u32, inner: u32) -> vec4<T> {{
                let place = place_of_{operand}(row, k, inner);
                if place < 0 {{ return vec4<T>(); }}
                return in{input}[place / 4];
            }}\n"
        ),
        Reads::Numbers => format!(
            "fn number_{operand}(row: Row, k: u32, inner: u32) -> T {{
                let place = place_of_{operand}(row, k, inner);
                if place < 0 {{ return T(); }}
                return in{input}[place];
            }}
            fn load_{operand}(row: Row, k: u32, inner: u32) -> vec4<T> {{
                return vec4<T>(
                    number_{operand}(row, k, inner),
                    number_{operand}(row, k, inner + 1u),
                    number_{operand}(row, k, inner + 2u),
                    number_{operand}(row, k, inner + 3u),
                );
            }}\n"
        ),
    }
}

impl Road {
    /// Rows and columns of a tile.
    pub(crate) fn tile(self) -> (usize, usize) {
        match self {
            Self::Tiled(Tile { rows, columns, .. }) => (rows, columns),
            Self::Units(units) => (
                units.side * units.block_rows * units.subgroups_down,
                units.side * units.block_columns * units.subgroups_across,
            ),
        }
    }

    /// Numbers along k of a tile.
    fn tile_depth(self) -> usize {
        match self {
            Self::Tiled(_) => 16,
            Self::Units(_) => 32,
        }
    }

    fn threads(self) -> usize {
        match self {
            Self::Tiled(tile) => tile.rows / tile.thread_rows * (tile.columns / tile.thread_columns),
            Self::Units(units) => units.subgroups_down * units.subgroups_across * units.subgroup_size,
        }
    }

    fn declare(self, shader: Shader, columns: usize) -> Shader {
        let (tile_rows, tile_columns) = self.tile();
        let threads = self.threads();
        // Along k, in fours; what is behind them puts the rows of a tile into different banks.
        let fours = self.tile_depth() / 4;
        let behind = match self {
            Self::Tiled(_) => 1,
            Self::Units(_) => 2,
        };
        let mut constants = vec![
            ("TILE_ROWS", tile_rows),
            ("TILE_COLUMNS", tile_columns),
            ("TILE_DEPTH", self.tile_depth()),
            ("TILE_STRIDE", fours + behind),
            ("FOURS", fours),
            ("THREADS", threads),
            ("COLUMN_TILES", columns.div_ceil(tile_columns)),
        ];
        let mut times = vec![("A_LOADS", tile_rows * fours / threads), ("B_LOADS", tile_columns * fours / threads)];
        let (shader, body) = match self {
            Self::Tiled(tile) => {
                constants.extend([
                    ("ROW_THREADS", tile.rows / tile.thread_rows),
                    ("COLUMN_THREADS", tile.columns / tile.thread_columns),
                ]);
                times.extend([("THREAD_ROWS", tile.thread_rows), ("THREAD_COLUMNS", tile.thread_columns)]);
                (shader, include_str!("gemm/simt.wgsl").to_owned())
            }
            Self::Units(units) => {
                let blocks = [("BLOCK_ROWS", units.block_rows), ("BLOCK_COLUMNS", units.block_columns)];
                constants.extend(blocks);
                constants.extend([
                    ("SIDE", units.side),
                    ("SUBGROUP_SIZE", units.subgroup_size),
                    ("SUBGROUPS", units.subgroups_down * units.subgroups_across),
                    ("SUBGROUPS_ACROSS", units.subgroups_across),
                ]);
                times.extend(blocks);
                times.push(("DEPTH_BLOCKS", self.tile_depth() / units.side));
                let matrix = format!("coop_mat{0}x{0}", units.side);
                (shader, include_str!("gemm/cooperative.wgsl").replace("MATRIX", &matrix))
            }
        };
        let shader = constants.into_iter().fold(shader, |shader, (name, value)| shader.constant(name, value));
        shader.push(&unroll(&body, &times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_road_deals_its_loads_out_evenly() {
        let gemm = Gemm {
            rows: 1000,
            depth: 64,
            columns: 64,
            batch: 1,
            a: A::Matrix { batch: 0, row: 64, depth: 1 },
            b: B::Weights,
            out_batch: 0,
            out_row: 64,
        };
        for subgroup_size in [8, 16, 32, 64] {
            for road in gemm.roads(Some(MatrixUnits { side: 16, subgroup_size })) {
                let (rows, columns) = road.tile();
                let fours = if matches!(road, Road::Tiled(_)) { 4 } else { 8 };
                for side in [rows, columns] {
                    assert_eq!(side * fours % road.threads(), 0, "{road:?}");
                }
            }
        }
    }
}
