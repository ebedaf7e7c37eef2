// A matrix of which only entries are stored, row behind row (CSR), times a dense one, in rows: [rows, width] x [width, across].
// Row r has the entries from offsets[r] up to offsets[r + 1].
@group(0) @binding(1) var<storage, read> offsets: array<u32>;
@group(0) @binding(2) var<storage, read> columns: array<u32>;
@group(0) @binding(3) var<storage, read> values: array<f32>;
@group(0) @binding(4) var<storage, read> dense: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
