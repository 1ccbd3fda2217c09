// What kernels share: how values are stored, and how they move between memory and f32 registers.
// Not here: any operation of a network.
#pragma once

#include <cuda_fp16.h>
#if __CUDA_ARCH__ >= 800
#include <cuda_bf16.h>
#endif

// Enumerators, for NVRTC makes a variable in the module of a constant at this scope, used or not.
enum : unsigned { WARP = 32, ALL_LANES = 0xffffffff };

/// A value as it is stored: how many share a word of 32 bits, and that word as floats and back (to the nearest even).
template <typename T>
struct Stored;

template <>
struct Stored<float> {
    enum : unsigned { A_WORD = 1 };
    static __device__ void unpack(unsigned word, float* values) { values[0] = __uint_as_float(word); }
    static __device__ unsigned pack(const float* values) { return __float_as_uint(values[0]); }
};

template <>
struct Stored<__half> {
    enum : unsigned { A_WORD = 2 };
    static __device__ void unpack(unsigned word, float* values) {
        const float2 pair = __half22float2(reinterpret_cast<const __half2&>(word));
        values[0] = pair.x;
        values[1] = pair.y;
    }
    static __device__ unsigned pack(const float* values) {
        const __half2 pair = __floats2half2_rn(values[0], values[1]);
        return reinterpret_cast<const unsigned&>(pair);
    }
};

#if __CUDA_ARCH__ >= 800
template <>
struct Stored<__nv_bfloat16> {
    enum : unsigned { A_WORD = 2 };
    // A bf16 is the upper half of an f32.
    static __device__ void unpack(unsigned word, float* values) {
        values[0] = __uint_as_float(word << 16);
        values[1] = __uint_as_float(word & 0xffff0000);
    }
    static __device__ unsigned pack(const float* values) {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(values[0], values[1]);
        return reinterpret_cast<const unsigned&>(pair);
    }
};
#endif

/// `N` values as they are stored.
template <typename T, unsigned N>
struct Packed {
    enum : unsigned { WORDS = N / Stored<T>::A_WORD };
    static_assert(WORDS == 1 || WORDS == 2 || WORDS % 4 == 0, "no load or store of so many bytes");
    unsigned words[WORDS];

    __device__ void unpack(float (&values)[N]) const {
        for (unsigned i = 0; i < WORDS; i++) Stored<T>::unpack(words[i], values + i * Stored<T>::A_WORD);
    }
    __device__ void pack(const float (&values)[N]) {
        for (unsigned i = 0; i < WORDS; i++) words[i] = Stored<T>::pack(values + i * Stored<T>::A_WORD);
    }
};

/// Reads values from memory that nothing writes while the kernel runs; `from` is aligned to them all, or to 16 bytes.
template <typename T, unsigned N>
__device__ void load(const T* from, Packed<T, N>& values) {
    constexpr unsigned WORDS = Packed<T, N>::WORDS;
    if constexpr (WORDS == 1) {
        values.words[0] = __ldg(reinterpret_cast<const unsigned*>(from));
    } else if constexpr (WORDS == 2) {
        const uint2 pair = __ldg(reinterpret_cast<const uint2*>(from));
        values.words[0] = pair.x;
        values.words[1] = pair.y;
    } else {
        for (unsigned i = 0; i < WORDS; i += 4) {
            const uint4 four = __ldg(reinterpret_cast<const uint4*>(from) + i / 4);
            values.words[i] = four.x;
            values.words[i + 1] = four.y;
            values.words[i + 2] = four.z;
            values.words[i + 3] = four.w;
        }
    }
}

/// Writes 16 bytes by one instruction, where the compiler has made four of them, which pass L2 four times.
template <typename T, unsigned N>
__device__ void store_whole(T* to, const Packed<T, N>& values) {
    static_assert(Packed<T, N>::WORDS == 4, "16 bytes");
    const unsigned* const words = values.words;
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(words[0]), "r"(words[1]),
                 "r"(words[2]), "r"(words[3])
                 : "memory");
}

/// Writes values; `to` is aligned as for `load`.
template <typename T, unsigned N>
__device__ void store(T* to, const Packed<T, N>& values) {
    constexpr unsigned WORDS = Packed<T, N>::WORDS;
    const unsigned* const words = values.words;
    if constexpr (WORDS == 1) {
        *reinterpret_cast<unsigned*>(to) = words[0];
    } else if constexpr (WORDS == 2) {
        *reinterpret_cast<uint2*>(to) = make_uint2(words[0], words[1]);
    } else {
        for (unsigned i = 0; i < WORDS; i += 4) {
            reinterpret_cast<uint4*>(to)[i / 4] = make_uint4(words[i], words[i + 1], words[i + 2], words[i + 3]);
        }
    }
}
