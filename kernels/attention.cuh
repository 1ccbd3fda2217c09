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
    // heads of a block, and warps of a head: of the tensor cores' form
    unsigned group;
    unsigned split;
    // 1 / sqrt(dim)
    float scale;
};

/// What stands at a place of a window instead of a pixel.
enum : int { PADDING = -1, NOTHING = -2 };
/// A region of `Position::place`; the bits below are the place in the table.
enum : unsigned { REGION = 1u << 24 };

/// A place of a window.
struct Position {
    /// The pixel in the map, or what is there instead.
    int pixel;
    /// Query minus key gives the row of the table, times sizeof(float), less that of two equal places; and from REGION on, whether the
    /// place is among the last rows (1) and columns (2), which the roll has brought here from the other side.
    unsigned place;
};

/// Added to scores between regions, as in timm and transformers.
#define MASKED (-100.0f)
#define SMALLEST (-3.402823466e38f)
#define LOG2_E 1.44269504088896340736f

/// The window of a block: how many are above it and left of it.
struct Window {
    unsigned down;
    unsigned across;

    /// Whether the roll has brought pixels of two sides of the map together in it.
    __device__ bool is_masked(const Attention& op) const {
        return (op.shift_height > 0 && (down + 1) * op.window_height >= op.height) ||
               (op.shift_width > 0 && (across + 1) * op.window_width >= op.width);
    }
};

/// A row or column of the map, by that of the rolled and padded map; negative where there is none.
__device__ int source_line(unsigned at, unsigned side, unsigned window, unsigned shift, unsigned pads_first) {
    const unsigned padded = (side + window - 1) / window * window;
    if (!pads_first && at >= side) return PADDING;
    const unsigned around = pads_first ? padded : side;
    const unsigned source = at + shift < around ? at + shift : at + shift - around;
    return source < side ? static_cast<int>(source) : PADDING;
}

/// The position of an index in a window.
__device__ Position position_of(const Attention& op, Window window, unsigned index) {
    if (index >= op.window_height * op.window_width) return Position{NOTHING, 0};
    const unsigned y = index / op.window_width, x = index % op.window_width;
    const unsigned down = window.down * op.window_height + y, across = window.across * op.window_width + x;
    const int row = source_line(down, op.height, op.window_height, op.shift_height, op.pads_first);
    const int column = source_line(across, op.width, op.window_width, op.shift_width, op.pads_first);
    const int pixel = row < 0 || column < 0 ? PADDING : row * static_cast<int>(op.width) + column;
    unsigned place = (y * (2 * op.window_width - 1) + x) * static_cast<unsigned>(sizeof(float));
    const bool last_rows = (window.down + 1) * op.window_height >= op.height && y >= op.window_height - op.shift_height;
    const bool last_columns = (window.across + 1) * op.window_width >= op.width && x >= op.window_width - op.shift_width;
    if (last_rows) place += REGION;
    if (last_columns) place += 2 * REGION;
    return Position{pixel, place};
}

/// Bytes from the begin of a head's table to the bias of a place and itself.
__device__ unsigned middle_of(const Attention& op) {
    const unsigned middle = (op.window_height - 1) * (2 * op.window_width - 1) + op.window_width - 1;
    return middle * static_cast<unsigned>(sizeof(float));
}

/// 2^x within two units in the last place; 0 for what is below the normal numbers.
__device__ float power_of_two(float x) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
}
