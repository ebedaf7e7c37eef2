// One column: LANES threads a row, each with every LANES-th entry, so that neighbours read neighbours. Bell and Garland,
// Implementing Sparse Matrix-Vector Multiplication on Throughput-Oriented Processors, 2009 (CSR-vector).
const ROWS: u32 = 64u / LANES;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let row = group_number(group) * ROWS + local / LANES;
    let lane = local % LANES;
    let is_inside = row < size.rows;
    var sum = 0.0;
    if is_inside {
        let end = offsets[row + 1u];
        for (var entry = offsets[row] + lane; entry < end; entry += LANES) {
            sum += values[entry] * dense[columns[entry]];
        }
    }
    // Threads without a row come along: all of a workgroup meet at each barrier.
    partial[local] = sum;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    if is_inside && lane == 0u {
        out[row] = partial[local];
    }
}
