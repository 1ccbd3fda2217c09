// A norm over the last axis: output = (input - mean) / sqrt(variance + eps) * scale + shift, the variance biased: LayerNorm. Of the kinds RMS and
// SIMPLE, which have kernels of their own, the mean stays in: RMS divides by sqrt(mean of squares + eps), SIMPLE by sqrt(variance + eps) with the
// unbiased variance.
//
// Shapes     input, output [rows, channels] in f16, bf16 or f32, which do not overlap; scale, shift [channels] in f32, or
//            both null; all aligned to 16 bytes. rows any; channels at most 4096.
// Launch     block (lanes, R): `lanes` threads a row, R rows, lanes * R a multiple of 32 and at most 256. lanes is the
//            least power of two that is at least channels / 16 and, up to 32, channels / (values in 16 bytes): a row's
//            load is contiguous. Up to 512 channels a row is a warp's or a part of one, without barriers; 1024, 2048
//            and 4096 take 2, 4 and 8 warps. lanes follow from channels alone, so that a row has the same bits in any
//            batch. Grid: ceil(rows / R) blocks, or fewer: each takes every gridDim.x-th R rows.
// Bytes      2 * rows * channels * sizeof(T): a row stays in registers from its load to its store. And 8 * channels a
//            row of threads, once: scale and shift stay in registers too.
// FLOPs      7 * rows * channels.
// Tile       16 channels a thread, 16 bytes a load; where rows are not aligned to that (channels no multiple of 8, in f32
//            of 4), 2 channels a load. Rows of an odd length have kernels of their own, 1 channel a load.
// Shared     64 bytes: the block's partial sums, one a warp; two sets, so that one barrier a sum is enough.
//
// The variance is that of the deviations: E[x²] - mean² loses all digits where the mean is far from zero.
#include "plain.cuh"

struct LayerNorm {
    const void* input;
    void* output;
    const float* scale;
    const float* shift;
    unsigned rows;
    unsigned channels;
    float eps;
    // of what is no LayerNorm
    unsigned kind;
};

enum : unsigned { RMS = 1, SIMPLE = 2 };
enum : unsigned { BLOCK = 256, VALUES = 16 };

/// The sum over a row's lanes, the same bits in each of them. Every thread of the block must come here.
__device__ float row_sum(float sum, float* partials) {
    const unsigned lanes = blockDim.x < WARP ? blockDim.x : WARP;
    // A row's lanes are a power of two that divides the warp: no step leaves the row.
    for (unsigned step = lanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, step);
    if (blockDim.x <= WARP) return sum;
    const unsigned warps = blockDim.x / WARP;
    float* const row = partials + threadIdx.y * warps;
    if (threadIdx.x % WARP == 0) row[threadIdx.x / WARP] = sum;
    __syncthreads();
    sum = 0;
#pragma unroll 1
    for (unsigned warp = 0; warp < warps; warp++) sum += row[warp];
    return sum;
}

template <typename T, unsigned WIDTH, bool LAYER>
__device__ void norm_rows(const LayerNorm& op, float (&partials)[2][BLOCK / WARP]) {
    constexpr unsigned LOADS = VALUES / WIDTH;
    const unsigned first = threadIdx.x * WIDTH;
    const unsigned stride = blockDim.x * WIDTH;

    float scale[LOADS][WIDTH], shift[LOADS][WIDTH];
    for (unsigned i = 0; i < LOADS; i++) {
        const unsigned channel = first + i * stride;
        for (unsigned j = 0; j < WIDTH; j++) {
            scale[i][j] = 1;
            shift[i][j] = 0;
        }
        if (op.scale != nullptr && channel < op.channels) {
            read(op.scale + channel, scale[i]);
            read(op.shift + channel, shift[i]);
        }
    }

    const float share = 1.0f / static_cast<float>(op.channels);
    // The whole block takes every turn, also where it is past the last row: there are barriers and shuffles in it.
    for (size_t top = size_t{blockIdx.x} * blockDim.y; top < op.rows; top += size_t{gridDim.x} * blockDim.y) {
        const size_t row = top + threadIdx.y;
        const unsigned end = row < op.rows ? op.channels : 0;

        const T* const input = static_cast<const T*>(op.input) + row * op.channels;
        float values[LOADS][WIDTH];
        for (unsigned i = 0; i < LOADS; i++) {
            const unsigned channel = first + i * stride;
            if (channel < end) read(input + channel, values[i]);
        }
        float sum = 0;
        for (unsigned i = 0; i < LOADS; i++) {
            if (first + i * stride >= end) break;
            for (float value : values[i]) sum += value;
        }
        // What squares are about; RMS takes them about 0.
        float mean = row_sum(sum, partials[0]) * share;
        if (!LAYER && op.kind == RMS) mean = 0;

        float squares = 0;
        for (unsigned i = 0; i < LOADS; i++) {
            if (first + i * stride >= end) break;
            for (float& value : values[i]) {
                value -= mean;
                squares += value * value;
            }
        }
        const float of_squares = !LAYER && op.kind == SIMPLE ? 1.0f / static_cast<float>(op.channels - 1) : share;
        const float factor = rsqrtf(row_sum(squares, partials[1]) * of_squares + op.eps);

        T* const output = static_cast<T*>(op.output) + row * op.channels;
        for (unsigned i = 0; i < LOADS; i++) {
            const unsigned channel = first + i * stride;
            if (channel >= end) break;
            for (unsigned j = 0; j < WIDTH; j++) {
                if (!LAYER) values[i][j] += mean;
                values[i][j] = values[i][j] * factor * scale[i][j] + shift[i][j];
            }
            write(output + channel, values[i]);
        }
    }
}

template <typename T, bool LAYER>
__device__ void norm(const LayerNorm& op) {
    constexpr unsigned WIDEST = 4 * Stored<T>::A_WORD;
    __shared__ float partials[2][BLOCK / WARP];
    if (op.channels % WIDEST == 0) {
        norm_rows<T, WIDEST, LAYER>(op, partials);
    } else {
        norm_rows<T, 2, LAYER>(op, partials);
    }
}

template <typename T, bool LAYER>
__device__ void norm_odd(const LayerNorm& op) {
    __shared__ float partials[2][BLOCK / WARP];
    norm_rows<T, 1, LAYER>(op, partials);
}

// Three blocks an SM: 24 warps with two loads each in flight are more than any card's latency asks for. Two of what is no LayerNorm, whose mean
// lives longer.
#define KERNELS(TYPE, NAME)                                                                                                        \
    extern "C" __global__ void __launch_bounds__(BLOCK, 3) layer_norm_##NAME(const LayerNorm op) { norm<TYPE, true>(op); }         \
    extern "C" __global__ void __launch_bounds__(BLOCK, 3) layer_norm_odd_##NAME(const LayerNorm op) { norm_odd<TYPE, true>(op); } \
    extern "C" __global__ void __launch_bounds__(BLOCK, 2) other_norm_##NAME(const LayerNorm op) { norm<TYPE, false>(op); }        \
    extern "C" __global__ void __launch_bounds__(BLOCK, 2) other_norm_odd_##NAME(const LayerNorm op) { norm_odd<TYPE, false>(op); }
KERNELS(float, f32)
KERNELS(__half, f16)
#if __CUDA_ARCH__ >= 800
KERNELS(__nv_bfloat16, bf16)
#endif
