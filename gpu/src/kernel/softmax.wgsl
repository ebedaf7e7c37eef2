// exp(x - largest) / sum of these over each row of LENGTH numbers. A workgroup a row.
var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let row = group_number(group);
    if row >= size.rows {
        return;
    }
    let first = row * LENGTH;
    var largest = -3.4028234e38;
    for (var i = local; i < LENGTH; i += 64u) {
        largest = max(largest, f32(in0[first + i]));
    }
    partial[local] = largest;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] = max(partial[local], partial[local + half]);
        }
        workgroupBarrier();
    }
    largest = partial[0];
    workgroupBarrier();
    var sum = 0.0;
    for (var i = local; i < LENGTH; i += 64u) {
        sum += exp(f32(in0[first + i]) - largest);
    }
    partial[local] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    sum = partial[0];
    for (var i = local; i < LENGTH; i += 64u) {
        let place = first + i;
        out[place] = T(finish(place, exp(f32(in0[place]) - largest) / sum));
    }
}
