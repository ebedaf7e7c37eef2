// Operand B is a strided, optionally batched matrix.
fn row_of_b(batch: u32, column: u32) -> Row {
    return Row(batch * B_BATCH_STRIDE + column * B_COLUMN_STRIDE, 0, 0, column < N);
}

// The offset of element k + inner of a column; -1 out of bounds.
fn offset_of_b(row: Row, k: u32, inner: u32) -> i32 {
    return select(-1, i32(row.base + (k + inner) * B_K_STRIDE), row.in_bounds && k + inner < K);
}
