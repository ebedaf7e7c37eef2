// The same product on matrix units: SIDE x SIDE blocks of 16-bit floats, added up in 32 bits. A subgroup has
// BLOCK_ROWS x BLOCK_COLUMNS blocks of the result; SUBGROUPS_DOWN x SUBGROUPS_ACROSS subgroups make a tile.
//
// What a unit holds cannot be seen number by number: each block of the result goes through workgroup memory on its way out.
var<workgroup> a_tile: array<vec4<f16>, TILE_ROWS * TILE_STRIDE>;
var<workgroup> b_tile: array<vec4<f16>, TILE_COLUMNS * TILE_STRIDE>;
var<workgroup> block: array<f32, SUBGROUPS * SIDE * SIDE>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let id = group_number(group);
    // A workgroup too many has all of its rows and columns outside: blocks are for whole subgroups, which may not return.
    let outside = select(0xff000000u, 0u, id < size.groups);
    let row_tiles = (size.rows + TILE_ROWS - 1u) / TILE_ROWS;
    let batch = id / COLUMN_TILES / row_tiles;
    let first_row = outside + id / COLUMN_TILES % row_tiles * TILE_ROWS;
    let first_column = outside + id % COLUMN_TILES * TILE_COLUMNS;
    let four = local % FOURS;
    #for t in A_LOADS
    let a_row#t = row_of_a(batch, first_row + (local + #tu * THREADS) / FOURS);
    #end
    #for t in B_LOADS
    let b_row#t = row_of_b(batch, first_column + (local + #tu * THREADS) / FOURS);
    #end
    let block_row = subgroup / SUBGROUPS_ACROSS * BLOCK_ROWS * SIDE;
    let block_column = subgroup % SUBGROUPS_ACROSS * BLOCK_COLUMNS * SIDE;
    #for i in BLOCK_ROWS
    #for j in BLOCK_COLUMNS
    var sum#i_#j = MATRIX<f32, C>();
    #end
    #end
    // The next tile is on its way while this one is multiplied.
    #for t in A_LOADS
    var next_a#t = load_a(a_row#t, 0u, four * 4u);
    #end
    #for t in B_LOADS
    var next_b#t = load_b(b_row#t, 0u, four * 4u);
    #end
    for (var k = 0u; k < DEPTH; k += TILE_DEPTH) {
        #for t in A_LOADS
        a_tile[(local + #tu * THREADS) / FOURS * TILE_STRIDE + four] = next_a#t;
        #end
        #for t in B_LOADS
        b_tile[(local + #tu * THREADS) / FOURS * TILE_STRIDE + four] = next_b#t;
        #end
        workgroupBarrier();
        #for t in A_LOADS
        next_a#t = load_a(a_row#t, k + TILE_DEPTH, four * 4u);
        #end
        #for t in B_LOADS
        next_b#t = load_b(b_row#t, k + TILE_DEPTH, four * 4u);
        #end
        #for q in DEPTH_BLOCKS
        {
            #for i in BLOCK_ROWS
            let a#i = coopLoadT<MATRIX<f16, A>>(&a_tile[(block_row + #iu * SIDE) * TILE_STRIDE + #qu * SIDE / 4u], TILE_STRIDE);
            #end
            #for j in BLOCK_COLUMNS
            let b#j = coopLoad<MATRIX<f16, B>>(&b_tile[(block_column + #ju * SIDE) * TILE_STRIDE + #qu * SIDE / 4u], TILE_STRIDE);
            #end
            #for i in BLOCK_ROWS
            #for j in BLOCK_COLUMNS
            sum#i_#j = coopMultiplyAdd(a#i, b#j, sum#i_#j);
            #end
            #end
        }
        #end
        workgroupBarrier();
    }
    #for i in BLOCK_ROWS
    #for j in BLOCK_COLUMNS
    coopStoreT(sum#i_#j, &block[subgroup * SIDE * SIDE], SIDE);
    workgroupBarrier();
    for (var n = lane; n < SIDE * SIDE; n += SUBGROUP_SIZE) {
        let row = first_row + block_row + #iu * SIDE + n / SIDE;
        let column = first_column + block_column + #ju * SIDE + n % SIDE;
        if row < size.rows && column < COLUMNS {
            let place = batch * OUT_BATCH + row * OUT_ROW + column;
            out[place] = T(finish(place, block[subgroup * SIDE * SIDE + n]));
        }
    }
    workgroupBarrier();
    #end
    #end
}
