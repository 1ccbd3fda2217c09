// The norm at the end of depthwise.cu's fast kernels: of a tile's sums in shared memory, where a block has all channels, and of what several blocks wrote.
// Not here: the convolution; the norm of the plain kernel (norm_sums.cuh).
#pragma once

#include "depthwise_rows.cuh"

/// The sum over four neighbouring lanes, the same bits in each of them.
__device__ inline float four_sum(float sum) {
    sum += __shfl_xor_sync(ALL_LANES, sum, 2);
    return sum + __shfl_xor_sync(ALL_LANES, sum, 1);
}

/// Eight neighbouring floats of shared or global memory.
__device__ inline void eight(const float* from, float (&values)[VECTOR]) {
    for (unsigned i = 0; i < VECTOR; i += 4) {
        const float4 four = *reinterpret_cast<const float4*>(from + i);
        values[i] = four.x;
        values[i + 1] = four.y;
        values[i + 2] = four.z;
        values[i + 3] = four.w;
    }
}

/// Norms the positions of a tile, whose sums are in `stash`, and writes them.
template <typename T>
__device__ void norm_tile(const Depthwise& op, const Tile& at, const float* stash, unsigned pitch, unsigned rows, unsigned columns) {
    const float share = 1.0f / static_cast<float>(op.channels);
    const unsigned positions = rows * columns;
    const unsigned thread = again_thread();
    const unsigned lane = thread % 4 * VECTOR;
    // A whole warp takes every turn, also where some of its positions are past the last: there are shuffles in it.
#pragma unroll 1
    for (unsigned first = thread / WARP * 8; first < positions; first += blockDim.x / WARP * 8) {
        const unsigned position = first + thread % WARP / 4;
        const unsigned y = at.top + position / columns;
        const unsigned x = at.left + position % columns;
        const bool inside = position < positions && y < op.height && x < op.width;
        const float* const from = stash + (inside ? position * pitch : 0);
        float values[VECTOR];
        float sum = 0;
#pragma unroll 1
        for (unsigned c = lane; c < op.channels; c += 4 * VECTOR) {
            eight(from + c, values);
            for (float value : values) sum += value;
        }
        const float mean = four_sum(sum) * share;
        float squares = 0;
#pragma unroll 1
        for (unsigned c = lane; c < op.channels; c += 4 * VECTOR) {
            eight(from + c, values);
            for (float value : values) squares += (value - mean) * (value - mean);
        }
        const float factor = rsqrtf(four_sum(squares) * share + op.eps);
        if (!inside) continue;
        T* const to = static_cast<T*>(op.output) + ((at.image * op.height + y) * op.width + x) * op.channels;
#pragma unroll 1
        for (unsigned c = lane; c < op.channels; c += 4 * VECTOR) {
            eight(from + c, values);
            for (float& value : values) value = (value - mean) * factor;
            if (op.scale != nullptr) {
                Packed<float, VECTOR> packed[2];
                float scale[VECTOR], shift[VECTOR];
                load(op.scale + c, packed[0]);
                load(op.shift + c, packed[1]);
                packed[0].unpack(scale);
                packed[1].unpack(shift);
                for (unsigned i = 0; i < VECTOR; i++) values[i] = values[i] * scale[i] + shift[i];
            }
            Packed<T, VECTOR> packed;
            packed.pack(values);
            store(to + c, packed);
        }
    }
}

/// Eight values of 16 bits.
template <typename T>
__device__ void unpack(const uint4& words, float (&values)[VECTOR]) {
    Stored<T>::unpack(words.x, values);
    Stored<T>::unpack(words.y, values + 2);
    Stored<T>::unpack(words.z, values + 4);
    Stored<T>::unpack(words.w, values + 6);
}

/// The channels up to which three vectors a lane of a warp are enough.
enum : unsigned { MOST_OF_THREE = WARP * 3 * VECTOR };

/// The logarithm of the lanes that norm a position: each takes three vectors or fewer, where a warp has lanes enough.
__device__ inline unsigned lanes_shift(unsigned vectors) {
    const unsigned threes = (vectors + 2) / 3;
    return threes > WARP / 2 ? 5 : threes > 1 ? WARP - __clz(threes - 1) : 0;
}

/// Where the lanes of a block norm a tile: which positions are the map's, and where the first lies.
struct Written {
    uint4* output;
    unsigned vectors;
    unsigned wide;
    float wide_inverse;
    unsigned positions;
    // positions of a row of the map
    unsigned row;
    // lanes of a position, their logarithm, and this lane among them
    unsigned lanes;
    unsigned shift;
    unsigned lane;

    __device__ Written(const Depthwise& op, const Tile& at, unsigned rows, unsigned columns, unsigned thread) {
        vectors = op.channels / VECTOR;
        wide = min(columns, op.width - at.left);
        positions = wide * min(rows, op.height - at.top);
        wide_inverse = __fdividef(1.0f, static_cast<float>(wide));
        row = op.width;
        shift = lanes_shift(vectors);
        lanes = 1u << shift;
        lane = thread & (lanes - 1);
        output = static_cast<uint4*>(op.output) + ((at.image * op.height + at.top) * op.width + at.left) * vectors;
    }

    __device__ uint4* of(unsigned position) const {
        // A division: a tile has so few positions that no rounding comes near the half.
        const unsigned y = static_cast<unsigned>((static_cast<float>(position) + 0.5f) * wide_inverse);
        return output + size_t{y * row + position - y * wide} * vectors;
    }

    /// Reads a lane's part of a position; zeros of what is none. What other blocks wrote is in L2.
    template <unsigned VECTORS>
    __device__ void read(unsigned position, uint4 (&held)[VECTORS]) const {
        const uint4* const from = of(position);
#pragma unroll
        for (unsigned v = 0; v < VECTORS; v++) {
            const unsigned vector = lane + v * lanes;
            const bool there = position < positions && vector < vectors;
            held[v] = there ? __ldcg(from + vector) : make_uint4(0, 0, 0, 0);
        }
    }
};

/// Sums of several positions over their lanes, the same bits in each of them.
template <unsigned POSITIONS>
__device__ void lane_sums(float (&sums)[POSITIONS], unsigned lanes) {
#pragma unroll 1
    for (unsigned step = lanes / 2; step > 0; step /= 2) {
        for (float& sum : sums) sum += __shfl_xor_sync(ALL_LANES, sum, step);
    }
}

/// Norms the positions of a tile in place, where several blocks wrote the convolution's outputs as they are stored. A few lanes take
/// `POSITIONS` at once, up to `VECTORS` vectors each of a position, while the next ones are on their way where there are registers for them.
template <typename T, unsigned POSITIONS, unsigned VECTORS>
__device__ __forceinline__ void norm_written(const Depthwise& op, const Tile& at, unsigned rows, unsigned columns) {
    const float share = 1.0f / static_cast<float>(op.channels);
    const unsigned thread = again_thread();
    const Written tile(op, at, rows, columns, thread);
    const unsigned groups = blockDim.x >> tile.shift;
    const unsigned own = thread >> tile.shift;
    // A whole warp takes every turn: there are shuffles in it.
    const unsigned last = thread % WARP >> tile.shift;
    // so wide a position leaves no registers for the next one
    constexpr bool AHEAD = POSITIONS > 1;
    uint4 held[POSITIONS][VECTORS];
    if constexpr (AHEAD) {
#pragma unroll
        for (unsigned p = 0; p < POSITIONS; p++) tile.read(own + p * groups, held[p]);
    }
#pragma unroll 1
    for (unsigned position = own; position - last < tile.positions; position += groups * POSITIONS) {
        float values[POSITIONS][VECTORS][VECTOR];
        float mean[POSITIONS] = {}, factor[POSITIONS] = {};
        if constexpr (!AHEAD) tile.read(position, held[0]);
#pragma unroll
        for (unsigned v = 0; v < VECTORS; v++) {
#pragma unroll
            for (unsigned p = 0; p < POSITIONS; p++) {
                unpack<T>(held[p][v], values[p][v]);
                for (float value : values[p][v]) mean[p] += value;
            }
        }
        if constexpr (AHEAD) {
#pragma unroll
            for (unsigned p = 0; p < POSITIONS; p++) tile.read(position + (POSITIONS + p) * groups, held[p]);
        }
        lane_sums(mean, tile.lanes);
#pragma unroll
        for (unsigned v = 0; v < VECTORS; v++) {
            if (v * tile.lanes >= tile.vectors) break;
            const bool there = tile.lane + v * tile.lanes < tile.vectors;
#pragma unroll
            for (unsigned p = 0; p < POSITIONS; p++) {
                float squares = factor[p];
                for (float& value : values[p][v]) {
                    value -= mean[p] * share;
                    squares = fmaf(value, value, squares);
                }
                if (there) factor[p] = squares;
            }
        }
        lane_sums(factor, tile.lanes);
        for (float& sum : factor) sum = rsqrtf(sum * share + op.eps);
        uint4* to[POSITIONS];
        for (unsigned p = 0; p < POSITIONS; p++) to[p] = tile.of(position + p * groups);
        // What follows from the lane is computed for each turn: there are no registers to keep it.
        unsigned vector = again_thread() & (tile.lanes - 1);
#pragma unroll
        for (unsigned v = 0; v < VECTORS; v++, vector += tile.lanes) {
            if (vector >= tile.vectors) break;
            float scale[VECTOR], shift[VECTOR];
            if (op.scale != nullptr) {
                eight(op.scale + vector * VECTOR, scale);
                eight(op.shift + vector * VECTOR, shift);
            }
#pragma unroll
            for (unsigned p = 0; p < POSITIONS; p++) {
                for (unsigned i = 0; i < VECTOR; i++) {
                    float& value = values[p][v][i];
                    value *= factor[p];
                    if (op.scale != nullptr) value = fmaf(value, scale[i], shift[i]);
                }
                Packed<T, VECTOR> packed;
                packed.pack(values[p][v]);
                const unsigned* const words = packed.words;
                if (position + p * groups < tile.positions) {
                    to[p][vector] = make_uint4(words[0], words[1], words[2], words[3]);
                }
            }
            asm volatile("" : "+r"(vector) : : "memory");
        }
    }
}
