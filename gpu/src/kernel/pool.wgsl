// Max or average pooling of each channel of [batch, height, width, channels], one output per thread.
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let i = workgroup_index(group) * 256u + local;
    if i >= dispatch.num_elements {
        return;
    }
    let channel = i % CHANNELS;
    let pixel = i / CHANNELS;
    let x0 = i32((pixel % OUT_WIDTH) * STRIDE_X) - i32(PAD_LEFT);
    let y0 = i32((pixel / OUT_WIDTH % OUT_HEIGHT) * STRIDE_Y) - i32(PAD_TOP);
    let image = pixel / (OUT_WIDTH * OUT_HEIGHT);
    var sum = 0.0;
    // The lowest finite f32.
    var largest = -3.4028234e38;
    var count = 0u;
    for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
        let y = y0 + i32(ky * DILATION_Y);
        for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
            let x = x0 + i32(kx * DILATION_X);
            if y >= 0 && y < i32(IN_HEIGHT) && x >= 0 && x < i32(IN_WIDTH) {
                let value = f32(in0[((image * IN_HEIGHT + u32(y)) * IN_WIDTH + u32(x)) * CHANNELS + channel]);
                sum += value;
                largest = max(largest, value);
            }
            // count_include_pad counts the padding, but not the positions that ceil_mode adds after it.
            let in_padded = y < i32(IN_HEIGHT + PAD_BOTTOM) && x < i32(IN_WIDTH + PAD_RIGHT);
            let in_image = y >= 0 && y < i32(IN_HEIGHT) && x >= 0 && x < i32(IN_WIDTH);
            count += select(0u, 1u, select(in_image, in_padded, COUNT_INCLUDE_PAD == 1u));
        }
    }
    let result = select(sum / f32(max(count, 1u)), largest, IS_MAX == 1u);
    out[i] = T(epilogue(i, result));
}
