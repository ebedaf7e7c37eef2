// exp(x - largest) / sum of these over each row of LENGTH numbers. A workgroup a row.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let row = group_number(group);
    if row >= size.rows {
        return;
    }
    let first = row * LENGTH;
    var part = -3.4028234e38;
    for (var i = local; i < LENGTH; i += 64u) {
        part = max(part, f32(in0[first + i]));
    }
    let largest = largest_of_row(local, part);
    part = 0.0;
    for (var i = local; i < LENGTH; i += 64u) {
        part += exp(f32(in0[first + i]) - largest);
    }
    let sum = sum_of_row(local, part);
    for (var i = local; i < LENGTH; i += 64u) {
        let place = first + i;
        out[place] = T(finish(place, exp(f32(in0[place]) - largest) / sum));
    }
}
