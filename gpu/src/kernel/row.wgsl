// What the 64 threads of a workgroup find out together about a row. All of them come along: these have barriers.
var<workgroup> partial: array<f32, 64>;

fn sum_of_row(local: u32, part: f32) -> f32 {
    partial[local] = part;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    let sum = partial[0];
    // Nobody writes before all have read.
    workgroupBarrier();
    return sum;
}

fn largest_of_row(local: u32, part: f32) -> f32 {
    partial[local] = part;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] = max(partial[local], partial[local + half]);
        }
        workgroupBarrier();
    }
    let largest = partial[0];
    workgroupBarrier();
    return largest;
}
