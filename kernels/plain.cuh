// What the plain kernels share: a few values from and to memory in any type, and sums over a warp and a block.
// Not here: tiles.
#pragma once

#include "common.cuh"

__device__ inline float rounded(float value, float) { return value; }
__device__ inline __half rounded(float value, __half) { return __float2half_rn(value); }
#if __CUDA_ARCH__ >= 800
__device__ inline __nv_bfloat16 rounded(float value, __nv_bfloat16) { return __float2bfloat16_rn(value); }
#endif

/// Whether N values are whole words, so that they move as one.
template <typename T, unsigned N>
constexpr bool WHOLE_WORDS = N % Stored<T>::A_WORD == 0;

/// Reads N values that nothing writes while the kernel runs; aligned to them all.
template <typename T, unsigned N>
__device__ void read(const T* from, float (&values)[N]) {
    if constexpr (WHOLE_WORDS<T, N>) {
        Packed<T, N> packed;
        load(from, packed);
        packed.unpack(values);
    } else {
        for (unsigned i = 0; i < N; i++) values[i] = __ldg(from + i);
    }
}

/// The same, of what the kernel itself writes later.
template <typename T, unsigned N>
__device__ void read_before_write(const T* from, float (&values)[N]) {
    if constexpr (WHOLE_WORDS<T, N>) {
        Packed<T, N> packed;
        unsigned* const words = packed.words;
        if constexpr (Packed<T, N>::WORDS == 1) {
            words[0] = *reinterpret_cast<const unsigned*>(from);
        } else if constexpr (Packed<T, N>::WORDS == 2) {
            const uint2 pair = *reinterpret_cast<const uint2*>(from);
            words[0] = pair.x;
            words[1] = pair.y;
        } else {
            static_assert(Packed<T, N>::WORDS == 4, "at most 16 bytes");
            const uint4 four = *reinterpret_cast<const uint4*>(from);
            words[0] = four.x;
            words[1] = four.y;
            words[2] = four.z;
            words[3] = four.w;
        }
        packed.unpack(values);
    } else {
        for (unsigned i = 0; i < N; i++) values[i] = from[i];
    }
}

/// Writes N values, rounded to the nearest.
template <typename T, unsigned N>
__device__ void write(T* to, const float (&values)[N]) {
    if constexpr (WHOLE_WORDS<T, N>) {
        Packed<T, N> packed;
        packed.pack(values);
        store(to, packed);
    } else {
        for (unsigned i = 0; i < N; i++) to[i] = rounded(values[i], T());
    }
}

/// The sum over a warp, the same bits in each lane.
__device__ inline float warp_sum(float sum) {
#pragma unroll
    for (unsigned step = WARP / 2; step > 0; step /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, step);
    return sum;
}

/// The sum over a block of WARPS warps along x, the same bits in each thread. `partials` may be used again after the next barrier.
template <unsigned WARPS>
__device__ float block_sum(float sum, float (&partials)[WARPS]) {
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) partials[threadIdx.x / WARP] = sum;
    __syncthreads();
    sum = 0;
    for (unsigned warp = 0; warp < WARPS; warp++) sum += partials[warp];
    return sum;
}
