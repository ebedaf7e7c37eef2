// out[row, column] = epilogue(sum over k of a[row, k] * b[k, column]), tiled in workgroup memory.
// Both tiles are contiguous along k, so that one dot of two vec4 is four products; TILE_STRIDE pads their rows against bank
// conflicts.
var<workgroup> a_tile: array<vec4<f32>, TILE_M * TILE_STRIDE>;
var<workgroup> b_tile: array<vec4<f32>, TILE_N * TILE_STRIDE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let id = workgroup_index(group);
    if id >= dispatch.num_workgroups {
        return;
    }
    let row_tiles = (dispatch.rows + TILE_M - 1u) / TILE_M;
    let batch = id / TILES_N / row_tiles;
    let first_row = id / TILES_N % row_tiles * TILE_M;
    let first_column = id % TILES_N * TILE_N;
    let k_vector = local % K_VECTORS;
    #for t in A_LOADS
    let a_row#t = row_of_a(batch, first_row + (local + #tu * WORKGROUP_SIZE) / K_VECTORS);
    #end
    #for t in B_LOADS
    let b_row#t = row_of_b(batch, first_column + (local + #tu * WORKGROUP_SIZE) / K_VECTORS);
    #end
    let thread_row = local / THREADS_N;
    let thread_column = local % THREADS_N;
    #for i in THREAD_M
    #for j in THREAD_N
    var sum#i_#j = 0.0;
    #end
    #end
    // Software pipelining: the next tile is loaded while this one is multiplied.
    #for t in A_LOADS
    var next_a#t = load_a(a_row#t, 0u, k_vector * 4u);
    #end
    #for t in B_LOADS
    var next_b#t = load_b(b_row#t, 0u, k_vector * 4u);
    #end
    for (var k = 0u; k < K; k += TILE_K) {
        #for t in A_LOADS
        a_tile[(local + #tu * WORKGROUP_SIZE) / K_VECTORS * TILE_STRIDE + k_vector] = vec4<f32>(next_a#t);
        #end
        #for t in B_LOADS
        b_tile[(local + #tu * WORKGROUP_SIZE) / K_VECTORS * TILE_STRIDE + k_vector] = vec4<f32>(next_b#t);
        #end
        workgroupBarrier();
        #for t in A_LOADS
        next_a#t = load_a(a_row#t, k + TILE_K, k_vector * 4u);
        #end
        #for t in B_LOADS
        next_b#t = load_b(b_row#t, k + TILE_K, k_vector * 4u);
        #end
        for (var q = 0u; q < K_VECTORS; q++) {
            #for i in THREAD_M
            let a#i = a_tile[(thread_row + #iu * THREADS_M) * TILE_STRIDE + q];
            #end
            #for j in THREAD_N
            let b#j = b_tile[(thread_column + #ju * THREADS_N) * TILE_STRIDE + q];
            #end
            #for i in THREAD_M
            #for j in THREAD_N
            sum#i_#j += dot(a#i, b#j);
            #end
            #end
        }
        workgroupBarrier();
    }
    #for i in THREAD_M
    let row#i = first_row + thread_row + #iu * THREADS_M;
    if row#i < dispatch.rows {
        #for j in THREAD_N
        let column#j = first_column + thread_column + #ju * THREADS_N;
        if column#j < N {
            let index = batch * OUT_BATCH_STRIDE + row#i * LDC + column#j;
            out[index] = T(epilogue(index, sum#i_#j));
        }
        #end
    }
    #end
}
