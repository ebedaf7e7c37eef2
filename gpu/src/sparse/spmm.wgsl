// Several columns: a thread a result. Neighbours are in neighbouring columns: they read the same entry, and a piece of one row of
// the dense matrix.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let i = group_number(group) * 64u + local;
    if i >= size.count {
        return;
    }
    let across = size.count / size.rows;
    let row = i / across;
    let column = i % across;
    let end = offsets[row + 1u];
    var sum = 0.0;
    for (var entry = offsets[row]; entry < end; entry++) {
        sum += values[entry] * dense[columns[entry] * across + column];
    }
    out[i] = sum;
}
