// (x - mean) / sqrt(variance + EPSILON) over each row of LENGTH elements, one workgroup per row. Two passes, since the variance as
// mean(x^2) - mean^2 would cancel.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let row = workgroup_index(group);
    if row >= dispatch.rows {
        return;
    }
    let first = row * LENGTH;
    var value = 0.0;
    for (var i = local; i < LENGTH; i += 64u) {
        value += f32(in0[first + i]);
    }
    let mean = row_sum(local, value) / f32(LENGTH);
    value = 0.0;
    for (var i = local; i < LENGTH; i += 64u) {
        let deviation = f32(in0[first + i]) - mean;
        value += deviation * deviation;
    }
    let scale = 1.0 / sqrt(row_sum(local, value) / f32(LENGTH) + EPSILON);
    for (var i = local; i < LENGTH; i += 64u) {
        let index = first + i;
        out[index] = T(epilogue(index, (f32(in0[index]) - mean) * scale));
    }
}
