// Operand A is a strided, optionally batched matrix.
fn row_of_a(batch: u32, row: u32) -> Row {
    return Row(batch * A_BATCH_STRIDE + row * A_ROW_STRIDE, 0, 0, row < dispatch.rows);
}

// The offset of element k + inner of a row; -1 out of bounds.
fn offset_of_a(row: Row, k: u32, inner: u32) -> i32 {
    return select(-1, i32(row.base + (k + inner) * A_K_STRIDE), row.in_bounds && k + inner < K);
}
