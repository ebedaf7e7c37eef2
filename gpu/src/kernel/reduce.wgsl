// A sum, mean, maximum or minimum over some axes, one output per thread. Loads coalesce where the innermost axis is kept.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let i = workgroup_index(group) * 64u + local;
    if i >= dispatch.num_elements {
        return;
    }
    let base = outer_offset(i);
    var result = f32(in0[base + inner_offset(0u)]);
    for (var j = 1u; j < LENGTH; j++) {
        result = combine(result, f32(in0[base + inner_offset(j)]));
    }
    if IS_MEAN == 1u {
        result /= f32(LENGTH);
    }
    out[i] = T(epilogue(i, result));
}
