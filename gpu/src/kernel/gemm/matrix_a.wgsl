// a is a matrix, or one after the other.
fn row_of_a(batch: u32, row: u32) -> Row {
    return Row(batch * A_BATCH + row * A_ROW, 0, 0, row < size.rows);
}

fn place_of_a(row: Row, k: u32, inner: u32) -> i32 {
    return select(-1, i32(row.base + (k + inner) * A_DEPTH), row.is_inside && k + inner < DEPTH);
}
