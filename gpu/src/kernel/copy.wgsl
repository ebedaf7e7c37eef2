// A strided copy, one element per thread.
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let i = workgroup_index(group) * 256u + local;
    if i < dispatch.num_elements {
        // Padding reads nothing: its source offset may be out of bounds.
        if i % PERIOD < COPIED_LEN {
            out[dst_offset(i)] = in0[src_offset(i)];
        } else {
            out[dst_offset(i)] = T();
        }
    }
}
