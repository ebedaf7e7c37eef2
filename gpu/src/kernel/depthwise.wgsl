// Depthwise convolution over [batch, height, width, channels]; weights are [kernel height, kernel width, channels].
// One output per thread; adjacent threads handle adjacent channels, so that their loads coalesce.
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
    for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
        let y = y0 + i32(ky * DILATION_Y);
        if y < 0 || y >= i32(IN_HEIGHT) {
            continue;
        }
        for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
            let x = x0 + i32(kx * DILATION_X);
            if x >= 0 && x < i32(IN_WIDTH) {
                let index = ((image * IN_HEIGHT + u32(y)) * IN_WIDTH + u32(x)) * IN_CHANNELS + channel / MULTIPLIER;
                sum += f32(in0[index]) * f32(in1[(ky * KERNEL_WIDTH + kx) * CHANNELS + channel]);
            }
        }
    }
    out[i] = T(epilogue(i, sum));
}
