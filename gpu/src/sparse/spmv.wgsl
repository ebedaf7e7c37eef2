// SpMV by CSR-vector (Bell and Garland, Implementing Sparse Matrix-Vector Multiplication on Throughput-Oriented Processors, 2009):
// LANES_PER_ROW threads per row, each with every LANES_PER_ROW-th entry, so that loads of the entries coalesce.
const ROWS_PER_WORKGROUP: u32 = 64u / LANES_PER_ROW;

var<workgroup> partials: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let row = workgroup_index(group) * ROWS_PER_WORKGROUP + local / LANES_PER_ROW;
    let lane = local % LANES_PER_ROW;
    let in_bounds = row < dispatch.rows;
    var sum = 0.0;
    if in_bounds {
        let end = row_offsets[row + 1u];
        for (var entry = row_offsets[row] + lane; entry < end; entry += LANES_PER_ROW) {
            sum += values[entry] * dense[column_indices[entry]];
        }
    }
    // Threads without a row take part: every thread of a workgroup must reach each barrier.
    partials[local] = sum;
    workgroupBarrier();
    for (var half = LANES_PER_ROW / 2u; half > 0u; half /= 2u) {
        if lane < half {
            partials[local] += partials[local + half];
        }
        workgroupBarrier();
    }
    if in_bounds && lane == 0u {
        out[row] = partials[local];
    }
}
