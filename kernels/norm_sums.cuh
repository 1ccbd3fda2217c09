// LayerNorm of rows of f32 sums that other blocks left in memory, in an earlier launch or in this one, for operations whose blocks do not see a
// whole row.
// Any number of channels, and no speed beyond coalesced reads: networks of the usual widths do not come here.
#pragma once

#include "common.cuh"

/// The sum over a warp, the same bits in each lane.
__device__ inline float warp_sum(float sum) {
    for (unsigned step = WARP / 2; step > 0; step /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, step);
    return sum;
}

/// A value alone, to the nearest.
__device__ inline void write_one(float* to, float value) { *to = value; }
__device__ inline void write_one(__half* to, float value) { *to = __float2half_rn(value); }
__device__ inline float read_one(const float* from) { return __ldg(from); }
__device__ inline float read_one(const __half* from) { return __half2float(__ldg(from)); }
#if __CUDA_ARCH__ >= 800
__device__ inline void write_one(__nv_bfloat16* to, float value) { *to = __float2bfloat16_rn(value); }
__device__ inline float read_one(const __nv_bfloat16* from) { return __bfloat162float(__ldg(from)); }
#endif

/// output = (sums - mean) / sqrt(variance + eps) * scale + shift of `rows` rows from the first on, a warp a row, by the block's warps; scale and
/// shift may both be null, and the output may be the sums. The variance is that of the deviations.
template <typename T>
__device__ void norm_sums(const float* sums, T* output, const float* scale, const float* shift, size_t first, size_t rows,
                          unsigned channels, float eps) {
    const unsigned lane = threadIdx.x % WARP;
    for (size_t row = threadIdx.x / WARP; row < rows; row += blockDim.x / WARP) {
        // other blocks of this launch may have written them
        const float* const from = sums + (first + row) * channels;
        T* const to = output + (first + row) * channels;
        float sum = 0;
        for (unsigned channel = lane; channel < channels; channel += WARP) sum += __ldcg(from + channel);
        const float mean = warp_sum(sum) / static_cast<float>(channels);
        float squares = 0;
        for (unsigned channel = lane; channel < channels; channel += WARP) {
            const float off = __ldcg(from + channel) - mean;
            squares += off * off;
        }
        const float factor = rsqrtf(warp_sum(squares) / static_cast<float>(channels) + eps);
        for (unsigned channel = lane; channel < channels; channel += WARP) {
            float value = (__ldcg(from + channel) - mean) * factor;
            if (scale != nullptr) value = value * __ldg(scale + channel) + __ldg(shift + channel);
            write_one(to + channel, value);
        }
    }
}
