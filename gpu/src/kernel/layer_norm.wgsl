// (x - mean) / sqrt(variance + EPSILON) over each row of LENGTH numbers. A workgroup a row. The variance is that of what is left
// without the mean: squares of large numbers lose their digits.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let row = group_number(group);
    if row >= size.rows {
        return;
    }
    let first = row * LENGTH;
    var part = 0.0;
    for (var i = local; i < LENGTH; i += 64u) {
        part += f32(in0[first + i]);
    }
    let mean = sum_of_row(local, part) / f32(LENGTH);
    part = 0.0;
    for (var i = local; i < LENGTH; i += 64u) {
        let rest = f32(in0[first + i]) - mean;
        part += rest * rest;
    }
    let scale = 1.0 / sqrt(sum_of_row(local, part) / f32(LENGTH) + EPSILON);
    for (var i = local; i < LENGTH; i += 64u) {
        let place = first + i;
        out[place] = T(finish(place, (f32(in0[place]) - mean) * scale));
    }
}
