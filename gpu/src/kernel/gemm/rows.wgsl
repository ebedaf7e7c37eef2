// A row of operand A or a column of operand B.
struct Row {
    // The offset of its first element; for im2col, of the image.
    base: u32,
    // The top left corner of the window, for im2col.
    y: i32,
    x: i32,
    in_bounds: bool,
}
