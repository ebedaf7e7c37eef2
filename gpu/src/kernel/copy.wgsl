// One number a thread, from its place in the input to its place in the output.
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let i = group_number(group) * 256u + local;
    if i < size.count {
        // Nothing is read where a zero is written: it may lie behind the input.
        if i % EVERY < ZEROS_BEHIND {
            out[to_place(i)] = in0[from_place(i)];
        } else {
            out[to_place(i)] = T();
        }
    }
}
