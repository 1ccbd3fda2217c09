// Window attention of any type and any head dimension, without tensor cores: a block takes QUERIES queries of a window and head.
// Not here: the form for f16 and bf16 with heads of 32 channels (`attention_tensor.cuh`).
//
// Launch     block PLAIN_BLOCK; grid (ceil(area / QUERIES) * heads * windows across, windows down, images), the queries first.
// Tile       A thread a key for the scores of all queries, a warp a query for softmax, a thread a channel of some queries for the results.
// Shared     Position [pitch], float scores [QUERIES][pitch], float sums [QUERIES], where pitch is the area up to a multiple of 4, for keys
//            are read by four: at most 40 KB and 32 bytes. Beyond the area the last position is repeated, with exponentials of 0.
#pragma once

#include "attention.cuh"

enum : unsigned { QUERIES = 8, PLAIN_BLOCK = 64, PLAIN_WARPS = PLAIN_BLOCK / WARP, QUERIES_A_THREAD = QUERIES / PLAIN_WARPS };

/// Numbers of a row; where it is padding, those of `padding` as they would be stored.
template <typename T, unsigned WIDTH>
__device__ void read(const T* row, const float* padding, unsigned channel, float (&values)[WIDTH]) {
    if (padding != nullptr) {
        for (unsigned j = 0; j < WIDTH; j++) values[j] = static_cast<float>(static_cast<T>(padding[channel + j]));
    } else if constexpr (WIDTH == 1) {
        values[0] = static_cast<float>(row[channel]);
    } else {
        Packed<T, WIDTH> packed;
        load(row + channel, packed);
        packed.unpack(values);
    }
}

/// Products of queries with a key, summed over its channels; WIDTH of them at a time.
template <typename T, unsigned WIDTH>
__device__ void dots_of(const T* const (&queries)[QUERIES], const T* key, const float* padding, unsigned dim, float (&dots)[QUERIES]) {
    for (unsigned channel = 0; channel < dim; channel += WIDTH) {
        float k[WIDTH];
        read<T, WIDTH>(key, padding, channel, k);
        for (unsigned i = 0; i < QUERIES; i++) {
            float q[WIDTH];
            read<T, WIDTH>(queries[i], nullptr, channel, q);
            for (unsigned j = 0; j < WIDTH; j++) dots[i] += q[j] * k[j];
        }
    }
}

template <typename T>
__device__ void attention_plain(const Attention& op) {
    constexpr unsigned WIDEST = 4;
    extern __shared__ uint4 memory[];
    const unsigned area = op.window_height * op.window_width, pitch = (area + 3) / 4 * 4;
    const unsigned dim = op.channels / op.heads;
    const unsigned chunks = (area + QUERIES - 1) / QUERIES;
    const unsigned first = blockIdx.x % chunks * QUERIES;
    const unsigned head = blockIdx.x / chunks % op.heads;
    const Window window{blockIdx.y, blockIdx.x / chunks / op.heads};
    Position* const positions = reinterpret_cast<Position*>(memory);
    float* const scores = reinterpret_cast<float*>(positions + pitch);
    float* const sums = scores + QUERIES * pitch;

    for (unsigned i = threadIdx.x; i < pitch; i += PLAIN_BLOCK) positions[i] = position_of(op, window, min(i, area - 1));
    __syncthreads();

    const size_t pixels = size_t{op.height} * op.width;
    const unsigned row_length = 3 * op.channels;
    const T* const input = static_cast<const T*>(op.input) + blockIdx.z * pixels * row_length + head * dim;
    // Queries that are not there, or are padding, are computed as some other's, and not written.
    Position query[QUERIES];
    const T* queries[QUERIES];
    for (unsigned i = 0; i < QUERIES; i++) {
        query[i] = positions[min(first + i, area - 1)];
        queries[i] = input + size_t{query[i].pixel & PIXEL} * row_length;
    }
    for (unsigned key = threadIdx.x; key < area; key += PLAIN_BLOCK) {
        const Position position = positions[key];
        const T* const k = input + size_t{position.pixel & PIXEL} * row_length + op.channels;
        const float* const padding = position.pixel & PADDED ? op.padding + op.channels + head * dim : nullptr;
        float dots[QUERIES] = {};
        if (dim % WIDEST == 0) {
            dots_of<T, WIDEST>(queries, k, padding, dim, dots);
        } else {
            dots_of<T, 1>(queries, k, padding, dim, dots);
        }
        for (unsigned i = 0; i < QUERIES; i++) {
            const unsigned difference = op.middle + query[i].place - position.place;
            const float mask = ((query[i].pixel ^ position.pixel) & REGION) == 0 ? 0.0f : MASKED;
            scores[i * pitch + key] = dots[i] * op.scale + op.bias[size_t{difference} * op.heads + head] + mask;
        }
    }
    __syncthreads();

    // A warp a query.
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    for (unsigned i = warp; i < QUERIES; i += PLAIN_WARPS) {
        float* const row = scores + i * pitch;
        float most = SMALLEST;
        for (unsigned key = lane; key < area; key += WARP) most = fmaxf(most, row[key]);
        for (unsigned step = WARP / 2; step > 0; step /= 2) most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, step));
        float sum = 0;
        for (unsigned key = lane; key < pitch; key += WARP) {
            const float power = key < area ? power_of_two((row[key] - most) * LOG2_E) : 0;
            row[key] = power;
            sum += power;
        }
        for (unsigned step = WARP / 2; step > 0; step /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, step);
        if (lane == 0) sums[i] = sum;
    }
    __syncthreads();

    // A thread a channel of some queries.
    T* const output = static_cast<T*>(op.output) + blockIdx.z * pixels * op.channels + head * dim;
    const T* const values = input + 2 * op.channels;
    const float* const padding = op.padding + 2 * op.channels + head * dim;
    for (unsigned item = threadIdx.x; item < dim * PLAIN_WARPS; item += PLAIN_BLOCK) {
        const unsigned channel = item % dim, of = item / dim * QUERIES_A_THREAD;
        float results[QUERIES_A_THREAD] = {};
        for (unsigned key = 0; key < pitch; key += 4) {
            float v[4][1];
            for (unsigned j = 0; j < 4; j++) {
                const unsigned pixel = positions[key + j].pixel;
                read<T, 1>(values + size_t{pixel & PIXEL} * row_length, pixel & PADDED ? padding : nullptr, channel, v[j]);
            }
            for (unsigned i = 0; i < QUERIES_A_THREAD; i++) {
                const float4 powers = *reinterpret_cast<const float4*>(scores + (of + i) * pitch + key);
                results[i] += powers.x * v[0][0] + powers.y * v[1][0] + powers.z * v[2][0] + powers.w * v[3][0];
            }
        }
        for (unsigned i = 0; i < QUERIES_A_THREAD; i++) {
            if (first + of + i >= area) break;
            const unsigned pixel = positions[first + of + i].pixel;
            if (pixel & PADDED) continue;
            output[size_t{pixel & PIXEL} * op.channels + channel] = static_cast<T>(results[i] / sums[of + i]);
        }
    }
}
