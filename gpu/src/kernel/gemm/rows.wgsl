// Where a row of an operand begins.
struct Row {
    base: u32,
    y: i32,
    x: i32,
    is_inside: bool,
}
