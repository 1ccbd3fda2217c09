// Window attention of any type and any head dimension, without tensor cores: a block takes QUERIES queries of a window and head.
// Not here: the form for f16 and bf16 with heads of 32 channels (`attention_tensor.cuh`).
//
// Launch     block PLAIN_BLOCK; grid (ceil(area / QUERIES) * heads * windows across, windows down, images), the queries first.
// Shared     Position [area], float scores [QUERIES][area], float sums [QUERIES]: at most 40 KB and 32 bytes.
#pragma once

#include "attention.cuh"

enum : unsigned { QUERIES = 8, PLAIN_BLOCK = 64, PLAIN_WARPS = PLAIN_BLOCK / WARP, QUERIES_A_THREAD = QUERIES / PLAIN_WARPS };

template <typename T>
__device__ void attention_plain(const Attention& op) {
    extern __shared__ uint4 memory[];
    const unsigned area = op.window_height * op.window_width;
    const unsigned dim = op.channels / op.heads;
    const unsigned chunks = (area + QUERIES - 1) / QUERIES;
    const unsigned first = blockIdx.x % chunks * QUERIES;
    const unsigned head = blockIdx.x / chunks % op.heads;
    const Window window{blockIdx.y, blockIdx.x / chunks / op.heads};
    Position* const positions = reinterpret_cast<Position*>(memory);
    float* const scores = reinterpret_cast<float*>(positions + area);
    float* const sums = scores + QUERIES * area;

    for (unsigned i = threadIdx.x; i < area; i += PLAIN_BLOCK) positions[i] = position_of(op, window, i);
    __syncthreads();

    const size_t pixels = size_t{op.height} * op.width;
    const T* const input = static_cast<const T*>(op.input) + blockIdx.z * pixels * 3 * op.channels + head * dim;
    // A channel of this head, by the place's pixel: of the queries, the keys (from `channels` on) or the values (twice that).
    const auto value = [&](unsigned pixel, unsigned channel) {
        if (pixel & PADDED) return static_cast<float>(static_cast<T>(op.padding[head * dim + channel]));
        return static_cast<float>(input[size_t{pixel & PIXEL} * 3 * op.channels + channel]);
    };

    // Queries that are not there, or are padding, are computed as some other's, and not written.
    Position query[QUERIES];
    const T* queries[QUERIES];
    for (unsigned i = 0; i < QUERIES; i++) {
        query[i] = positions[min(first + i, area - 1)];
        queries[i] = input + size_t{query[i].pixel & PIXEL} * 3 * op.channels;
    }
    for (unsigned key = threadIdx.x; key < area; key += PLAIN_BLOCK) {
        const Position position = positions[key];
        float dots[QUERIES] = {};
        for (unsigned channel = 0; channel < dim; channel++) {
            const float k = value(position.pixel, op.channels + channel);
            for (unsigned i = 0; i < QUERIES; i++) dots[i] += static_cast<float>(queries[i][channel]) * k;
        }
        for (unsigned i = 0; i < QUERIES; i++) {
            const unsigned difference = op.middle + query[i].place - position.place;
            const float mask = ((query[i].pixel ^ position.pixel) & REGION) == 0 ? 0.0f : MASKED;
            scores[i * area + key] = dots[i] * op.scale + op.bias[size_t{difference} * op.heads + head] + mask;
        }
    }
    __syncthreads();

    // A warp a query.
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    for (unsigned i = warp; i < QUERIES; i += PLAIN_WARPS) {
        float* const row = scores + i * area;
        float most = SMALLEST;
        for (unsigned key = lane; key < area; key += WARP) most = fmaxf(most, row[key]);
        for (unsigned step = WARP / 2; step > 0; step /= 2) most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, step));
        float sum = 0;
        for (unsigned key = lane; key < area; key += WARP) {
            const float power = power_of_two((row[key] - most) * LOG2_E);
            row[key] = power;
            sum += power;
        }
        for (unsigned step = WARP / 2; step > 0; step /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, step);
        if (lane == 0) sums[i] = sum;
    }
    __syncthreads();

    // A thread a channel of some queries.
    T* const output = static_cast<T*>(op.output) + blockIdx.z * pixels * op.channels + head * dim;
    for (unsigned item = threadIdx.x; item < dim * PLAIN_WARPS; item += PLAIN_BLOCK) {
        const unsigned channel = item % dim, of = item / dim * QUERIES_A_THREAD;
        float results[QUERIES_A_THREAD] = {};
        for (unsigned key = 0; key < area; key++) {
            const float v = value(positions[key].pixel, 2 * op.channels + channel);
            for (unsigned i = 0; i < QUERIES_A_THREAD; i++) results[i] += scores[(of + i) * area + key] * v;
        }
        for (unsigned i = 0; i < QUERIES_A_THREAD; i++) {
            if (first + of + i >= area) break;
            const unsigned pixel = positions[first + of + i].pixel;
            if (pixel & PADDED) continue;
            output[size_t{pixel & PIXEL} * op.channels + channel] = static_cast<T>(results[i] / sums[of + i]);
        }
    }
}
