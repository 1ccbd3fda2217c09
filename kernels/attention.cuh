// What both forms of window attention share: the argument, and where the positions of a window stand in the map.
// Not here: the arithmetic of attention (`attention_plain.cuh`, `attention_tensor.cuh`).
#pragma once

#include "common.cuh"

struct Attention {
    const void* input;
    void* output;
    // [differences, heads]
    const float* bias;
    // [3 * channels]; null where no window is padded
    const float* padding;
    unsigned height;
    unsigned width;
    // padded to whole windows
    unsigned padded_height;
    unsigned padded_width;
    // of the output: heads * dim
    unsigned channels;
    unsigned heads;
    unsigned window_height;
    unsigned window_width;
    // by how much the map is rolled up and left
    unsigned shift_height;
    unsigned shift_width;
    // the map is padded first and rolled then, or the other way round
    unsigned pads_first;
    // heads of a block, and blocks of a window: of the tensor cores' form
    unsigned group;
    unsigned groups;
    // the row of the table for a position and itself, which is also the last position's place
    unsigned middle;
    // numbers of a head's table in shared memory, and where it says NO_KEY to a query at place 0: of the tensor cores' form
    unsigned pitch;
    unsigned no_key;
    // 65536 / n + 1 of window_width and of group: `quotient` divides by them
    unsigned width_reciprocal;
    unsigned group_reciprocal;
    // 1 / sqrt(dim)
    float scale;
    // 0, of which the compiler knows nothing
    unsigned zero;
};

/// Added to scores between regions, as in timm and transformers.
#define MASKED (-100.0f)
#define SMALLEST (-3.402823466e38f)
#define LOG2_E 1.44269504088896340736f

/// What is said of a position beside its pixel, which has the bits below.
enum : unsigned {
    PIXEL = (1u << 28) - 1,
    // it is among the last rows or columns, which the roll has brought here from the other side
    REGION = 3u << 28,
    LAST_ROWS = 1u << 28,
    LAST_COLUMNS = 2u << 28,
    // there is no pixel, but padding
    PADDED = 1u << 30,
};

/// A position of a window.
struct Position {
    /// The pixel of the map, and what is said of it. Any pixel where there is none, so that it can be read.
    unsigned pixel;
    /// Query minus key, and `middle` more, is the row of the table of biases.
    int place;
};

/// The window of a block: how many are above it and left of it.
struct Window {
    unsigned down;
    unsigned across;

    __device__ bool is_last_down(const Attention& op) const { return (down + 1) * op.window_height == op.padded_height; }
    __device__ bool is_last_across(const Attention& op) const { return (across + 1) * op.window_width == op.padded_width; }

    /// Whether the roll has brought pixels of two sides of the map together in it.
    __device__ bool is_masked(const Attention& op) const {
        return (op.shift_height > 0 && is_last_down(op)) || (op.shift_width > 0 && is_last_across(op));
    }
};

/// index / n for an index below 1024, by 65536 / n + 1 for n up to 32.
__device__ unsigned quotient(unsigned index, unsigned reciprocal) { return index * reciprocal >> 16; }

/// The row or column of the map that has come to stand at `at`; the side or more where padding has.
__device__ unsigned source_line(unsigned at, unsigned side, unsigned padded, unsigned shift, unsigned pads_first) {
    const unsigned around = pads_first ? padded : side;
    if (at >= around) return side;
    return at + shift < around ? at + shift : at + shift - around;
}

/// The position of an index in a window.
__device__ Position position_of(const Attention& op, Window window, unsigned index) {
    const unsigned y = quotient(index, op.width_reciprocal), x = index - y * op.window_width;
    const unsigned down = window.down * op.window_height + y, across = window.across * op.window_width + x;
    const unsigned row = source_line(down, op.height, op.padded_height, op.shift_height, op.pads_first);
    const unsigned column = source_line(across, op.width, op.padded_width, op.shift_width, op.pads_first);
    unsigned pixel = row < op.height && column < op.width ? row * op.width + column : PADDED;
    if (down >= op.padded_height - op.shift_height) pixel |= LAST_ROWS;
    if (across >= op.padded_width - op.shift_width) pixel |= LAST_COLUMNS;
    return Position{pixel, static_cast<int>(y * (2 * op.window_width - 1) + x)};
}

/// 2^x within two units in the last place; 0 for what is below the normal numbers.
__device__ float power_of_two(float x) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
}

/// 1 / x within a unit in the last place, for normal numbers.
__device__ float reciprocal(float x) {
    float share;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(share) : "f"(x));
    return share;
}
