// How the blocks that share a tile of the output, each with a part of K, add up their sums within one launch. Each writes what it has;
// the last of them reads all parts in their order, its own too: the same bits whichever is the last.
// Not here: the product (tensor_linear.cu).
#pragma once

#include "last_block.cuh"
#include "tensor_linear.cuh"

/// Whether this block ends its tile: the only one does, or the last. Its sums are then those of all of K. A thread's sums lie THREADS apart, so that a
/// warp writes and reads 512 bytes at once. `word` is 4 bytes of shared memory.
template <typename TILE>
__device__ __forceinline__ bool add_splits(
    const TensorLinear& op, float (&sums)[TILE::WM / 16][TILE::WN / 8][4], unsigned* word) {
    enum : unsigned { FOURS = TILE::BM * TILE::BN / 4, ACROSS = TILE::WN / 8, OWN = TILE::WM / 16 * ACROSS, AHEAD = OWN < 8 ? OWN : 8 };
    static_assert(OWN * TILE::THREADS == FOURS && OWN % AHEAD == 0, "every sum is a thread's");
    if (op.splits == 1) return true;
    const size_t first_part = size_t{blockIdx.x} * op.splits;
    float4* const own = op.partials + (first_part + blockIdx.y) * FOURS + threadIdx.x;
    for (unsigned i = 0; i < TILE::WM / 16; i++) {
        for (unsigned j = 0; j < ACROSS; j++) {
            const float(&four)[4] = sums[i][j];
            own[(i * ACROSS + j) * TILE::THREADS] = make_float4(four[0], four[1], four[2], four[3]);
        }
    }
    if (!is_last_block(op.tickets + blockIdx.x, op.splits, word)) return false;
    for (auto& row : sums) {
        for (float(&four)[4] : row) four[0] = four[1] = four[2] = four[3] = 0;
    }
    const float4* from = op.partials + first_part * FOURS + threadIdx.x;
    // At least 8 loads are under way at once, or 16 of a small tile.
#pragma unroll(OWN < 8 ? 4 : 1)
    for (unsigned split = 0; split < op.splits; split++, from += FOURS) {
#pragma unroll
        for (unsigned first = 0; first < OWN; first += AHEAD) {
            float4 next[AHEAD];
            for (unsigned k = 0; k < AHEAD; k++) next[k] = from[(first + k) * TILE::THREADS];
            for (unsigned k = 0; k < AHEAD; k++) {
                float(&four)[4] = sums[(first + k) / ACROSS][(first + k) % ACROSS];
                four[0] += next[k].x;
                four[1] += next[k].y;
                four[2] += next[k].z;
                four[3] += next[k].w;
            }
        }
    }
    return true;
}
