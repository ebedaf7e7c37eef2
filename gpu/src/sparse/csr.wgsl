// A sparse matrix in CSR times a dense row-major one: [rows, num_cols] x [num_cols, dense columns].
// Row r has the entries from row_offsets[r] up to row_offsets[r + 1].
@group(0) @binding(1) var<storage, read> row_offsets: array<u32>;
@group(0) @binding(2) var<storage, read> column_indices: array<u32>;
@group(0) @binding(3) var<storage, read> values: array<f32>;
@group(0) @binding(4) var<storage, read> dense: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
