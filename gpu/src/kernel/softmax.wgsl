// exp(x - max) / sum(exp(x - max)) over each row of LENGTH elements, one workgroup per row.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let row = workgroup_index(group);
    if row >= dispatch.rows {
        return;
    }
    let first = row * LENGTH;
    var value = -3.4028234e38;
    for (var i = local; i < LENGTH; i += 64u) {
        value = max(value, f32(in0[first + i]));
    }
    let largest = row_max(local, value);
    value = 0.0;
    for (var i = local; i < LENGTH; i += 64u) {
        value += exp(f32(in0[first + i]) - largest);
    }
    let sum = row_sum(local, value);
    for (var i = local; i < LENGTH; i += 64u) {
        let index = first + i;
        out[index] = T(epilogue(index, exp(f32(in0[index]) - largest) / sum));
    }
}
