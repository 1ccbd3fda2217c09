// What the parts of tensor_linear.cu share: the argument, and what becomes of sums.
// Not here: the product (tensor_linear.cu), where its rows come from (tensor_rows.cuh), what splits of K add up (tensor_splits.cuh).
#pragma once

#include "gelu.cuh"
#include "mma.cuh"

struct TensorLinear {
    const void* input;
    const void* weight;
    const float* bias;
    const float* scale;        // layer scale, or null
    const void* residual;      // of the output's type, and it may be the output; or null
    void* output;
    float4* partials;          // where K is split, the sums of each tile of the output: [tiles, splits, BM * BN / 4]
    unsigned* tickets;         // a counter for each tile of the output, where K is split
    const float* norm_scale;   // of a norm, a number for each value that is normed as one; or null, as the shift then is
    const float* norm_shift;
    unsigned rows;             // M, of all images
    unsigned outputs;          // N
    unsigned inputs;           // K
    unsigned splits;
    unsigned tiles_per_split;  // of K
    unsigned gelu;
    unsigned wide;             // output and residual are f32
    // Where rows are gathered from pixels. A plain row is an image of one row and one pixel, of K channels.
    unsigned rows_per_image;
    unsigned height;
    unsigned width;
    unsigned channels;
    unsigned across;           // patches side by side
    unsigned size;             // of a patch: rows and columns
    unsigned merged;           // a patch's pixels go down before they go right
    unsigned norms;            // of a row: 1, or one for each of its pixels
    float eps;
};

/// Whether eight neighbouring numbers of a row can be written at once, in 16 bits.
__device__ __forceinline__ bool by_eight(const TensorLinear& op) { return op.outputs % 8 == 0 && op.wide == 0; }

/// Writes act(sum + bias) * scale + residual to any place of any output.
template <typename T>
__device__ __forceinline__ void finish_number(const TensorLinear& op, size_t row, unsigned column, float sum) {
    const size_t at = row * op.outputs + column;
    sum += op.bias[column];
    if (op.gelu != 0) sum = gelu(sum);
    if (op.scale != nullptr) sum *= op.scale[column];
    if (op.wide != 0) {
        if (op.residual != nullptr) sum += static_cast<const float*>(op.residual)[at];
        static_cast<float*>(op.output)[at] = sum;
    } else {
        if (op.residual != nullptr) sum += static_cast<float>(static_cast<const T*>(op.residual)[at]);
        static_cast<T*>(op.output)[at] = static_cast<T>(sum);
    }
}

/// The same for eight neighbouring columns, where there are always eight.
template <typename T>
struct Columns {
    float bias[8], scale[8];

    Columns() = default;
    __device__ __forceinline__ Columns(const TensorLinear& op, unsigned column) {
        for (unsigned i = 0; i < 8; i++) scale[i] = 1;
        read(op.bias + column, bias);
        if (op.scale != nullptr) read(op.scale + column, scale);
    }

    /// What is added at the end, as it is stored; nothing where there is none.
    static __device__ __forceinline__ Packed<T, 8> residual(const TensorLinear& op, size_t at, bool there) {
        uint4 four = make_uint4(0, 0, 0, 0);
        // Not by `load`, which is for what nothing writes: it may be the output.
        if (there && op.residual != nullptr) four = *reinterpret_cast<const uint4*>(static_cast<const T*>(op.residual) + at);
        return Packed<T, 8>{{four.x, four.y, four.z, four.w}};
    }

    /// Writes to index `at` and the seven after it, where they are `there`.
    __device__ __forceinline__ void finish(
        const TensorLinear& op, size_t at, float (&sums)[8], const Packed<T, 8>& residual, bool there) const {
        for (unsigned i = 0; i < 8; i++) sums[i] += bias[i];
        if (op.gelu != 0) {
            for (unsigned i = 0; i < 8; i++) sums[i] = gelu(sums[i]);
        }
        if (op.residual != nullptr) {
            float added[8];
            residual.unpack(added);
            for (unsigned i = 0; i < 8; i++) sums[i] = fmaf(sums[i], scale[i], added[i]);
        } else if (op.scale != nullptr) {
            for (unsigned i = 0; i < 8; i++) sums[i] *= scale[i];
        }
        Packed<T, 8> packed;
        packed.pack(sums);
        if (there) store_whole(static_cast<T*>(op.output) + at, packed);
    }

private:
    static __device__ __forceinline__ void read(const float* from, float (&values)[8]) {
        Packed<float, 8> packed;
        load(from, packed);
        packed.unpack(values);
    }
};
