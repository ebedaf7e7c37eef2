// c = a · b, row-major: [m, k] x [k, n] -> [m, n].
// A workgroup computes a tile of c, 16 columns of a and rows of b at a time, which it shares through workgroup memory.

const TILE: u32 = 16;

struct Shape { m: u32, k: u32, n: u32 }

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> shape: Shape;

var<workgroup> a_tile: array<array<f32, TILE>, TILE>;
var<workgroup> b_tile: array<array<f32, TILE>, TILE>;

@compute @workgroup_size(TILE, TILE)
fn gemm(@builtin(global_invocation_id) place: vec3u, @builtin(local_invocation_id) local: vec3u) {
    let row = place.y;
    let column = place.x;
    var sum = 0.0;
    for (var start = 0u; start < shape.k; start += TILE) {
        // Outside of the matrices there are zeros, which add nothing.
        let a_column = start + local.x;
        let b_row = start + local.y;
        a_tile[local.y][local.x] = select(0.0, a[row * shape.k + a_column], row < shape.m && a_column < shape.k);
        b_tile[local.y][local.x] = select(0.0, b[b_row * shape.n + column], b_row < shape.k && column < shape.n);
        workgroupBarrier();
        for (var i = 0u; i < TILE; i++) {
            sum += a_tile[local.y][i] * b_tile[i][local.x];
        }
        workgroupBarrier();
    }
    if row < shape.m && column < shape.n {
        c[row * shape.n + column] = sum;
    }
}
