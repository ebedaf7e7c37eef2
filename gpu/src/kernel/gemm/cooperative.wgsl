// The same product on cooperative matrices: BLOCK_SIZE x BLOCK_SIZE blocks of 16-bit floats, accumulated in 32 bits. A subgroup
// computes BLOCKS_M x BLOCKS_N blocks of the output; SUBGROUPS_M x SUBGROUPS_N subgroups compute a tile.
//
// The layout of a cooperative matrix across the subgroup is opaque: each output block goes through workgroup memory to the
// epilogue.
var<workgroup> a_tile: array<vec4<f16>, TILE_M * TILE_STRIDE>;
var<workgroup> b_tile: array<vec4<f16>, TILE_N * TILE_STRIDE>;
var<workgroup> block: array<f32, SUBGROUPS * BLOCK_SIZE * BLOCK_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let id = workgroup_index(group);
    // Cooperative matrix operations need whole subgroups: instead of returning, a surplus workgroup has all of its rows and
    // columns out of bounds.
    let outside = select(0xff000000u, 0u, id < dispatch.num_workgroups);
    let row_tiles = (dispatch.rows + TILE_M - 1u) / TILE_M;
    let batch = id / TILES_N / row_tiles;
    let first_row = outside + id / TILES_N % row_tiles * TILE_M;
    let first_column = outside + id % TILES_N * TILE_N;
    let k_vector = local % K_VECTORS;
    #for t in A_LOADS
    let a_row#t = row_of_a(batch, first_row + (local + #tu * WORKGROUP_SIZE) / K_VECTORS);
    #end
    #for t in B_LOADS
    let b_row#t = row_of_b(batch, first_column + (local + #tu * WORKGROUP_SIZE) / K_VECTORS);
    #end
    let block_row = subgroup / SUBGROUPS_N * BLOCKS_M * BLOCK_SIZE;
    let block_column = subgroup % SUBGROUPS_N * BLOCKS_N * BLOCK_SIZE;
    #for i in BLOCKS_M
    #for j in BLOCKS_N
    var sum#i_#j = MATRIX<f32, C>();
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
        a_tile[(local + #tu * WORKGROUP_SIZE) / K_VECTORS * TILE_STRIDE + k_vector] = next_a#t;
        #end
        #for t in B_LOADS
        b_tile[(local + #tu * WORKGROUP_SIZE) / K_VECTORS * TILE_STRIDE + k_vector] = next_b#t;
        #end
        workgroupBarrier();
        #for t in A_LOADS
        next_a#t = load_a(a_row#t, k + TILE_K, k_vector * 4u);
        #end
        #for t in B_LOADS
        next_b#t = load_b(b_row#t, k + TILE_K, k_vector * 4u);
        #end
        #for q in BLOCKS_K
        {
            #for i in BLOCKS_M
            let a#i = coopLoadT<MATRIX<f16, A>>(&a_tile[(block_row + #iu * BLOCK_SIZE) * TILE_STRIDE + #qu * BLOCK_SIZE / 4u], TILE_STRIDE);
            #end
            #for j in BLOCKS_N
            let b#j = coopLoad<MATRIX<f16, B>>(&b_tile[(block_column + #ju * BLOCK_SIZE) * TILE_STRIDE + #qu * BLOCK_SIZE / 4u], TILE_STRIDE);
            #end
            #for i in BLOCKS_M
            #for j in BLOCKS_N
            sum#i_#j = coopMultiplyAdd(a#i, b#j, sum#i_#j);
            #end
            #end
        }
        #end
        workgroupBarrier();
    }
    #for i in BLOCKS_M
    #for j in BLOCKS_N
    coopStoreT(sum#i_#j, &block[subgroup * BLOCK_SIZE * BLOCK_SIZE], BLOCK_SIZE);
    workgroupBarrier();
    for (var n = lane; n < BLOCK_SIZE * BLOCK_SIZE; n += SUBGROUP_SIZE) {
        let row = first_row + block_row + #iu * BLOCK_SIZE + n / BLOCK_SIZE;
        let column = first_column + block_column + #ju * BLOCK_SIZE + n % BLOCK_SIZE;
        if row < dispatch.rows && column < N {
            let index = batch * OUT_BATCH_STRIDE + row * LDC + column;
            out[index] = T(epilogue(index, block[subgroup * BLOCK_SIZE * BLOCK_SIZE + n]));
        }
    }
    workgroupBarrier();
    #end
    #end
}
