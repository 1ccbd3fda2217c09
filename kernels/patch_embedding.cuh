// What a patch of the stem is: the kernel's argument, and how the numbers of a patch come from images of either format.
// Not here: what they are multiplied with.
#pragma once

#include "norm_sums.cuh"

struct PatchEmbedding {
    const unsigned char* slot;
    void* output;
    const float* weight;
    const float* bias;
    const float* scale;
    const float* shift;
    // f32 sums [patches, outputs] of the plain kernel for its norm, perhaps the output itself; null without one
    float* sums;
    // a counter for the blocks that share patches, of which the last norms them
    unsigned* tickets;
    // bytes from the slot's start to the first image, and from an image to the next
    unsigned first;
    unsigned stride;
    unsigned height;
    unsigned width;
    unsigned size;
    unsigned outputs;
    // patches of all images, of a column, of a row
    unsigned patches;
    unsigned down;
    unsigned across;
    // whether a norm follows in the launch
    unsigned norm;
    float eps;
    float centre_0, centre_1, centre_2;
    float factor_0, factor_1, factor_2;
    float rest_0, rest_1, rest_2;
};

enum : unsigned { BYTES = 0, F32_PLANES = 1 };
/// Rows of a warp's tile; its depth; from a row of it to the next in shared memory.
enum : unsigned { M = 16, K = 48, PITCH = 56 };

__device__ inline float of_channel(unsigned channel, float a, float b, float c) { return channel == 0 ? a : channel == 1 ? b : c; }

/// A byte of a channel, as a number that is multiplied.
__device__ inline float from_byte(const PatchEmbedding& op, unsigned channel, unsigned byte) {
    return static_cast<float>(byte) - of_channel(channel, op.centre_0, op.centre_1, op.centre_2);
}

/// A normalised number of a channel, as a number that is multiplied.
__device__ inline float from_normalised(const PatchEmbedding& op, unsigned channel, float value) {
    const float factor = of_channel(channel, op.factor_0, op.factor_1, op.factor_2);
    return fmaf(value, factor, of_channel(channel, op.rest_0, op.rest_1, op.rest_2));
}

/// Where a patch is.
struct Patch {
    const unsigned char* image;
    unsigned format;
    // its first pixel's number in the image
    unsigned pixel;
};

__device__ inline Patch patch_of(const PatchEmbedding& op, unsigned patch) {
    const unsigned x = patch % op.across;
    const unsigned y = patch / op.across % op.down;
    const unsigned image = patch / op.across / op.down;
    const unsigned format = __ldg(reinterpret_cast<const unsigned*>(op.slot) + image);
    return {op.slot + op.first + size_t{image} * op.stride, format, (y * op.width + x) * op.size};
}

/// One number of a plane.
__device__ inline float plane_value(const Patch& at, size_t index) {
    if (at.format == F32_PLANES) return __ldg(reinterpret_cast<const float*>(at.image) + index);
    return read_one(reinterpret_cast<const __half*>(at.image) + index);
}

/// Twelve numbers of a patch's row, pixel by pixel.
enum : unsigned { ROW = 12 };

/// A row of a patch as bytes. A byte behind the exponent of 2^23 is 2^23 + byte, so that one subtraction is left.
__device__ inline void bytes_of_row(const PatchEmbedding& op, const Patch& at, unsigned pixel, float (&values)[ROW]) {
    const auto* const words = reinterpret_cast<const unsigned*>(at.image + size_t{pixel} * 3);
    unsigned three[3];
    for (unsigned w = 0; w < 3; w++) three[w] = __ldg(words + w);
    for (unsigned i = 0; i < ROW; i++) {
        const float centre = of_channel(i % 3, op.centre_0, op.centre_1, op.centre_2);
        values[i] = __uint_as_float(__byte_perm(three[i / 4], 0x4b000000, 0x7650 + i % 4)) - (8388608.0f + centre);
    }
}

/// A row of a patch from normalised planes.
__device__ inline void planes_of_row(const PatchEmbedding& op, const Patch& at, unsigned pixel, float (&values)[ROW]) {
    for (unsigned channel = 0; channel < 3; channel++) {
        const size_t index = size_t{channel} * op.height * op.width + pixel;
        float four[4];
        if (at.format == F32_PLANES) {
            Packed<float, 4> packed;
            load(reinterpret_cast<const float*>(at.image) + index, packed);
            packed.unpack(four);
        } else {
            Packed<__half, 4> packed;
            load(reinterpret_cast<const __half*>(at.image) + index, packed);
            packed.unpack(four);
        }
        for (unsigned x = 0; x < 4; x++) values[3 * x + channel] = from_normalised(op, channel, four[x]);
    }
}

/// Puts two rows of a lane's patch into the warp's tile: the upper two in the first half of the warp, the lower two in the second.
template <typename T>
__device__ void gather(const PatchEmbedding& op, const Patch& at, T* to) {
    const unsigned pixel = at.pixel + threadIdx.x % WARP / M * 2 * op.width;
    float rows[2][ROW];
    if (at.format == BYTES) {
        for (unsigned row = 0; row < 2; row++) bytes_of_row(op, at, pixel + row * op.width, rows[row]);
    } else {
        for (unsigned row = 0; row < 2; row++) planes_of_row(op, at, pixel + row * op.width, rows[row]);
    }
    Packed<T, 2 * ROW> packed;
    packed.pack(reinterpret_cast<const float(&)[2 * ROW]>(rows));
    for (unsigned i = 0; i < 3; i++) {
        const unsigned* const words = packed.words + 4 * i;
        // by name: NVRTC cuts some of them into four, which meet banks four times
        const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to + 8 * i));
        asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3]) : "memory");
    }
}

/// A lane's patch, from tile to tile: as far as the warp goes, without a division each time.
struct Walk {
    unsigned x, y, image;

    __device__ Walk(const PatchEmbedding& op, unsigned patch)
        : x(patch % op.across), y(patch / op.across % op.down), image(patch / op.across / op.down) {}

    __device__ void on(const PatchEmbedding& op, const Walk& step) {
        x += step.x;
        y += step.y;
        image += step.image;
        if (x >= op.across) {
            x -= op.across;
            y++;
        }
        if (y >= op.down) {
            y -= op.down;
            image++;
        }
    }

    __device__ Patch patch(const PatchEmbedding& op) const {
        const unsigned format = __ldg(reinterpret_cast<const unsigned*>(op.slot) + image);
        return {op.slot + op.first + size_t{image} * op.stride, format, (y * op.width + x) * op.size};
    }
};
