// Linear by tensor cores: output = act(A * weight^T + bias) * scale + residual, where the rows of A are those of the input, or gathered from
// it (patches, patch merging), as they are or normed. Sums are f32.
//
// Shapes     A [rows, inputs], weight [outputs, inputs] in f16 or bf16; bias, scale [outputs] in f32; output and residual [rows, outputs] in
//            the same 16 bits or in f32. inputs, and the channels of a pixel, a multiple of 8 (16 bytes); rows and outputs any. All arrays
//            aligned to 16 bytes. The residual may be the output.
// Launch     grid (row tiles * column tiles, splits): column tiles of one row tile are neighbours, so that A comes from memory once and the
//            weight stays in L2. Where K is split, each split writes its sums to partials, and tensor_linear_finish adds them in their order:
//            no atomics, one result.
// Tile       BM x BN sums in registers of WARPS_M x WARPS_N warps; K in tiles of 32 through a ring of `stages` slots. sm_80 and later fill it by
//            cp.async, stages - 1 tiles ahead; Turing, and rows that are normed, through registers, one tile ahead. One barrier a tile.
//                    128x128, 4 warps of 64x64    A100, H100: fewest reads of shared memory a product
//                    128x128, 8 warps of 64x32    T4, A10, L4: two blocks an SM in 128 registers
//                    128x96,  6 warps of 64x32    outputs that are a multiple of 96 and not of 128: ConvNeXt-T and Swin-T
//                    64x64, 32x64, 16x64          few rows
//            Every tile adds up K in the same order: which one is used changes no bit of a result, only splits do.
// Shared     stages * (BM + BN) * 64 bytes, chunks of 16 bytes by `chunk_place`: ldmatrix and cp.async are free of conflicts. After the product the
//            same memory takes 2304 bytes a warp: 16 rows of 32 sums, by which a thread gets eight neighbouring columns (`sum_place`).
//            NORMED has mean and 1 / sigma of each row behind the slots, 8 bytes a norm.
// Bytes      2 * (rows * inputs + outputs * inputs + rows * outputs), and as many again for a residual.
// FLOPs      2 * rows * outputs * inputs.
#include "tensor_rows.cuh"

/// Sums of a block, and the warps that have them.
template <unsigned M, unsigned N, unsigned ACROSS_M, unsigned ACROSS_N>
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
    };
    static_assert(WM % 16 == 0 && WN % 32 == 0, "a warp has whole fragments, and writes 32 columns at a time");
};

/// Sums pass through shared memory 16 rows and 32 columns at a time, in rows of 36 words. Four columns are a quad; quad q of eight columns c
/// lies at c + 4 q: the pairs of a fragment and the quads of a row are free of conflicts.
enum : unsigned { SUM_COLUMNS = 32, SUM_PITCH = 36, SUM_WORDS = 16 * SUM_PITCH };

__device__ __forceinline__ unsigned sum_place(unsigned row, unsigned column) {
    return row * SUM_PITCH + (column / 8 + column / 4 % 2 * 4) * 4 + column % 4;
}

/// Waits for the oldest of the copies that are under way.
__device__ __forceinline__ void wait_for_tile(unsigned stages) {
    if (stages == 3) {
        wait_copies<1>();
    } else if (stages == 4) {
        wait_copies<2>();
    } else if (stages == 5) {
        wait_copies<3>();
    } else {
        wait_copies<0>();
    }
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
#pragma unroll
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

/// What becomes of 16 rows and 32 columns of sums that no thread can write eight at a time, or that are parts.
template <typename T>
__device__ __forceinline__ void write_any(const TensorLinear& op, const float* own, unsigned top, unsigned left) {
#pragma unroll 1
    for (unsigned row = 0; row < 16; row++) {
        const unsigned column = threadIdx.x % WARP;
        if (top + row >= op.rows || left + column >= op.outputs) break;
        const float sum = own[sum_place(row, column)];
        if (op.partials != nullptr) {
            op.partials[(size_t{blockIdx.y} * op.rows + top + row) * op.outputs + left + column] = sum;
        } else {
            finish_number<T>(op, top + row, left + column, sum);
        }
    }
}

/// What becomes of a warp's sums.
template <typename T, typename TILE>
__device__ __forceinline__ void write_sums(
    const TensorLinear& op, const float (&sums)[TILE::WM / 16][TILE::WN / 8][4], float* own, unsigned top, unsigned left) {
    const unsigned lane = threadIdx.x % WARP;
    const bool eight = by_eight(op) && op.partials == nullptr;
    // Rows r and r + 4 beside each other: their quads share no bank.
    const unsigned own_row = lane / 4 % 2 * 4 + lane / 8;
#pragma unroll
    for (unsigned part = 0; part < TILE::WN / SUM_COLUMNS; part++) {
        const unsigned column = left + part * SUM_COLUMNS + lane % 4 * 8;
        const Columns<T> columns = eight ? Columns<T>(op, column) : Columns<T>();
        // All loads before the first store.
        Packed<T, 8> residual[TILE::WM / 8] = {};
        if (eight && op.residual != nullptr && column < op.outputs) {
            for (unsigned i = 0; i < TILE::WM / 8; i++) {
                const unsigned row = top + i * 8 + own_row;
                if (row < op.rows) residual[i] = columns.residual(op, size_t{row} * op.outputs + column);
            }
        }
#pragma unroll
        for (unsigned i = 0; i < TILE::WM / 16; i++) {
            __syncwarp();
            for (unsigned j = 0; j < SUM_COLUMNS / 8; j++) {
                const float(&four)[4] = sums[i][part * (SUM_COLUMNS / 8) + j];
                float* const to = own + sum_place(lane / 4, j * 8 + lane % 4 * 2);
                *reinterpret_cast<float2*>(to) = make_float2(four[0], four[1]);
                *reinterpret_cast<float2*>(to + 8 * SUM_PITCH) = make_float2(four[2], four[3]);
            }
            __syncwarp();
            if (!eight) {
                write_any<T>(op, own, top + i * 16, left + part * SUM_COLUMNS);
                continue;
            }
            for (unsigned half = 0; half < 2; half++) {
                const unsigned row = top + i * 16 + half * 8 + own_row;
                const float* const from = own + sum_place(half * 8 + own_row, lane % 4 * 8);
                const float4 low = *reinterpret_cast<const float4*>(from);
                const float4 high = *reinterpret_cast<const float4*>(from + 16);
                if (row >= op.rows || column >= op.outputs) continue;
                float values[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
                columns.finish(op, size_t{row} * op.outputs + column, values, residual[i * 2 + half]);
            }
        }
    }
}

template <typename T, typename TILE>
__device__ __forceinline__ void product(const TensorLinear& op) {
    extern __shared__ __align__(128) unsigned char shared[];
    const unsigned slots = shared_address(shared);
    const unsigned columns = (op.outputs + TILE::BN - 1) / TILE::BN;
    const unsigned top = blockIdx.x / columns * TILE::BM;
    const unsigned left = blockIdx.x % columns * TILE::BN;
    const unsigned first = blockIdx.y * op.tiles_per_split;
    const unsigned end = min(first + op.tiles_per_split, (op.inputs + TILE_K - 1) / TILE_K);

    PlainRows<TILE::BM, TILE::THREADS> a(op.input, op.inputs, top, op.rows);
    PlainRows<TILE::BN, TILE::THREADS> b(op.weight, op.inputs, left, op.outputs);
    const unsigned ahead = op.stages - 1;
    for (unsigned stage = 0; stage < ahead; stage++) {
        const unsigned slot = slots + stage * TILE::SLOT;
        if (first + stage < end) {
            begin_tile(a, slot, first + stage);
            begin_tile(b, slot + TILE::A_BYTES, first + stage);
            end_tile(a, slot);
            end_tile(b, slot + TILE::A_BYTES);
        }
        commit_copies();
    }

    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const unsigned warp_row = warp % TILE::WARPS_M * TILE::WM, warp_column = warp / TILE::WARPS_M * TILE::WN;
    // Matrices of a fragment: A's rows 0-7 and 8-15 of the first eight products, then of the next; B's columns 0-7 of both, then 8-15.
    const unsigned a_rows = chunk_place(warp_row + lane % 16, lane / 16);
    const unsigned b_rows = TILE::A_BYTES + chunk_place(warp_column + lane % 8 + lane / 16 * 8, lane / 8 % 2);
    float sums[TILE::WM / 16][TILE::WN / 8][4] = {};
    unsigned read = slots, write = slots + ahead * TILE::SLOT;
    const unsigned past = slots + op.stages * TILE::SLOT;
#pragma unroll 1
    for (unsigned tile = first; tile < end; tile++) {
        wait_for_tile(op.stages);
        // All have the tile, and none reads the one before it any longer.
        __syncthreads();
        const bool more = tile + ahead < end;
        if (more) {
            begin_tile(a, write, tile + ahead);
            begin_tile(b, write + TILE::A_BYTES, tile + ahead);
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
    float* const own = reinterpret_cast<float*>(shared) + warp * SUM_WORDS;
    write_sums<T, TILE>(op, sums, own, top + warp_row, left + warp_column);
}

#define KERNEL(NAME, T, TILE, BLOCKS) \
    extern "C" __global__ void __launch_bounds__(TILE::THREADS, BLOCKS) NAME(const TensorLinear op) { product<T, TILE>(op); }
using Large = Tile<128, 128, 2, 2>;
KERNEL(tensor_linear_128x128x4_f16, __half, Large, 2)
