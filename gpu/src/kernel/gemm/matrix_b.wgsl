// b is a matrix, or one after the other.
fn row_of_b(batch: u32, column: u32) -> Row {
    return Row(batch * B_BATCH + column * B_COLUMN, 0, 0, column < COLUMNS);
}

fn place_of_b(row: Row, k: u32, inner: u32) -> i32 {
    return select(-1, i32(row.base + (k + inner) * B_DEPTH), row.is_inside && k + inner < DEPTH);
}
