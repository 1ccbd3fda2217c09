// Linear by tensor cores: output = act(A * weight^T + bias) * scale + residual, where the rows of A are those of the input,
// or gathered from it (patches, patch merging), as they are or normed, with scale and shift. Sums are f32.
//
// Shapes     A [rows, inputs], weight [outputs, inputs] in f16 or bf16; bias, scale [outputs] in f32; output and residual
//            [rows, outputs] in the same 16 bits or in f32. inputs, and the channels of a pixel, a multiple of 8 (16 bytes);
//            rows and outputs any. All arrays aligned to 16 bytes. The residual may be the output.
// Launch     grid (row tiles * column tiles, splits): column tiles of one row tile are neighbours, so that A comes from
//            memory once and the weight stays in L2. Where K is split, each split writes its sums to partials, and the last
//            block of a tile adds them in their order: one launch, one result. Each block measures the norms of its own rows,
//            of patches only of the pixels in its part of K.
// Tile       BM x BN sums in registers of WARPS_M x WARPS_N warps; K in tiles of 32 through a ring of slots. sm_80 and later
//            fill it by cp.async, two to four tiles ahead; Turing, and rows that are normed, through registers, one tile
//            ahead. One barrier a tile.
//                128x256, 8 warps of 64x64    A100, H100: fewest reads of L2 a product, but one block an SM
//                128x128, 4 warps of 64x64    A100, H100: two blocks an SM
//                128x128, 8 warps of 64x32    T4, A10, L4: two blocks an SM in 128 registers
//                128x96,  6 warps of 64x32    outputs that are 96 times something: ConvNeXt-T and Swin-T
//                64x64, 32x64, 16x64          few rows
//            Every tile adds up K in the same order: which one is taken changes no bit of a result, only splits do.
// Shared     (BM + BN) * 64 bytes a slot, chunks of 16 bytes by `chunk_place`: ldmatrix and cp.async are free of conflicts.
//            After the product the same memory takes 2304 bytes a warp: 16 rows of 32 sums (a slab), by which a thread gets
//            eight neighbouring columns (`sum_place`). NORMED has 8 bytes for each norm behind the slots, then scale and shift
//            of the block's K, or of a pixel, in f32: lanes read those of their chunk, four chunks a warp, free of conflicts.
// Bytes      2 * (rows * inputs + outputs * inputs + rows * outputs), and 2 * rows * outputs again for a residual; rows
//            that are normed are read once more by each column tile. Each split writes and reads 4 * BM * BN a tile.
// FLOPs      2 * rows * outputs * inputs.
// Slots      128x128 of 4 warps, a tile of K and warp: 64 HMMA, 16 LDSM, 8 LDGSTS and about 40 others. The end, a number:
//            9.5 for bias, GELU and packing, about 15 with the way through shared memory and addresses.
#include "tensor_rows.cuh"
#include "tensor_splits.cuh"

/// Sums of a block, and the warps that have them.
template <unsigned M, unsigned N, unsigned ACROSS_M, unsigned ACROSS_N, unsigned AHEAD>
struct Tile {
    enum : unsigned {
        BM = M,
        BN = N,
        WARPS_M = ACROSS_M,
        WARPS_N = ACROSS_N,
        THREADS = WARPS_M * WARPS_N * WARP,
        WM = BM / WARPS_M,
        WN = BN / WARPS_N,
        A_BYTES = BM * ROW_BYTES,
        SLOT = (BM + BN) * ROW_BYTES,
        STAGES = AHEAD + 1,
    };
    static_assert(WM % 16 == 0 && WN % 32 == 0, "a warp has whole fragments, and writes 32 columns at a time");
};

/// Sums pass through shared memory 16 rows and 32 columns at a time, in rows of 36 words. Four columns are a quad; quad q of
/// eight columns c lies at c + 4 q: the pairs of a fragment and the quads of a row are free of conflicts.
enum : unsigned { SUM_COLUMNS = 32, SUM_PITCH = 36, SUM_WORDS = 16 * SUM_PITCH };

__device__ __forceinline__ unsigned sum_place(unsigned row, unsigned column) {
    return row * SUM_PITCH + (column / 8 + column / 4 % 2 * 4) * 4 + column % 4;
}

/// Begins to bring a tile of rows into a slot: all the way, or into registers.
template <typename ROWS>
__device__ __forceinline__ void begin_tile(ROWS& rows, unsigned slot, unsigned tile) {
    if constexpr (ROWS::ASYNC) {
        rows.copy(slot, tile);
    } else {
        rows.hold(tile);
    }
}

/// Brings it from registers into the slot.
template <typename ROWS>
__device__ __forceinline__ void end_tile(ROWS& rows, unsigned slot) {
    if constexpr (!ROWS::ASYNC) rows.put(slot);
}

/// Adds the products of a tile of K.
template <typename T, typename TILE>
__device__ __forceinline__ void multiply(float (&sums)[TILE::WM / 16][TILE::WN / 8][4], unsigned a_rows, unsigned b_rows) {
#if __CUDA_ARCH__ >= 800
#pragma unroll
#else
#pragma unroll 1  // 128 registers have room for the fragments of one step
#endif
    for (unsigned step = 0; step < 2; step++) {
        // Chunk 2 lies beside chunk 0, and 3 beside 1, at a distance of 32 bytes either way.
        const unsigned turn = step * 32;
        unsigned a[TILE::WM / 16][4], b[TILE::WN / 16][4];
        for (unsigned i = 0; i < TILE::WM / 16; i++) load_matrices(a[i], (a_rows ^ turn) + i * 16 * ROW_BYTES);
        for (unsigned j = 0; j < TILE::WN / 16; j++) load_matrices(b[j], (b_rows ^ turn) + j * 16 * ROW_BYTES);
        for (unsigned i = 0; i < TILE::WM / 16; i++) {
            for (unsigned j = 0; j < TILE::WN / 8; j++) multiply_add<T>(sums[i][j], a[i], b[j / 2] + j % 2 * 2);
        }
    }
}

/// What becomes of 16 rows and 32 columns of sums that no thread can write eight at a time.
template <typename T>
__device__ __forceinline__ void write_any(const TensorLinear& op, const float* own, unsigned top, unsigned left) {
#pragma unroll 1
    for (unsigned row = 0; row < 16; row++) {
        const unsigned column = threadIdx.x % WARP;
        if (top + row >= op.rows || left + column >= op.outputs) break;
        finish_number<T>(op, top + row, left + column, own[sum_place(row, column)]);
    }
}

/// Writes the fragments of a slab of a warp's sums: 16 rows and 32 columns.
template <typename TILE, unsigned SLAB>
__device__ __forceinline__ void write_pairs(const float (&sums)[TILE::WM / 16][TILE::WN / 8][4], float* pairs) {
    enum : unsigned { SLABS = TILE::WM / 16, PARTS = TILE::WN / SUM_COLUMNS, FRAGMENTS = SUM_COLUMNS / 8 };
    static_assert(SLABS * PARTS <= 8, "write_sums has a case for each slab");
    if constexpr (SLAB < SLABS * PARTS) {
#pragma unroll
        for (unsigned j = 0; j < FRAGMENTS; j++) {
            const float(&four)[4] = sums[SLAB % SLABS][SLAB / SLABS * FRAGMENTS + j];
            *reinterpret_cast<float2*>(pairs + j * 4) = make_float2(four[0], four[1]);
            *reinterpret_cast<float2*>(pairs + j * 4 + 8 * SUM_PITCH) = make_float2(four[2], four[3]);
        }
    }
}

/// What becomes of a warp's sums, slab after slab, in a loop: code that is long is fetched slowly.
template <typename T, typename TILE>
__device__ __forceinline__ void write_sums(
    const TensorLinear& op, const float (&sums)[TILE::WM / 16][TILE::WN / 8][4], float* own, unsigned top, unsigned left) {
    enum : unsigned { SLABS = TILE::WM / 16 };
    const unsigned lane = threadIdx.x % WARP;
    const bool eight = by_eight(op);
    float* const pairs = own + sum_place(lane / 4, lane % 4 * 2);
    // Rows r and r + 4 beside each other: their quads share no bank.
    const unsigned own_row = lane / 4 % 2 * 4 + lane / 8;
    const float* const quads = own + sum_place(own_row, lane % 4 * 8);
#pragma unroll 1
    for (unsigned part = 0; part < TILE::WN / SUM_COLUMNS; part++) {
        const unsigned column = left + part * SUM_COLUMNS + lane % 4 * 8;
        const unsigned rows = eight && column < op.outputs ? op.rows : 0;
        const size_t first = size_t{top + own_row} * op.outputs + column;
        Columns<T> columns;
        // Any beyond the last: what is added to sums that nobody writes should be numbers.
        if (eight) columns = Columns<T>(op, min(column, op.outputs - 8));
        // What is added is loaded a slab ahead.
        Packed<T, 8> next[2];
        for (unsigned half = 0; half < 2; half++) {
            next[half] = columns.residual(op, first + half * 8 * size_t{op.outputs}, top + half * 8 + own_row < rows);
        }
#pragma unroll 1
        for (unsigned slab = 0; slab < SLABS; slab++) {
            __syncwarp();
            // Registers have no index: a case for each slab.
            switch (part * SLABS + slab) {
                case 0: write_pairs<TILE, 0>(sums, pairs); break;
                case 1: write_pairs<TILE, 1>(sums, pairs); break;
                case 2: write_pairs<TILE, 2>(sums, pairs); break;
                case 3: write_pairs<TILE, 3>(sums, pairs); break;
                case 4: write_pairs<TILE, 4>(sums, pairs); break;
                case 5: write_pairs<TILE, 5>(sums, pairs); break;
                case 6: write_pairs<TILE, 6>(sums, pairs); break;
                case 7: write_pairs<TILE, 7>(sums, pairs); break;
            }
            __syncwarp();
            if (!eight) {
                write_any<T>(op, own, top + slab * 16, left + part * SUM_COLUMNS);
                continue;
            }
            const size_t at = first + slab * 16 * size_t{op.outputs};
            for (unsigned half = 0; half < 2; half++) {
                const unsigned row = slab * 16 + half * 8;
                const size_t step = half * 8 * size_t{op.outputs};
                const Packed<T, 8> residual = next[half];
                const bool more = slab + 1 < SLABS && top + own_row + row + 16 < rows;
                next[half] = columns.residual(op, at + step + 16 * size_t{op.outputs}, more);
                const float4 low = *reinterpret_cast<const float4*>(quads + half * 8 * SUM_PITCH);
                const float4 high = *reinterpret_cast<const float4*>(quads + half * 8 * SUM_PITCH + 16);
                float values[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
                columns.finish(op, at + step, values, residual, top + own_row + row < rows);
            }
        }
    }
}

/// Where rows of A come from.
enum Source { PLAIN, GATHERED, NORMED };

/// Slots for tiles of K: what passes through registers is one tile ahead, whatever room there is; the weight of rows that are
/// normed two.
template <typename TILE, Source SOURCE>
struct Ring {
    enum : unsigned {
        STAGES = !HAS_ASYNC ? 2 : SOURCE == NORMED ? 3 : TILE::STAGES,
        AHEAD = STAGES - 1,
        BYTES = STAGES * TILE::SLOT,
    };
};

template <typename T, typename TILE, Source SOURCE>
__device__ __forceinline__ auto rows_of(const TensorLinear& op, unsigned char* shared, unsigned top, unsigned tile) {
    if constexpr (SOURCE == PLAIN) {
        return PlainRows<TILE::BM, TILE::THREADS>(op.input, op.inputs, top, op.rows);
    } else {
        float2* const norms = reinterpret_cast<float2*>(shared + Ring<TILE, SOURCE>::BYTES);
        Affine affine;
        if constexpr (SOURCE == NORMED) {
            affine = Affine(op, tile, reinterpret_cast<float*>(norms + TILE::BM * op.norms));
            measure_norms<T, TILE::BM, TILE::THREADS>(op, top, tile, norms);
            __syncthreads();
        }
        return GatheredRows<T, TILE::BM, TILE::THREADS, SOURCE == NORMED>(op, norms, affine, top, tile);
    }
}

template <typename T, typename TILE, Source SOURCE>
__device__ __forceinline__ void product(const TensorLinear& op) {
    extern __shared__ __align__(128) unsigned char shared[];
    const unsigned slots = shared_address(shared);
    const unsigned columns = (op.outputs + TILE::BN - 1) / TILE::BN;
    const unsigned top = blockIdx.x / columns * TILE::BM;
    const unsigned left = blockIdx.x % columns * TILE::BN;
    const unsigned first = blockIdx.y * op.tiles_per_split;
    const unsigned end = min(first + op.tiles_per_split, (op.inputs + TILE_K - 1) / TILE_K);
    enum : unsigned { AHEAD = Ring<TILE, SOURCE>::AHEAD };

    PlainRows<TILE::BN, TILE::THREADS> b(op.weight, op.inputs, left, op.outputs);
    // The weight is on its way while norms are measured.
    enum : bool { EARLY = HAS_ASYNC && SOURCE == NORMED };
    for (unsigned stage = 0; EARLY && stage < AHEAD && first + stage < end; stage++) {
        begin_tile(b, slots + stage * TILE::SLOT + TILE::A_BYTES, first + stage);
    }
    auto a = rows_of<T, TILE, SOURCE>(op, shared, top, first);
    for (unsigned stage = 0; stage < AHEAD; stage++) {
        const unsigned slot = slots + stage * TILE::SLOT;
        if (first + stage < end) {
            begin_tile(a, slot, first + stage);
            if (!EARLY) begin_tile(b, slot + TILE::A_BYTES, first + stage);
            end_tile(a, slot);
            end_tile(b, slot + TILE::A_BYTES);
        }
        commit_copies();
    }

    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const unsigned warp_row = warp % TILE::WARPS_M * TILE::WM, warp_column = warp / TILE::WARPS_M * TILE::WN;
    // Matrices of a fragment: A's rows 0-7 and 8-15 of the first eight products, then of the next; B's columns 0-7 of both,
    // then 8-15.
    const unsigned a_rows = chunk_place(warp_row + lane % 16, lane / 16);
    const unsigned b_rows = TILE::A_BYTES + chunk_place(warp_column + lane % 8 + lane / 16 * 8, lane / 8 % 2);
    float sums[TILE::WM / 16][TILE::WN / 8][4] = {};
    unsigned read = slots, write = slots + AHEAD * TILE::SLOT;
    const unsigned past = slots + Ring<TILE, SOURCE>::BYTES;
#pragma unroll 1
    for (unsigned tile = first; tile < end; tile++) {
        wait_copies<AHEAD - 1>();
        // All have the tile, and none reads the one before it any longer.
        __syncthreads();
        const bool more = tile + AHEAD < end;
        if (more) {
            begin_tile(a, write, tile + AHEAD);
            begin_tile(b, write + TILE::A_BYTES, tile + AHEAD);
        }
        commit_copies();
        multiply<T, TILE>(sums, read + a_rows, read + b_rows);
        if (more) {
            end_tile(a, write);
            end_tile(b, write + TILE::A_BYTES);
        }
        read += TILE::SLOT;
        write += TILE::SLOT;
        if (read == past) read = slots;
        if (write == past) write = slots;
    }
    __syncthreads();
    // Behind the sums that write_sums has there.
    static_assert(TILE::THREADS / WARP * SUM_WORDS * 4 < Ring<TILE, SOURCE>::BYTES, "there is a word left");
    unsigned* const word = reinterpret_cast<unsigned*>(shared + Ring<TILE, SOURCE>::BYTES) - 1;
    if (!add_splits<TILE>(op, sums, word)) return;
    float* const own = reinterpret_cast<float*>(shared) + warp * SUM_WORDS;
    write_sums<T, TILE>(op, sums, own, top + warp_row, left + warp_column);
}

#define KERNEL(NAME, T, TILE, SOURCE, BLOCKS) \
    extern "C" __global__ void __launch_bounds__(TILE::THREADS, BLOCKS) NAME(const TensorLinear op) { \
        product<T, TILE, SOURCE>(op); \
    }
#define OF_TYPE(NAME, TYPE, T, TILE, BLOCKS) KERNEL(tensor_linear_##NAME##_##TYPE, T, TILE, PLAIN, BLOCKS)
#define NORMED_OF_TYPE(NAME, TYPE, T, TILE, BLOCKS) KERNEL(tensor_linear_##NAME##_normed_##TYPE, T, TILE, NORMED, BLOCKS)
#if __CUDA_ARCH__ >= 800
#define EACH_TYPE(KERNEL, NAME, TILE, BLOCKS) \
    KERNEL(NAME, f16, __half, TILE, BLOCKS) KERNEL(NAME, bf16, __nv_bfloat16, TILE, BLOCKS)
#else
#define EACH_TYPE(KERNEL, NAME, TILE, BLOCKS) KERNEL(NAME, f16, __half, TILE, BLOCKS)
#endif
#define TYPES(NAME, TILE, BLOCKS) EACH_TYPE(OF_TYPE, NAME, TILE, BLOCKS) EACH_TYPE(NORMED_OF_TYPE, NAME, TILE, BLOCKS)
#define PLAIN_TYPES(NAME, TILE, BLOCKS) EACH_TYPE(OF_TYPE, NAME, TILE, BLOCKS)

using Widest = Tile<128, 256, 2, 4, 3>;
using Large = Tile<128, 128, 2, 2, 4>;
using LargeOfEight = Tile<128, 128, 2, 4, 2>;
using Three = Tile<128, 96, 2, 3, 2>;
using Square = Tile<64, 64, 2, 2, 3>;
using Low = Tile<32, 64, 2, 2, 4>;
using Lowest = Tile<16, 64, 1, 2, 4>;

#if __CUDA_ARCH__ >= 800
TYPES(128x256, Widest, 1)
TYPES(128x128x4, Large, 2)
#endif
TYPES(128x128x8, LargeOfEight, 2)
TYPES(128x96, Three, 2)
TYPES(64x64, Square, 4)
PLAIN_TYPES(32x64, Low, 4)
PLAIN_TYPES(16x64, Lowest, 4)
KERNEL(tensor_linear_gathered_f16, __half, Square, GATHERED, 4)
#if __CUDA_ARCH__ >= 800
KERNEL(tensor_linear_gathered_bf16, __nv_bfloat16, Square, GATHERED, 4)
#endif
