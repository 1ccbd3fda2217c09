// LayerNorm of rows of f32 sums that an earlier launch left in scratch memory, for operations whose own launch does not see a whole row.
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

/// output = (sums - mean) / sqrt(variance + eps) * scale + shift, a warp a row; scale and shift may both be null. The variance is that of
/// the deviations.
template <typename T>
__device__ void norm_sums(const float* sums, T* output, const float* scale, const float* shift, size_t rows,
                          unsigned channels, float eps) {
    const size_t row = size_t{blockIdx.x} * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (row >= rows) return;
    const unsigned lane = threadIdx.x % WARP;
    const float* const from = sums + row * channels;
    T* const to = output + row * channels;
    float sum = 0;
    for (unsigned channel = lane; channel < channels; channel += WARP) sum += __ldg(from + channel);
    const float mean = warp_sum(sum) / static_cast<float>(channels);
    float squares = 0;
    for (unsigned channel = lane; channel < channels; channel += WARP) {
        const float off = __ldg(from + channel) - mean;
        squares += off * off;
    }
    const float factor = rsqrtf(warp_sum(squares) / static_cast<float>(channels) + eps);
    for (unsigned channel = lane; channel < channels; channel += WARP) {
        float value = (__ldg(from + channel) - mean) * factor;
        if (scale != nullptr) value = value * __ldg(scale + channel) + __ldg(shift + channel);
        write_one(to + channel, value);
    }
}
