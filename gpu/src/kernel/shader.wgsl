// The sizes that change with the batch; all others are constants of the source.
struct DispatchUniform {
    // Output elements.
    num_elements: u32,
    // Rows of a product, or of a row-wise kernel.
    rows: u32,
    // Workgroups with work to do; the dispatch may be larger.
    num_workgroups: u32,
    padding: u32,
}

@group(0) @binding(0) var<uniform> dispatch: DispatchUniform;

const MAX_WORKGROUPS_X: u32 = 65535u;

fn workgroup_index(group: vec3u) -> u32 {
    return group.y * MAX_WORKGROUPS_X + group.x;
}

// Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: absolute error below 1.5e-7.
fn error_function(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.3275911 * abs(x));
    let sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(x) * (1.0 - sum * exp(-x * x));
}

// WGSL's `pow` is undefined for negative bases. For these, integer exponents keep the sign and others give NaN.
fn power(base: f32, exponent: f32) -> f32 {
    if exponent == 0.0 {
        return 1.0;
    }
    let magnitude = pow(abs(base), exponent);
    if base >= 0.0 {
        return magnitude;
    }
    let is_odd = (i32(exponent) & 1) == 1;
    return select(bitcast<f32>(opaque_bits(0x7fc00000u)), select(magnitude, -magnitude, is_odd), exponent == trunc(exponent));
}

// WGSL rejects infinities and NaN in constant expressions: this makes the bits depend on a uniform, which is 0 here.
fn opaque_bits(bits: u32) -> u32 {
    return bits | (dispatch.padding & 1u);
}
