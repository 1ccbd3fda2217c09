// Global response normalisation: output = input + scale * (input * n) + shift, where n = g / (mean of g over channels + eps) and g is
// the L2 norm of a channel over all positions of an image. Two launches: squares, apply.
//
// Shapes     input, output [images, rows, channels] in f16, bf16 or f32, which may be one; scale, shift [channels] in f32;
//            partials [images, splits, channels] and factors [images, channels] in f32. Any sizes; all aligned to 16 bytes.
// Launch     8 warps, each every 8th row of a part of the rows, the same channels: 4 a lane, or one where 4 do not divide them. Grid:
//            images * splits * blocks, where `blocks` cover the channels; an image's blocks next to each other, of them a part's.
//            In grn_squares the last of an image's blocks makes its factors.
// Shared     grn_squares: the warps' sums, 32 lanes' channels each, which a warp writes and the first reads as they lie: 1
//            and 4 KiB for the two widths; 36 bytes for the factors.
// Bytes      The input twice, the output once; 8 * images * splits * channels for the partial sums.
// FLOPs      4 * images * rows * channels.
//
// No atomics: the order of a sum follows from the launch's shape.
#include "last_block.cuh"
#include "plain.cuh"

struct Grn {
    const void* input;
    void* output;
    const float* scale;
    const float* shift;
    float* partials;
    float* factors;
    // a counter an image
    unsigned* tickets;
    unsigned rows;
    unsigned channels;
    // Blocks that cover the channels.
    unsigned blocks;
    // Parts of an image's rows, and the rows of each.
    unsigned splits;
    unsigned rows_of_split;
    float eps;
};

enum : unsigned { BLOCK = 256, WARPS = BLOCK / WARP };

/// What a thread works on.
struct Part {
    size_t image;
    unsigned split;
    // The first of the lane's channels, perhaps beyond the last.
    unsigned channel;
    unsigned first_row;
    unsigned end_row;
};

template <unsigned WIDTH>
__device__ Part part_of(const Grn& op) {
    Part part;
    part.channel = (blockIdx.x % op.blocks * WARP + threadIdx.x % WARP) * WIDTH;
    const unsigned splits = blockIdx.x / op.blocks;
    part.image = splits / op.splits;
    part.split = splits % op.splits;
    const unsigned first = part.split * op.rows_of_split;
    part.first_row = first + threadIdx.x / WARP;
    part.end_row = min(first + op.rows_of_split, op.rows);
    return part;
}

template <typename T, unsigned WIDTH>
__device__ void squares(const Grn& op) {
    __shared__ float partials[WARPS][WARP * WIDTH];
    const Part part = part_of<WIDTH>(op);
    const unsigned lane = threadIdx.x % WARP;
    const unsigned warp = threadIdx.x / WARP;
    const bool there = part.channel < op.channels;

    float sums[WIDTH] = {};
    if (there) {
        const T* const input = static_cast<const T*>(op.input) + part.image * op.rows * op.channels + part.channel;
#pragma unroll 4
        for (unsigned row = part.first_row; row < part.end_row; row += WARPS) {
            float values[WIDTH];
            read(input + size_t{row} * op.channels, values);
            for (unsigned i = 0; i < WIDTH; i++) sums[i] = fmaf(values[i], values[i], sums[i]);
        }
    }
    for (unsigned i = 0; i < WIDTH; i++) partials[warp][i * WARP + lane] = sums[i];
    __syncthreads();
    if (warp > 0 || !there) return;
    for (unsigned i = 0; i < WIDTH; i++) {
        float sum = 0;
        for (unsigned other = 0; other < WARPS; other++) sum += partials[other][i * WARP + lane];
        sums[i] = sum;
    }
    write(op.partials + (part.image * op.splits + part.split) * op.channels + part.channel, sums);
}

template <typename T, unsigned WIDTH>
__device__ void apply(const Grn& op) {
    const Part part = part_of<WIDTH>(op);
    if (part.channel >= op.channels) return;
    float factors[WIDTH], shifts[WIDTH];
    read(op.factors + part.image * op.channels + part.channel, factors);
    read(op.shift + part.channel, shifts);
    const size_t first = part.image * op.rows * op.channels + part.channel;
    const T* const input = static_cast<const T*>(op.input) + first;
    T* const output = static_cast<T*>(op.output) + first;
    for (unsigned top = part.first_row; top < part.end_row; top += 4 * WARPS) {
        // Four loads before the first store: the compiler must not think that they are of one array.
        float values[4][WIDTH];
#pragma unroll
        for (unsigned i = 0; i < 4; i++) {
            const unsigned row = top + i * WARPS;
            if (row < part.end_row) read_before_write(input + size_t{row} * op.channels, values[i]);
        }
#pragma unroll
        for (unsigned i = 0; i < 4; i++) {
            const unsigned row = top + i * WARPS;
            if (row >= part.end_row) break;
            for (unsigned j = 0; j < WIDTH; j++) values[i][j] = fmaf(values[i][j], factors[j], shifts[j]);
            write(output + size_t{row} * op.channels, values[i]);
        }
    }
}

/// By what each channel of an image is multiplied: 1 + scale * n, from what other blocks wrote.
__device__ inline void factors(const Grn& op, size_t image) {
    __shared__ float sums[WARPS];
    const float* const partials = op.partials + image * op.splits * op.channels;
    float* const factors = op.factors + image * op.channels;
    float sum = 0;
    for (unsigned channel = threadIdx.x; channel < op.channels; channel += BLOCK) {
        float squares = 0;
#pragma unroll 8
        for (unsigned split = 0; split < op.splits; split++) {
            squares += __ldcg(partials + size_t{split} * op.channels + channel);
        }
        const float norm = sqrtf(squares);
        factors[channel] = norm;
        sum += norm;
    }
    const float mean = block_sum(sum, sums) / static_cast<float>(op.channels);
    // Each thread reads what it wrote itself.
    for (unsigned channel = threadIdx.x; channel < op.channels; channel += BLOCK) {
        factors[channel] = 1 + __ldg(op.scale + channel) * (factors[channel] / (mean + op.eps));
    }
}

template <typename T>
__device__ void grn_squares(const Grn& op) {
    if (op.channels % 4 == 0) {
        squares<T, 4>(op);
    } else {
        squares<T, 1>(op);
    }
    __shared__ unsigned word;
    const unsigned parts = op.splits * op.blocks;
    const unsigned image = blockIdx.x / parts;
    if (is_last_block(op.tickets + image, parts, &word)) factors(op, image);
}

template <typename T>
__device__ void grn_apply(const Grn& op) {
    if (op.channels % 4 == 0) {
        apply<T, 4>(op);
    } else {
        apply<T, 1>(op);
    }
}

#define KERNEL extern "C" __global__ void __launch_bounds__(BLOCK)

KERNEL grn_squares_f32(const Grn op) { grn_squares<float>(op); }
KERNEL grn_squares_f16(const Grn op) { grn_squares<__half>(op); }
KERNEL grn_apply_f32(const Grn op) { grn_apply<float>(op); }
KERNEL grn_apply_f16(const Grn op) { grn_apply<__half>(op); }
#if __CUDA_ARCH__ >= 800
KERNEL grn_squares_bf16(const Grn op) { grn_squares<__nv_bfloat16>(op); }
KERNEL grn_apply_bf16(const Grn op) { grn_apply<__nv_bfloat16>(op); }
#endif
