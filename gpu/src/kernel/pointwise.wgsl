// The epilogue alone, one output per thread.
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let i = workgroup_index(group) * 256u + local;
    if i < dispatch.num_elements {
        out[i] = T(epilogue(i, 0.0));
    }
}
