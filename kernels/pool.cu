// The mean of each channel over all positions of an image, and the layer norm of these means over the channels.
//
// Shapes     pool_mean: input [images, rows, channels] in f16, bf16 or f32; output [images, channels] in the input's type or
//            in f32. pool_norm: means [images, channels] in f32, which were not rounded; scale, shift [channels] in f32, or
//            both null; output [images, channels]. Any sizes; all aligned to 16 bytes.
// Launch     pool_mean: 8 warps, each every 8th row of the same channels, a word a lane (one channel where channels are
//            odd); grid images * ceil(channels / (32 lanes' channels)), an image's blocks next to each other.
//            pool_norm: 256 threads an image.
// Shared     pool_mean: the warps' sums, 32 lanes' channels each, which a warp writes and the first reads as they lie: 1 and
//            2 KiB for the two widths. pool_norm: 64 bytes.
// Bytes      The input once, the output once; with norm 4 * images * channels more, written once and read three times.
// FLOPs      images * rows * channels, and 7 * images * channels.
#include "plain.cuh"

struct PoolMean {
    const void* input;
    void* output;
    unsigned rows;
    unsigned channels;
    // Blocks of an image.
    unsigned blocks;
    // Whether the output is f32.
    unsigned unrounded;
};

struct PoolNorm {
    const float* means;
    const float* scale;
    const float* shift;
    void* output;
    unsigned channels;
    float eps;
};

enum : unsigned { BLOCK = 256, WARPS = BLOCK / WARP };

template <typename T, unsigned WIDTH>
__device__ void mean(const PoolMean& op) {
    __shared__ float partials[WARPS][WARP * WIDTH];
    const unsigned lane = threadIdx.x % WARP;
    const unsigned warp = threadIdx.x / WARP;
    const size_t image = blockIdx.x / op.blocks;
    const unsigned channel = (blockIdx.x % op.blocks * WARP + lane) * WIDTH;
    const bool there = channel < op.channels;

    float sums[WIDTH] = {};
    if (there) {
        const T* const input = static_cast<const T*>(op.input) + image * op.rows * op.channels + channel;
#pragma unroll 4
        for (unsigned row = warp; row < op.rows; row += WARPS) {
            float values[WIDTH];
            read(input + size_t{row} * op.channels, values);
            for (unsigned i = 0; i < WIDTH; i++) sums[i] += values[i];
        }
    }
    for (unsigned i = 0; i < WIDTH; i++) partials[warp][i * WARP + lane] = sums[i];
    __syncthreads();
    if (warp > 0 || !there) return;
    for (unsigned i = 0; i < WIDTH; i++) {
        float sum = 0;
        for (unsigned other = 0; other < WARPS; other++) sum += partials[other][i * WARP + lane];
        sums[i] = sum / static_cast<float>(op.rows);
    }
    const size_t at = image * op.channels + channel;
    if (op.unrounded) {
        write(static_cast<float*>(op.output) + at, sums);
    } else {
        write(static_cast<T*>(op.output) + at, sums);
    }
}

template <typename T>
__device__ void pool_mean(const PoolMean& op) {
    constexpr unsigned WIDTH = Stored<T>::A_WORD;
    if (op.channels % WIDTH == 0) {
        mean<T, WIDTH>(op);
    } else {
        mean<T, 1>(op);
    }
}

template <typename T>
__device__ void pool_norm(const PoolNorm& op) {
    __shared__ float partials[2][WARPS];
    const float* const means = op.means + size_t{blockIdx.x} * op.channels;
    const float share = 1.0f / static_cast<float>(op.channels);
    float sum = 0;
    for (unsigned channel = threadIdx.x; channel < op.channels; channel += BLOCK) sum += __ldg(means + channel);
    const float centre = block_sum(sum, partials[0]) * share;
    float squares = 0;
    for (unsigned channel = threadIdx.x; channel < op.channels; channel += BLOCK) {
        const float deviation = __ldg(means + channel) - centre;
        squares += deviation * deviation;
    }
    const float factor = rsqrtf(block_sum(squares, partials[1]) * share + op.eps);
    T* const output = static_cast<T*>(op.output) + size_t{blockIdx.x} * op.channels;
    for (unsigned channel = threadIdx.x; channel < op.channels; channel += BLOCK) {
        float value = (__ldg(means + channel) - centre) * factor;
        if (op.scale != nullptr) value = value * __ldg(op.scale + channel) + __ldg(op.shift + channel);
        output[channel] = rounded(value, T());
    }
}

#define KERNELS(type, T)                                                                                        \
    extern "C" __global__ void __launch_bounds__(BLOCK) pool_mean_##type(const PoolMean op) { pool_mean<T>(op); } \
    extern "C" __global__ void __launch_bounds__(BLOCK) pool_norm_##type(const PoolNorm op) { pool_norm<T>(op); }
KERNELS(f32, float)
KERNELS(f16, __half)
#if __CUDA_ARCH__ >= 800
KERNELS(bf16, __nv_bfloat16)
#endif
