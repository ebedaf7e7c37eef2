// (x - mean) / sqrt(variance + EPSILON) over each row of LENGTH numbers. A workgroup a row. The variance is that of what is left
// without the mean: squares of large numbers lose their digits.
var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let row = group_number(group);
    if row >= size.rows {
        return;
    }
    let first = row * LENGTH;
    var sum = 0.0;
    for (var i = local; i < LENGTH; i += 64u) {
        sum += f32(in0[first + i]);
    }
    partial[local] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    let mean = partial[0] / f32(LENGTH);
    workgroupBarrier();
    var squares = 0.0;
    for (var i = local; i < LENGTH; i += 64u) {
        let rest = f32(in0[first + i]) - mean;
        squares += rest * rest;
    }
    partial[local] = squares;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    let scale = 1.0 / sqrt(partial[0] / f32(LENGTH) + EPSILON);
    for (var i = local; i < LENGTH; i += 64u) {
        let place = first + i;
        out[place] = T(finish(place, (f32(in0[place]) - mean) * scale));
    }
}
