// What changes with the size of a batch; all else is a constant of the source.
struct Size {
    // Numbers that the kernel makes.
    count: u32,
    // Rows of a product, or of a reduction.
    rows: u32,
    // Workgroups that have something to do.
    groups: u32,
    padding: u32,
}

@group(0) @binding(0) var<uniform> size: Size;

const GROUPS_ACROSS: u32 = 65535u;

fn group_number(group: vec3u) -> u32 {
    return group.y * GROUPS_ACROSS + group.x;
}

// Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: within 1.5e-7.
fn error_function(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.3275911 * abs(x));
    let sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(x) * (1.0 - sum * exp(-x * x));
}

// WGSL's has no base below 0. There whole exponents have their sign, and others no result.
fn power(base: f32, exponent: f32) -> f32 {
    if exponent == 0.0 {
        return 1.0;
    }
    let size = pow(abs(base), exponent);
    if base >= 0.0 {
        return size;
    }
    let is_odd = (i32(exponent) & 1) == 1;
    return select(bitcast<f32>(literal(0x7fc00000u)), select(size, -size, is_odd), exponent == trunc(exponent));
}

// Infinities cannot be written in WGSL, nor be known to be there when it is compiled.
fn literal(bits: u32) -> u32 {
    return bits | (size.padding & 1u);
}
