// SpMM, several dense columns: one thread per output. Adjacent threads compute adjacent columns: they read the same entry, and
// contiguous elements of a row of the dense matrix.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let i = workgroup_index(group) * 64u + local;
    if i >= dispatch.num_elements {
        return;
    }
    let dense_columns = dispatch.num_elements / dispatch.rows;
    let row = i / dense_columns;
    let column = i % dense_columns;
    let end = row_offsets[row + 1u];
    var sum = 0.0;
    for (var entry = row_offsets[row]; entry < end; entry++) {
        sum += values[entry] * dense[column_indices[entry] * dense_columns + column];
    }
    out[i] = sum;
}
