// Operand A by implicit im2col over [batch, height, width, channels]: a row holds the window of one output pixel, tap by tap, all
// channels of each tap.
fn row_of_a(batch: u32, row: u32) -> Row {
    let x = row % OUT_WIDTH;
    let y = row / OUT_WIDTH % OUT_HEIGHT;
    let image = row / (OUT_WIDTH * OUT_HEIGHT);
    let base = image * (IN_HEIGHT * IN_WIDTH * IN_CHANNELS) + batch * CHANNELS;
    return Row(base, i32(y * STRIDE_Y) - i32(PAD_TOP), i32(x * STRIDE_X) - i32(PAD_LEFT), row < dispatch.rows);
}

// The offset of element k + inner of a row; -1 in the padding. If the channels fill whole tiles, all threads are at the same tap,
// which then depends on the uniform k alone.
fn offset_of_a(row: Row, k: u32, inner: u32) -> i32 {
    let tap = select(k + inner, k, ONE_TAP_PER_TILE == 1u) / CHANNELS;
    let channel = select((k + inner) % CHANNELS, k % CHANNELS + inner, ONE_TAP_PER_TILE == 1u);
    let y = row.y + i32(tap / KERNEL_WIDTH * DILATION_Y);
    let x = row.x + i32(tap % KERNEL_WIDTH * DILATION_X);
    let in_bounds =
        row.in_bounds && k + inner < K && y >= 0 && y < i32(IN_HEIGHT) && x >= 0 && x < i32(IN_WIDTH);
    return select(-1, i32(row.base) + (y * i32(IN_WIDTH) + x) * i32(IN_CHANNELS) + i32(channel), in_bounds);
}
