// What the fast kernels of depthwise.cu share: how a tile comes into shared memory, and how a thread goes through its rows. Not here: what becomes
// of a row's sums.
#pragma once

#include "common.cuh"

struct Depthwise {
    const void* input;
    void* output;
    const float* weight;
    const float* bias;
    const float* scale;
    const float* shift;
    // f32 sums [images, height, width, channels] of the plain kernel for its norm; null without one
    float* sums;
    // a counter for the blocks that share positions, of which the last norms them; null where a block has all channels, or there is no norm
    unsigned* tickets;
    unsigned images;
    unsigned kernel;
    unsigned height;
    unsigned width;
    unsigned channels;
    // tiles of all images: images * down * across
    unsigned tiles;
    unsigned down;
    unsigned across;
    // pairs of channels of a block, and how many blocks share a tile; of the plain kernel, how many share a line
    unsigned pairs;
    unsigned chunks;
    // vectors from a tile's plane to the next, to the next but one, from a row to the next
    unsigned plane;
    unsigned two_planes;
    unsigned row;
    // words of a column of the map, and of a row, where a word is two channels
    unsigned column_words;
    unsigned row_words;
    float eps;
};

enum : unsigned { KERNEL = 7, HALO = KERNEL / 2, TAPS = KERNEL * KERNEL, COLUMNS = 2, READ = COLUMNS + KERNEL - 1 };
/// Channels and bytes of a vector.
enum : unsigned { VECTOR = 8, VECTOR_BYTES = 16 };
/// Input rows that are copied together, and waited for together.
enum : unsigned { GROUP = 4 };

/// What a block knows of its tile.
struct Tile {
    size_t image;
    // the first row and column of its outputs
    unsigned top;
    unsigned left;

    /// Whether a row of those that are read, three above `top` the first, is a row of the map.
    __device__ bool has(unsigned row, unsigned height) const { return row < HALO ? top + row >= HALO : row - HALO < height - top; }
};

__device__ inline Tile tile_of(const Depthwise& op, unsigned tile, unsigned rows, unsigned columns) {
    const unsigned across = tile % op.across;
    const unsigned down = tile / op.across % op.down;
    return {tile / op.across / op.down, down * rows, across * columns};
}

/// Where vector `part` of a column lies in a row of the tile.
__device__ inline unsigned vector_at(const Depthwise& op, unsigned part, unsigned column) {
    return part % 2 * op.plane + part / 2 * op.two_planes + column;
}

/// The address of shared memory, as instructions take it.
__device__ inline unsigned shared_address(const void* at) { return static_cast<unsigned>(__cvta_generic_to_shared(at)); }

/// The thread's number, from which the compiler does not know what it computed before: the fused kernel has no registers to keep that from
/// tile to tile.
__device__ inline unsigned again_thread() {
    unsigned thread = threadIdx.x;
    asm volatile("" : "+r"(thread));
    return thread;
}

/// A vector of each row that a thread copies.
struct Slot {
    // where to in shared memory, and where from
    unsigned to;
    const void* from;
    // bytes of the map from a row to the next; 0 where zeros are copied
    unsigned step;
    bool mine;
    bool inside;

    /// `all`: whether the block has all channels.
    __device__ Slot(const Depthwise& op, const Tile& at, const uint4* tile, unsigned slot, unsigned first_part, unsigned parts,
                    unsigned columns, bool all) {
        // Eight lanes that write together meet no bank twice: they write to columns two apart, or, where a column's parts begin in the middle of
        // them, four apart.
        const unsigned part = slot % parts;
        const unsigned turn = slot / parts;
        const unsigned column = turn / 8 * 8 + (all ? turn % 2 * 4 + turn / 2 % 4 : turn % 4 * 2 + turn / 4 % 2);
        const unsigned x = at.left + column - HALO;
        mine = column < columns;
        inside = x < op.width && (first_part + part) * VECTOR < op.channels;
        to = shared_address(tile + vector_at(op, part, column));
        const size_t row = at.image * op.height + at.top;
        const size_t words = (row * op.width + x) * op.column_words + (first_part + part) * (VECTOR / 2);
        // the first row may lie above the map, and is not read then
        from = static_cast<const char*>(op.input) + (inside ? words * 4 - size_t{HALO} * op.row_words * 4 : 0);
        step = inside ? op.row_words * 4 : 0;
    }

    /// On to the next row.
    __device__ void next(const Depthwise& op) {
        to += op.row * VECTOR_BYTES;
        from = static_cast<const char*>(from) + step;
        // One addition a row: the compiler would compute all of them before the first.
        asm volatile("" : "+r"(to), "+l"(from));
    }
};

/// Starts copying `GROUP` rows of the tile from row R on, then the groups after them.
template <unsigned ROWS, unsigned R, unsigned SLOTS>
__device__ __forceinline__ void copy_rows(const Depthwise& op, const Tile& at, Slot (&slots)[SLOTS]) {
    if constexpr (R < ROWS + KERNEL - 1) {
        constexpr unsigned HERE = ROWS + KERNEL - 1 - R < GROUP ? ROWS + KERNEL - 1 - R : GROUP;
        for (Slot& slot : slots) {
#if __CUDA_ARCH__ >= 800
            for (unsigned i = 0; i < HERE; i++) {
                const unsigned bytes = slot.inside ? VECTOR_BYTES : 0;
                if (slot.mine && at.has(R + i, op.height)) {
                    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(slot.to), "l"(slot.from), "r"(bytes) : "memory");
                }
                slot.next(op);
            }
#else
            // All loads before the first store, and no branch between them: where nothing is to be read, the map's first vector is.
            uint4 held[HERE];
            unsigned to[HERE];
            for (unsigned i = 0; i < HERE; i++) {
                const bool there = slot.inside && at.has(R + i, op.height);
                held[i] = __ldg(static_cast<const uint4*>(there ? slot.from : op.input));
                if (!there) held[i] = make_uint4(0, 0, 0, 0);
                to[i] = slot.to;
                slot.next(op);
            }
            for (unsigned i = 0; i < HERE; i++) {
                const uint4 v = held[i];
                if (slot.mine) asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to[i]), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
            }
#endif
        }
#if __CUDA_ARCH__ >= 800
        asm volatile("cp.async.commit_group;" ::: "memory");
#endif
        copy_rows<ROWS, R + GROUP>(op, at, slots);
    }
}

/// Starts copying the tile's rows. A thread copies up to `SLOTS` vectors of each.
template <unsigned ROWS, unsigned SLOTS>
__device__ void fill(const Depthwise& op, const Tile& at, const uint4* tile, unsigned first_part, unsigned parts, unsigned columns) {
    const unsigned thread = SLOTS == 1 ? threadIdx.x : again_thread();
    const Slot first(op, at, tile, thread, first_part, parts, columns, SLOTS > 1);
    if constexpr (SLOTS == 1) {
        Slot slots[] = {first};
        copy_rows<ROWS, 0>(op, at, slots);
    } else {
        Slot slots[] = {first, Slot(op, at, tile, thread + blockDim.x, first_part, parts, columns, true)};
        copy_rows<ROWS, 0>(op, at, slots);
    }
}

/// Waits until all have copied all groups but the last `LATER`. Without cp.async the first time is enough.
template <unsigned LATER>
__device__ void wait(bool first) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(LATER) : "memory");
    __syncthreads();
#else
    if (first) __syncthreads();
#endif
}

/// Takes input row R of the strip, then hands the output row that is complete with it to `done`. `from`: where the thread's first column
/// of the row is in shared memory; `active`: whether its outputs are the map's.
template <typename T, unsigned ROWS, unsigned R, typename Done>
__device__ __forceinline__ void take_rows(const Depthwise& op, const Tile& at, unsigned from, bool active,
                                          const float (&weights)[TAPS][2], const float (&bias)[2],
                                          float (&sums)[KERNEL][COLUMNS][2], Done& done) {
    if constexpr (R < ROWS + KERNEL - 1) {
        constexpr unsigned GROUPS = (ROWS + KERNEL - 1 + GROUP - 1) / GROUP;
        if constexpr (R % GROUP == 0) wait<GROUPS - 1 - R / GROUP>(R == 0);
        if (at.has(R, op.height) && active) {
#pragma unroll
            for (unsigned x = 0; x < READ; x++) {
                unsigned word;
                asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(from + x * VECTOR_BYTES) : "memory");
                float values[2];
                Stored<T>::unpack(word, values);
#pragma unroll
                for (unsigned ky = 0; ky < KERNEL; ky++) {
                    if (R < ky || R - ky >= ROWS) continue;
#pragma unroll
                    for (unsigned column = 0; column < COLUMNS; column++) {
                        if (x < column || x - column >= KERNEL) continue;
                        const float(&weight)[2] = weights[ky * KERNEL + x - column];
                        float(&sum)[2] = sums[(R - ky) % KERNEL][column];
                        const bool first = ky == 0 && x == column;
                        for (unsigned i = 0; i < 2; i++) sum[i] = fmaf(values[i], weight[i], first ? bias[i] : sum[i]);
                    }
                }
            }
        } else if constexpr (R < ROWS && R < HALO) {
            // a row below the map is the first of no output
            for (unsigned column = 0; column < COLUMNS; column++) {
                for (unsigned i = 0; i < 2; i++) sums[R % KERNEL][column][i] = bias[i];
            }
        }
        if constexpr (R >= KERNEL - 1) {
            if (at.has(R - HALO, op.height) && active) done(op, sums[(R - (KERNEL - 1)) % KERNEL]);
        }
        from += op.row * VECTOR_BYTES;
        asm volatile("" : "+r"(from));
        take_rows<T, ROWS, R + 1>(op, at, from, active, weights, bias, sums, done);
    }
}

/// The weights and the bias of two channels.
__device__ inline void load_weights(const Depthwise& op, unsigned channel, float (&weights)[TAPS][2], float (&bias)[2]) {
    const auto pair = [&](const float* from, float* to) {
        const float2 both = __ldg(reinterpret_cast<const float2*>(from + channel));
        to[0] = both.x;
        to[1] = both.y;
    };
    pair(op.bias, bias);
#pragma unroll
    for (unsigned tap = 0; tap < TAPS; tap++) pair(op.weight + size_t{tap} * op.channels, weights[tap]);
}
