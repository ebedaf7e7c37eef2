// out[row, column] = finish(sum over k of a[row, k] * b[k, column]), in tiles that a workgroup shares.
// Both tiles lie along k, so that four products are one instruction; TILE_STRIDE keeps their rows in different banks.
var<workgroup> a_tile: array<vec4<f32>, TILE_ROWS * TILE_STRIDE>;
var<workgroup> b_tile: array<vec4<f32>, TILE_COLUMNS * TILE_STRIDE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let id = group_number(group);
    if id >= size.groups {
        return;
    }
    let row_tiles = (size.rows + TILE_ROWS - 1u) / TILE_ROWS;
    let batch = id / COLUMN_TILES / row_tiles;
    let first_row = id / COLUMN_TILES % row_tiles * TILE_ROWS;
    let first_column = id % COLUMN_TILES * TILE_COLUMNS;
    let four = local % FOURS;
    #for t in A_LOADS
    let a_row#t = row_of_a(batch, first_row + (local + #tu * THREADS) / FOURS);
    #end
    #for t in B_LOADS
    let b_row#t = row_of_b(batch, first_column + (local + #tu * THREADS) / FOURS);
    #end
    let thread_row = local / COLUMN_THREADS;
    let thread_column = local % COLUMN_THREADS;
    #for i in THREAD_ROWS
    #for j in THREAD_COLUMNS
    var sum#i_#j = 0.0;
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
        a_tile[(local + #tu * THREADS) / FOURS * TILE_STRIDE + four] = vec4<f32>(next_a#t);
        #end
        #for t in B_LOADS
        b_tile[(local + #tu * THREADS) / FOURS * TILE_STRIDE + four] = vec4<f32>(next_b#t);
        #end
        workgroupBarrier();
        #for t in A_LOADS
        next_a#t = load_a(a_row#t, k + TILE_DEPTH, four * 4u);
        #end
        #for t in B_LOADS
        next_b#t = load_b(b_row#t, k + TILE_DEPTH, four * 4u);
        #end
        for (var q = 0u; q < FOURS; q++) {
            #for i in THREAD_ROWS
            let a#i = a_tile[(thread_row + #iu * ROW_THREADS) * TILE_STRIDE + q];
            #end
            #for j in THREAD_COLUMNS
            let b#j = b_tile[(thread_column + #ju * COLUMN_THREADS) * TILE_STRIDE + q];
            #end
            #for i in THREAD_ROWS
            #for j in THREAD_COLUMNS
            sum#i_#j += dot(a#i, b#j);
            #end
            #end
        }
        workgroupBarrier();
    }
    #for i in THREAD_ROWS
    let row#i = first_row + thread_row + #iu * ROW_THREADS;
    if row#i < size.rows {
        #for j in THREAD_COLUMNS
        let column#j = first_column + thread_column + #ju * COLUMN_THREADS;
        if column#j < COLUMNS {
            let place = batch * OUT_BATCH + row#i * OUT_ROW + column#j;
            out[place] = T(finish(place, sum#i_#j));
        }
        #end
    }
    #end
}
