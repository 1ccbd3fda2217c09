// Where the rows of a product come from, and how a tile of them gets into shared memory: 32 values of each row, 16 bytes (a chunk) at a time.
// Every thread of the block has the same chunk of every so many rows. Rows beyond the last are the last one again: they are never written.
// Not here: the product (tensor_linear.cu).
#pragma once

#include "tensor_linear.cuh"

/// What is the same for every source: which chunks are a thread's.
template <unsigned ROWS, unsigned THREADS>
struct Chunks {
    enum : unsigned {
        COUNT = (ROWS * ROW_CHUNKS + THREADS - 1) / THREADS,
        STEP = THREADS / ROW_CHUNKS,
        EVEN = ROWS * ROW_CHUNKS % THREADS == 0,
        BYTES = ROWS * ROW_BYTES,
    };
    static_assert(STEP % 8 == 0, "all chunks of a thread have one place in their rows");

    static __device__ __forceinline__ unsigned row(unsigned i) { return threadIdx.x / ROW_CHUNKS + i * STEP; }
    static __device__ __forceinline__ unsigned chunk() { return threadIdx.x % ROW_CHUNKS; }
    /// The place of chunk `i` in a tile.
    static __device__ __forceinline__ unsigned place(unsigned i) {
        return chunk_place(threadIdx.x / ROW_CHUNKS, chunk()) + i * STEP * ROW_BYTES;
    }
    /// Whether there is a chunk `i`; only the last may be missing.
    static __device__ __forceinline__ bool has(unsigned i) { return EVEN || row(i) < ROWS; }
};

/// 16 bytes to shared memory.
__device__ __forceinline__ void put_chunk(unsigned to, const uint4& chunk) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(chunk.x), "r"(chunk.y), "r"(chunk.z), "r"(chunk.w)
                 : "memory");
}

/// Rows of a matrix as they are: of A, and of the weight.
template <unsigned ROWS, unsigned THREADS>
struct PlainRows {
    using Own = Chunks<ROWS, THREADS>;
    enum : bool { ASYNC = HAS_ASYNC };
    const char* from[Own::COUNT];
    unsigned inputs;
    uint4 held[Own::COUNT];

    __device__ __forceinline__ PlainRows(const void* matrix, unsigned inputs, unsigned top, unsigned rows) : inputs(inputs) {
        for (unsigned i = 0; i < Own::COUNT; i++) {
            const size_t row = min(top + Own::row(i), rows - 1);
            from[i] = static_cast<const char*>(matrix) + (row * inputs + Own::chunk() * CHUNK_VALUES) * 2;
        }
    }
    __device__ __forceinline__ bool there(unsigned tile) const { return tile * TILE_K + Own::chunk() * CHUNK_VALUES < inputs; }

    /// Begins to copy a tile.
    __device__ __forceinline__ void copy(unsigned slot, unsigned tile) const {
        for (unsigned i = 0; i < Own::COUNT; i++) {
            if (Own::has(i)) copy_async(slot + Own::place(i), from[i] + size_t{tile} * ROW_BYTES, there(tile));
        }
    }
    /// Begins to load a tile into registers.
    __device__ __forceinline__ void hold(unsigned tile) {
        for (unsigned i = 0; i < Own::COUNT; i++) {
            held[i] = make_uint4(0, 0, 0, 0);
            if (Own::has(i) && there(tile)) held[i] = __ldg(reinterpret_cast<const uint4*>(from[i] + size_t{tile} * ROW_BYTES));
        }
    }
    /// Writes what was loaded.
    __device__ __forceinline__ void put(unsigned slot) const {
        for (unsigned i = 0; i < Own::COUNT; i++) {
            if (Own::has(i)) put_chunk(slot + Own::place(i), held[i]);
        }
    }
};
