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

/// 1 / sigma and -mean / sigma of each norm of ROWS rows from `top` on, to norms[number * ROWS + row]; those of rows beyond the last are the
/// last one's. Where pixels are normed alone, only of those that this block's part of K, from `tile` on, has something of. The mean first, then the deviations from it: E[x^2] - mean^2 would lose all digits where
/// the mean is far from zero. A row or pixel is of so many neighbouring lanes that each holds at most HELD of its chunks; how
/// many follows from its length alone.
template <typename T, unsigned ROWS, unsigned THREADS>
__device__ __forceinline__ void measure_norms(
    const TensorLinear& op, unsigned top, unsigned tile, float2* norms) {
    enum : unsigned { HELD = 12 };
    const unsigned length = op.norms == 1 ? op.inputs : op.channels;
    const unsigned chunks = length / CHUNK_VALUES;
    unsigned lanes = 4;
    while (lanes * HELD < chunks) lanes *= 2;
    const unsigned lane = threadIdx.x % lanes;
    const float share = 1.0f / static_cast<float>(length);
    const unsigned first = op.norms == 1 ? 0 : tile * TILE_K / op.channels;
    const unsigned last = min((tile + op.tiles_per_split) * TILE_K, op.inputs) - 1;
    const unsigned end = op.norms == 1 ? 1 : last / op.channels + 1;
    // A warp's lanes take every turn together: ROWS is a multiple of the rows of a warp.
#pragma unroll 1
    for (unsigned at = first * ROWS + threadIdx.x / lanes; at < end * ROWS; at += THREADS / lanes) {
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
        if (lane == 0) norms[at] = make_float2(factor, -mean * factor);
    }
}

/// Scale and shift of the values that a block norms, in shared memory: of its part of K, or of a pixel where each is normed alone.
struct Affine {
    unsigned scale, shift;  // addresses of those of value 0

    Affine() = default;

    /// Brings them from memory: 1 and 0 where a norm has none.
    __device__ __forceinline__ Affine(const TensorLinear& op, unsigned tile, float* shared) {
        const unsigned first = op.norms == 1 ? tile * TILE_K : 0;
        const unsigned count = op.norms == 1 ? min(op.tiles_per_split * TILE_K, op.inputs - first) : op.channels;
        const bool any = op.norm_scale != nullptr;
#pragma unroll 1
        for (unsigned at = threadIdx.x; at < count; at += blockDim.x) {
            shared[at] = any ? __ldg(op.norm_scale + first + at) : 1.0f;
            shared[count + at] = any ? __ldg(op.norm_shift + first + at) : 0.0f;
        }
        scale = shared_address(shared) - first * 4;
        shift = scale + count * 4;
    }
    /// Four of them, from one of these addresses on. In its place: a compiler that loads early needs too many registers.
    static __device__ __forceinline__ float4 four(unsigned address) {
        float4 four;
        asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                     : "=f"(four.x), "=f"(four.y), "=f"(four.z), "=f"(four.w)
                     : "r"(address)
                     : "memory");
        return four;
    }
};

/// Four values as they are stored, after their norm, scale and shift. Their rounding, before all is rounded to 16 bits, is that of a product as large
/// as the mean over sigma, which 16 bits keep below 2^11.
template <typename T>
__device__ __forceinline__ void norm_four(
    unsigned& low, unsigned& high, const float2& norm, const float4& scale, const float4& shift) {
    Packed<T, 4> packed = {{low, high}};
    float values[4];
    packed.unpack(values);
    for (float& value : values) value = fmaf(value, norm.x, norm.y);
    values[0] = fmaf(values[0], scale.x, shift.x);
    values[1] = fmaf(values[1], scale.y, shift.y);
    values[2] = fmaf(values[2], scale.z, shift.z);
    values[3] = fmaf(values[3], scale.w, shift.w);
    packed.pack(values);
    low = packed.words[0];
    high = packed.words[1];
}

/// Rows of A whose pixels lie apart, and rows that are normed. Beyond the map are zeros, which a norm counts.
template <typename T, unsigned ROWS, unsigned THREADS, bool NORMED>
struct GatheredRows {
    using Own = Chunks<ROWS, THREADS>;
    enum : bool { ASYNC = HAS_ASYNC && !NORMED };
    const TensorLinear& op;
    const float2* norms;
    Affine affine;
    const char* from[Own::COUNT];
    unsigned down, right;     // bits of the rows that have pixels below and beside their first
    unsigned number, channel; // of the chunk in the next tile: its pixel, and where in that
    Pixel pixel;
    uint4 held[Own::COUNT];
    bool within;              // whether what is held is within K

    __device__ __forceinline__ GatheredRows(
        const TensorLinear& op, const float2* norms, const Affine& affine, unsigned top, unsigned tile)
        : op(op), norms(norms), affine(affine), down(0), right(0), number((tile * TILE_K + Own::chunk() * CHUNK_VALUES) / op.channels),
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
        // Four values at a time: all eight scales and shifts beside the sums would be too many registers.
        for (unsigned half = 0; NORMED && within && half < 2; half++) {
            const unsigned place = (op.norms == 1 ? number * op.channels + channel : channel) + half * 4;
            const float4 scale = Affine::four(affine.scale + place * 4), shift = Affine::four(affine.shift + place * 4);
            for (unsigned i = 0; i < Own::COUNT; i++) {
                if (!Own::has(i)) continue;
                const float2 norm = norms[(op.norms == 1 ? 0 : number) * ROWS + Own::row(i)];
                if (half == 0) {
                    norm_four<T>(held[i].x, held[i].y, norm, scale, shift);
                } else {
                    norm_four<T>(held[i].z, held[i].w, norm, scale, shift);
                }
            }
        }
        for (unsigned i = 0; i < Own::COUNT; i++) {
            if (!Own::has(i)) continue;
            put_chunk(slot + Own::place(i), held[i]);
        }
        next();
    }
};
