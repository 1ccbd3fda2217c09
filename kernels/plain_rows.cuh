// What the kernels of plain_linear.cu are given, and where the rows of their product come from: as they lie, from patches or
// merged pixels, normed on the way.
// Not here: the product.
#pragma once

#include "plain.cuh"

struct PlainLinear {
    const void* input;
    const void* weight;
    const float* bias;
    const float* scale;
    const void* residual;
    void* output;
    // Mean and factor, one pair a row, of PATCHES one a pixel.
    float2* moments;
    // Of a norm: a number for each value that is normed as one. Both or neither.
    const float* norm_scale;
    const float* norm_shift;
    // Of all images.
    unsigned rows;
    unsigned inputs;
    unsigned outputs;
    // PLAIN, PATCHES or MERGED.
    unsigned kind;
    // Rows an image, and squares in a row of the map.
    unsigned count;
    unsigned across;
    unsigned height;
    unsigned width;
    unsigned channels;
    // Side of a square.
    unsigned side;
    // Whether 4 inputs from a multiple of 4 on lie together, aligned, in one pixel.
    unsigned together;
    unsigned gelu;
    // Whether output and residual are f32.
    unsigned logits;
    float eps;
};

enum : unsigned { PLAIN, PATCHES, MERGED };

/// Where a row begins, and what of its square is on the map.
struct Row {
    bool there;
    // Of all pixels of all images; a PLAIN row is a pixel.
    size_t pixel;
    // Lines and columns from it on.
    unsigned lines;
    unsigned columns;
    // Mean and factor of a row that is normed as one.
    float2 moments;
};

__device__ Row locate(const PlainLinear& op, size_t row) {
    Row at = {row < op.rows, row, 1, 1, {0, 1}};
    if (!at.there) return at;
    if (op.kind != PLAIN) {
        const unsigned image = static_cast<unsigned>(row) / op.count;
        const unsigned square = static_cast<unsigned>(row) % op.count;
        const unsigned top = square / op.across * op.side;
        const unsigned left = square % op.across * op.side;
        at.pixel = (size_t{image} * op.height + top) * op.width + left;
        at.lines = op.height - top;
        at.columns = op.width - left;
    }
    if (op.moments != nullptr && op.kind != PATCHES) at.moments = op.moments[row];
    return at;
}

/// The pixel of a row's k-th value, from the row's first; false beyond the map. `k` becomes the place in the pixel (in a PLAIN row or where
/// `whole_lines` the place in a line of the square).
__device__ bool pixel_of(const PlainLinear& op, const Row& row, bool whole_lines, unsigned& k, unsigned& pixel) {
    pixel = 0;
    if (op.kind == PLAIN) return true;
    const unsigned length = whole_lines ? op.side * op.channels : op.channels;
    const unsigned part = k / length;
    k -= part * length;
    unsigned y = part, x = 0;
    if (op.kind == MERGED) {
        y = part % 2;
        x = part / 2;
    } else if (!whole_lines) {
        y = part / op.side;
        x = part % op.side;
    }
    pixel = y * op.width + x;
    return y < row.lines && x < row.columns;
}

/// Moves values on by one, the last for the first.
__device__ void push(float (&values)[4], float last) {
    values[0] = values[1];
    values[1] = values[2];
    values[2] = values[3];
    values[3] = last;
}

/// A value as a norm makes it; `place` is that of its scale and shift.
__device__ float normed_one(const PlainLinear& op, float value, float2 moments, unsigned place) {
    value = (value - moments.x) * moments.y;
    if (op.norm_scale != nullptr) value = fmaf(value, __ldg(op.norm_scale + place), __ldg(op.norm_shift + place));
    return value;
}

/// Four values of a row as they are stored, and what to norm them with.
template <typename T>
struct Quad {
    Packed<T, 4> packed;
    float2 moments;

    __device__ void clear() {
        for (unsigned& word : packed.words) word = 0;
        moments = {0, 1};
    }

    /// Values k to k + 3 of a row; zeros where there are none. Those that do not lie together are normed here.
    __device__ void take(const PlainLinear& op, const Row& row, unsigned k) {
        clear();
        if (!row.there || k >= op.inputs) return;
        const bool by_pixel = op.kind == PATCHES && op.moments != nullptr;
        const bool whole_lines = op.kind == PATCHES && !by_pixel;
        const T* const input = static_cast<const T*>(op.input);
        const size_t length = op.kind == PLAIN ? op.inputs : op.channels;
        if (op.together) {
            unsigned pixel;
            moments = row.moments;
            if (!pixel_of(op, row, whole_lines, k, pixel)) return;
            load(input + (row.pixel + pixel) * length + k, packed);
            if (by_pixel) moments = __ldg(op.moments + row.pixel + pixel);
            return;
        }
        float values[4] = {};
        // One after another: code that is seldom run should be short.
#pragma unroll 1
        for (unsigned at = k; at < k + 4; at++) {
            float value = 0;
            if (at < op.inputs) {
                unsigned inside = at, pixel;
                float2 own = row.moments;
                if (pixel_of(op, row, whole_lines, inside, pixel)) {
                    value = __ldg(input + (row.pixel + pixel) * length + inside);
                    if (by_pixel) own = __ldg(op.moments + row.pixel + pixel);
                }
                if (op.moments != nullptr) value = normed_one(op, value, own, by_pixel ? inside : at);
            }
            push(values, value);
        }
        packed.pack(values);
    }

    /// Values k to k + 3 of a row of the weight; zeros where there are none.
    __device__ void take_weight(const PlainLinear& op, unsigned output, unsigned k) {
        clear();
        if (output >= op.outputs || k >= op.inputs) return;
        const T* const weight = static_cast<const T*>(op.weight) + size_t{output} * op.inputs + k;
        if (op.together) return load(weight, packed);
        float values[4] = {};
#pragma unroll 1
        for (unsigned i = 0; i < 4; i++) push(values, k + i < op.inputs ? static_cast<float>(__ldg(weight + i)) : 0);
        packed.pack(values);
    }

    __device__ void values(float (&values)[4]) const { packed.unpack(values); }

    /// The same of values k to k + 3 of a row, normed where `take` has not done it.
    __device__ void normed_values(const PlainLinear& op, unsigned k, float (&values)[4]) const {
        packed.unpack(values);
        if (op.moments == nullptr || !op.together || k >= op.inputs) return;
        for (float& value : values) value = (value - moments.x) * moments.y;
        if (op.norm_scale != nullptr) {
            // Computed again: a register for it would be one too many while products are added.
            const unsigned place = op.kind == PATCHES ? k % op.channels : k;
            const float4 scale = __ldg(reinterpret_cast<const float4*>(op.norm_scale + place));
            const float4 shift = __ldg(reinterpret_cast<const float4*>(op.norm_shift + place));
            values[0] = fmaf(values[0], scale.x, shift.x);
            values[1] = fmaf(values[1], scale.y, shift.y);
            values[2] = fmaf(values[2], scale.z, shift.z);
            values[3] = fmaf(values[3], scale.w, shift.w);
        }
        Packed<T, 4> stored;
        stored.pack(values);
        stored.unpack(values);
    }
};
