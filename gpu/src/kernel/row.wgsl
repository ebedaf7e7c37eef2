// Tree reductions over the 64 threads of a workgroup. Every thread must call them: they contain barriers.
var<workgroup> partials: array<f32, 64>;

fn row_sum(local: u32, value: f32) -> f32 {
    partials[local] = value;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if local < half {
            partials[local] += partials[local + half];
        }
        workgroupBarrier();
    }
    let sum = partials[0];
    // The next call overwrites `partials` only after every thread has read the result.
    workgroupBarrier();
    return sum;
}

fn row_max(local: u32, value: f32) -> f32 {
    partials[local] = value;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if local < half {
            partials[local] = max(partials[local], partials[local + half]);
        }
        workgroupBarrier();
    }
    let largest = partials[0];
    workgroupBarrier();
    return largest;
}
