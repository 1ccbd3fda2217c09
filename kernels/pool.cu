// The mean of each channel over all positions of an image, and optionally the layer norm of these means over the channels, in one launch.
//
// Shapes     input [images, rows, channels] in f16, bf16 or f32; output [images, channels] in the input's type or in f32; with a norm
//            sums [images, channels] in f32 for the means, which are not rounded; scale, shift [channels] in f32, or both null.
//            Any sizes; all aligned to 16 bytes.
// Launch     8 warps; `lanes` lanes a row, a word a lane (one channel where channels are odd), a power of two up to 32: a warp takes
//            32 / lanes rows at once, and each 8th of these. Fewer lanes are more blocks, for few images: grid images *
//            ceil(channels / (lanes' channels)), an image's blocks next to each other. The last of an image's blocks norms its means.
// Shared     The warps' sums, `lanes` lanes' channels each, which a warp writes and the first reads as they lie: 1 and 2 KiB for the
//            two widths; 68 bytes for the norm.
// Bytes      The input once, the output once; with norm 4 * images * channels more, written once and read three times, from L2.
// FLOPs      images * rows * channels, and 7 * images * channels.
#include "last_block.cuh"
#include "plain.cuh"

struct Pool {
    const void* input;
    void* output;
    // Where the means are normed: they themselves, a counter an image, scale and shift. Null where they are the output.
    float* means;
    unsigned* tickets;
    const float* scale;
    const float* shift;
    unsigned rows;
    unsigned channels;
    // Blocks of an image.
    unsigned blocks;
    // Lanes of a row.
    unsigned lanes;
    // Whether the output is f32.
    unsigned unrounded;
    float eps;
};

enum : unsigned { BLOCK = 256, WARPS = BLOCK / WARP };

template <typename T, unsigned WIDTH>
__device__ void mean(const Pool& op) {
    __shared__ float partials[WARPS][WARP * WIDTH];
    const unsigned lane = threadIdx.x % op.lanes;
    const unsigned warp = threadIdx.x / WARP;
    const size_t image = blockIdx.x / op.blocks;
    const unsigned channel = (blockIdx.x % op.blocks * op.lanes + lane) * WIDTH;
    const bool there = channel < op.channels;

    float sums[WIDTH] = {};
    if (there) {
        const T* const input = static_cast<const T*>(op.input) + image * op.rows * op.channels + channel;
#pragma unroll 4
        for (unsigned row = threadIdx.x / op.lanes; row < op.rows; row += BLOCK / op.lanes) {
            float values[WIDTH];
            read(input + size_t{row} * op.channels, values);
            for (unsigned i = 0; i < WIDTH; i++) sums[i] += values[i];
        }
    }
    for (unsigned step = op.lanes; step < WARP; step *= 2) {
        for (float& sum : sums) sum += __shfl_xor_sync(ALL_LANES, sum, step);
    }
    const bool is_first = threadIdx.x % WARP < op.lanes;
    for (unsigned i = 0; i < WIDTH && is_first; i++) partials[warp][i * WARP + lane] = sums[i];
    __syncthreads();
    if (threadIdx.x >= op.lanes || !there) return;
    for (unsigned i = 0; i < WIDTH; i++) {
        float sum = 0;
        for (unsigned other = 0; other < WARPS; other++) sum += partials[other][i * WARP + lane];
        sums[i] = sum / static_cast<float>(op.rows);
    }
    const size_t at = image * op.channels + channel;
    if (op.means != nullptr) {
        write(op.means + at, sums);
    } else if (op.unrounded) {
        write(static_cast<float*>(op.output) + at, sums);
    } else {
        write(static_cast<T*>(op.output) + at, sums);
    }
}

/// Norms the means of an image, which other blocks wrote.
template <typename T>
__device__ void norm(const Pool& op, size_t image, T* output) {
    __shared__ float partials[2][WARPS];
    const float* const means = op.means + image * op.channels;
    const float share = 1.0f / static_cast<float>(op.channels);
    float sum = 0;
#pragma unroll 4
    for (unsigned channel = threadIdx.x; channel < op.channels; channel += BLOCK) sum += __ldcg(means + channel);
    const float centre = block_sum(sum, partials[0]) * share;
    float squares = 0;
#pragma unroll 4
    for (unsigned channel = threadIdx.x; channel < op.channels; channel += BLOCK) {
        const float deviation = __ldcg(means + channel) - centre;
        squares += deviation * deviation;
    }
    const float factor = rsqrtf(block_sum(squares, partials[1]) * share + op.eps);
    for (unsigned channel = threadIdx.x; channel < op.channels; channel += BLOCK) {
        float value = (__ldcg(means + channel) - centre) * factor;
        if (op.scale != nullptr) value = value * __ldg(op.scale + channel) + __ldg(op.shift + channel);
        output[image * op.channels + channel] = rounded(value, T());
    }
}

template <typename T>
__device__ void pool(const Pool& op) {
    constexpr unsigned WIDTH = Stored<T>::A_WORD;
    if (op.channels % WIDTH == 0) {
        mean<T, WIDTH>(op);
    } else {
        mean<T, 1>(op);
    }
    if (op.means == nullptr) return;
    __shared__ unsigned word;
    const unsigned image = blockIdx.x / op.blocks;
    if (!is_last_block(op.tickets + image, op.blocks, &word)) return;
    if (op.unrounded) {
        norm(op, image, static_cast<float*>(op.output));
    } else {
        norm(op, image, static_cast<T*>(op.output));
    }
}

#define KERNEL(TYPE, NAME) extern "C" __global__ void __launch_bounds__(BLOCK) pool_##NAME(const Pool op) { pool<TYPE>(op); }
KERNEL(float, f32)
KERNEL(__half, f16)
#if __CUDA_ARCH__ >= 800
KERNEL(__nv_bfloat16, bf16)
#endif
