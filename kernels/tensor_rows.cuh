// Where the rows of a product come from, and how a tile of them gets into shared memory: 32 values of each row, 16 bytes
// (a chunk) at a time. Every thread of the block has the same chunk of every so many rows. Rows beyond the last are the last
// one again: they are never written.
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
    const char* first;             // of the block's rows
    unsigned offsets[Own::COUNT];  // bytes from there
    unsigned inputs;
    uint4 held[Own::COUNT];

    __device__ __forceinline__ PlainRows(const void* matrix, unsigned inputs, unsigned top, unsigned rows)
        : first(static_cast<const char*>(matrix) + size_t{top} * inputs * 2), inputs(inputs) {
        for (unsigned i = 0; i < Own::COUNT; i++) {
            const unsigned row = min(Own::row(i), rows - 1 - top);
            offsets[i] = (row * inputs + Own::chunk() * CHUNK_VALUES) * 2;
        }
    }
    __device__ __forceinline__ const char* from(unsigned i, unsigned tile) const { return first + (offsets[i] + tile * ROW_BYTES); }
    __device__ __forceinline__ bool there(unsigned tile) const { return tile * TILE_K + Own::chunk() * CHUNK_VALUES < inputs; }

    /// Begins to copy a tile.
    __device__ __forceinline__ void copy(unsigned slot, unsigned tile) const {
        for (unsigned i = 0; i < Own::COUNT; i++) {
            if (Own::has(i)) copy_async(slot + Own::place(i), from(i, tile), there(tile));
        }
    }
    /// Begins to load a tile into registers.
    __device__ __forceinline__ void hold(unsigned tile) {
        for (unsigned i = 0; i < Own::COUNT; i++) {
            held[i] = make_uint4(0, 0, 0, 0);
            if (Own::has(i) && there(tile)) held[i] = __ldg(reinterpret_cast<const uint4*>(from(i, tile)));
        }
    }
    /// Writes what was loaded.
    __device__ __forceinline__ void put(unsigned slot) const {
        for (unsigned i = 0; i < Own::COUNT; i++) {
            if (Own::has(i)) put_chunk(slot + Own::place(i), held[i]);
        }
    }
};

/// The first byte of the first pixel of a row of A.
__device__ __forceinline__ const char* corner(const TensorLinear& op, unsigned row, unsigned& y, unsigned& x) {
    const unsigned image = row / op.rows_per_image, inside = row % op.rows_per_image;
    y = inside / op.across * op.size;
    x = inside % op.across * op.size;
    return static_cast<const char*>(op.input) + ((size_t{image} * op.height + y) * op.width + x) * op.channels * 2;
}

/// A pixel of a patch, by its number in the order of a row of A.
struct Pixel {
    unsigned y, x;

    __device__ __forceinline__ Pixel(const TensorLinear& op, unsigned number) {
        const unsigned slow = number / op.size, fast = number % op.size;
        y = op.merged != 0 ? fast : slow;
        x = op.merged != 0 ? slow : fast;
    }
    __device__ __forceinline__ void next(const TensorLinear& op) {
        const bool down = op.merged != 0;
        const unsigned fast = (down ? y : x) + 1;
        const unsigned back = fast == op.size ? 0 : fast, on = fast == op.size ? 1 : 0;
        y = down ? back : y + on;
        x = down ? x + on : back;
    }
    /// Bytes from the first pixel.
    __device__ __forceinline__ unsigned offset(const TensorLinear& op) const { return (y * op.width + x) * op.channels * 2; }
};

/// 1 / sigma and -mean / sigma of each norm of ROWS rows from `top` on, before `end`, to norms[number * pitch + row]; those of rows
/// beyond the last are the last one's. The mean first, then the deviations from it: E[x^2] - mean^2 would lose all digits where
/// the mean is far from zero. A row or pixel is of so many neighbouring lanes that each holds at most HELD of its chunks; how
/// many follows from its length alone.
template <typename T, unsigned ROWS, unsigned THREADS>
__device__ __forceinline__ void measure_norms(
    const TensorLinear& op, unsigned top, unsigned end, float2* norms, unsigned pitch) {
    enum : unsigned { HELD = 12 };
    const unsigned length = op.norms == 1 ? op.inputs : op.channels;
    const unsigned chunks = length / CHUNK_VALUES;
    unsigned lanes = 4;
    while (lanes * HELD < chunks) lanes *= 2;
    const unsigned lane = threadIdx.x % lanes;
    const float share = 1.0f / static_cast<float>(length);
    // A warp's lanes take every turn together: ROWS is a multiple of the rows of a warp.
#pragma unroll 1
    for (unsigned at = threadIdx.x / lanes; at < ROWS * op.norms; at += THREADS / lanes) {
        unsigned top_y, left_x;
        const char* const from = corner(op, min(top + at % ROWS, op.rows - 1), top_y, left_x);
        Pixel pixel(op, op.norms == 1 ? 0 : at / ROWS);
        unsigned channel = lane * CHUNK_VALUES;
        uint4 held[HELD];
        for (unsigned i = 0; i < HELD; i++) {
            held[i] = make_uint4(0, 0, 0, 0);
            if (lane + i * lanes >= chunks) continue;
            while (channel >= op.channels) {
                channel -= op.channels;
                pixel.next(op);
            }
            if (top_y + pixel.y < op.height && left_x + pixel.x < op.width) {
                held[i] = __ldg(reinterpret_cast<const uint4*>(from + pixel.offset(op) + channel * 2));
            }
            channel += lanes * CHUNK_VALUES;
        }
        float sum = 0;
        for (const uint4& chunk : held) {
            float values[8];
            Packed<T, 8>{{chunk.x, chunk.y, chunk.z, chunk.w}}.unpack(values);
            for (float value : values) sum += value;
        }
        for (unsigned step = lanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, step);
        const float mean = sum * share;
        float squares = 0;
        for (unsigned i = 0; i < HELD; i++) {
            if (lane + i * lanes >= chunks) continue;
            float values[8];
            Packed<T, 8>{{held[i].x, held[i].y, held[i].z, held[i].w}}.unpack(values);
            for (float value : values) squares += (value - mean) * (value - mean);
        }
        for (unsigned step = lanes / 2; step > 0; step /= 2) squares += __shfl_xor_sync(ALL_LANES, squares, step);
        const float factor = rsqrtf(squares * share + op.eps);
        if (lane == 0 && top + at % ROWS < end) norms[at / ROWS * pitch + at % ROWS] = make_float2(factor, -mean * factor);
    }
}

/// Rows of A whose pixels lie apart, and rows that are normed. Beyond the map are zeros, which a norm counts.
template <typename T, unsigned ROWS, unsigned THREADS, bool NORMED>
struct GatheredRows {
    using Own = Chunks<ROWS, THREADS>;
    enum : bool { ASYNC = HAS_ASYNC && !NORMED };
    const TensorLinear& op;
    const float2* norms;
    const char* from[Own::COUNT];
    unsigned down, right;     // bits of the rows that have pixels below and beside their first
    unsigned number, channel; // of the chunk in the next tile: its pixel, and where in that
    Pixel pixel;
    uint4 held[Own::COUNT];
    bool within;              // whether what is held is within K

    __device__ __forceinline__ GatheredRows(const TensorLinear& op, const float2* norms, unsigned top, unsigned tile)
        : op(op), norms(norms), down(0), right(0), number((tile * TILE_K + Own::chunk() * CHUNK_VALUES) / op.channels),
          channel((tile * TILE_K + Own::chunk() * CHUNK_VALUES) % op.channels), pixel(op, number), within(false) {
        for (unsigned i = 0; i < Own::COUNT; i++) {
            unsigned y, x;
            from[i] = corner(op, min(top + Own::row(i), op.rows - 1), y, x);
            // Patches lie within the map, but for those of merging, which have two rows and columns.
            if (op.merged == 0 || y + 1 < op.height) down |= 1u << i;
            if (op.merged == 0 || x + 1 < op.width) right |= 1u << i;
        }
    }
    __device__ __forceinline__ bool there(unsigned i) const {
        return within && (pixel.y == 0 || (down >> i & 1) != 0) && (pixel.x == 0 || (right >> i & 1) != 0);
    }
    __device__ __forceinline__ void next() {
        channel += TILE_K;
        while (channel >= op.channels) {
            channel -= op.channels;
            number++;
            pixel.next(op);
        }
    }

    __device__ __forceinline__ void copy(unsigned slot, unsigned tile) {
        within = tile * TILE_K + Own::chunk() * CHUNK_VALUES < op.inputs;
        const unsigned offset = within ? pixel.offset(op) + channel * 2 : 0;
        for (unsigned i = 0; i < Own::COUNT; i++) {
            if (Own::has(i)) copy_async(slot + Own::place(i), from[i] + (there(i) ? offset : 0), there(i));
        }
        next();
    }
    __device__ __forceinline__ void hold(unsigned tile) {
        within = tile * TILE_K + Own::chunk() * CHUNK_VALUES < op.inputs;
        const unsigned offset = pixel.offset(op) + channel * 2;
        for (unsigned i = 0; i < Own::COUNT; i++) {
            held[i] = make_uint4(0, 0, 0, 0);
            if (Own::has(i) && there(i)) held[i] = __ldg(reinterpret_cast<const uint4*>(from[i] + offset));
        }
    }
    __device__ __forceinline__ void put(unsigned slot) {
        for (unsigned i = 0; i < Own::COUNT; i++) {
            if (!Own::has(i)) continue;
            if constexpr (NORMED) {
                if (within) {
                    const float2 norm = norms[(op.norms == 1 ? 0 : number) * ROWS + Own::row(i)];
                    Packed<T, 8> packed = {{held[i].x, held[i].y, held[i].z, held[i].w}};
                    float values[8];
                    packed.unpack(values);
                    // One rounding of a product as large as the mean over sigma, which 16 bits keep below 2^11.
                    for (float& value : values) value = fmaf(value, norm.x, norm.y);
                    packed.pack(values);
                    held[i] = make_uint4(packed.words[0], packed.words[1], packed.words[2], packed.words[3]);
                }
            }
            put_chunk(slot + Own::place(i), held[i]);
        }
        next();
    }
};
