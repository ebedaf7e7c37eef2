// A sum, mean, largest or smallest number over some axes. One result a thread: neighbours in a workgroup are neighbours in memory
// wherever the innermost axis is kept.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let i = group_number(group) * 64u + local;
    if i >= size.count {
        return;
    }
    let base = kept(i);
    var result = f32(in0[base + reduced(0u)]);
    for (var j = 1u; j < LENGTH; j++) {
        result = combine(result, f32(in0[base + reduced(j)]));
    }
    if IS_MEAN == 1u {
        result /= f32(LENGTH);
    }
    out[i] = T(finish(i, result));
}
