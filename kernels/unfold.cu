// The squares that a convolution reads, side by side: with a matrix product after it, any convolution.
//
// Shapes     input [images, height, width, channels] in f16, bf16 or f32; output [images, down, across, columns] in the same type:
//            [kernel, kernel, channels] of a square, zeros where it reaches beyond the map, and zeros behind it to `columns`; square (y, x) begins at row y * step - before and column x * step - before, and
//            its positions are `dilation` apart. Any sizes; all aligned to 16 bytes.
//            Of images (`unfold_image`) the input is a slot as in patch_embedding.cu, of three channels: pixels of u8, or normalised planes of
//            f32 or f16. A byte becomes byte * factor_c + rest_c, which is (byte / 255 - mean) / deviation; zeros are those of normalised pixels.
// Launch     256 threads; a block writes `rows` squares, its neighbours the next, 16 bytes a thread where channels are a multiple of that, else a
//            number. Grid: ceil(squares / rows), squares of all images.
// Bytes      The output once, in order; the input once from memory, and about (kernel / step)^2 times from L1 and L2.
// FLOPs      None; 2 a number of an image.
#include "plain.cuh"

struct Unfold {
    const unsigned char* input;
    void* output;
    unsigned height, width, channels;
    // squares of a column, of a row, of all images
    unsigned down, across, squares;
    unsigned kernel, step, dilation, before;
    // squares of a block
    unsigned rows;
    // of a slot: bytes to the first image, and from an image to the next
    unsigned first, stride;
    float factor_0, factor_1, factor_2;
    float rest_0, rest_1, rest_2;
    unsigned columns;
};

enum : unsigned { BLOCK = 256, BYTES = 0, F32_PLANES = 1 };

/// Where a number of the output comes from.
struct From {
    unsigned image, y, x;
    bool inside;
};

/// Of a square and a position in it.
__device__ inline From from(const Unfold& op, unsigned square, unsigned position) {
    const unsigned image = square / op.across / op.down;
    // what lies before the map wraps around to a number beyond it
    const unsigned y = square / op.across % op.down * op.step + position / op.kernel * op.dilation - op.before;
    const unsigned x = square % op.across * op.step + position % op.kernel * op.dilation - op.before;
    return {image, y, x, position < op.kernel * op.kernel && y < op.height && x < op.width};
}

/// Maps inside a network, `WIDTH` channels a thread.
template <typename T, unsigned WIDTH>
__device__ void of_maps(const Unfold& op) {
    const unsigned vectors = op.channels / WIDTH;
    const unsigned columns = op.columns / WIDTH;
    const unsigned first = blockIdx.x * op.rows;
    const unsigned rows = min(op.rows, op.squares - first);
    T* const output = static_cast<T*>(op.output) + size_t{first} * columns * WIDTH;
    for (unsigned i = threadIdx.x; i < rows * columns; i += BLOCK) {
        const unsigned column = i % columns;
        const From at = from(op, first + i / columns, column / vectors);
        float values[WIDTH] = {};
        if (at.inside) {
            const size_t pixel = (size_t{at.image} * op.height + at.y) * op.width + at.x;
            read(reinterpret_cast<const T*>(op.input) + pixel * op.channels + column % vectors * WIDTH, values);
        }
        write(output + size_t{i} * WIDTH, values);
    }
}

__device__ inline float of_channel(unsigned channel, float a, float b, float c) { return channel == 0 ? a : channel == 1 ? b : c; }

/// Images as they come.
template <typename T>
__device__ void of_images(const Unfold& op) {
    const unsigned columns = op.columns;
    const unsigned first = blockIdx.x * op.rows;
    const unsigned rows = min(op.rows, op.squares - first);
    T* const output = static_cast<T*>(op.output) + size_t{first} * columns;
    for (unsigned i = threadIdx.x; i < rows * columns; i += BLOCK) {
        const unsigned channel = i % columns % 3;
        const From at = from(op, first + i / columns, i % columns / 3);
        float value[1] = {};
        if (at.inside) {
            const unsigned format = __ldg(reinterpret_cast<const unsigned*>(op.input) + at.image);
            const unsigned char* const image = op.input + op.first + size_t{at.image} * op.stride;
            const size_t pixel = size_t{at.y} * op.width + at.x;
            const size_t in_planes = size_t{channel} * op.height * op.width + pixel;
            if (format == BYTES) {
                const float factor = of_channel(channel, op.factor_0, op.factor_1, op.factor_2);
                const float rest = of_channel(channel, op.rest_0, op.rest_1, op.rest_2);
                value[0] = fmaf(static_cast<float>(__ldg(image + pixel * 3 + channel)), factor, rest);
            } else if (format == F32_PLANES) {
                value[0] = __ldg(reinterpret_cast<const float*>(image) + in_planes);
            } else {
                value[0] = __half2float(__ldg(reinterpret_cast<const __half*>(image) + in_planes));
            }
        }
        write(output + i, value);
    }
}

#define KERNELS(TYPE, NAME)                                                                                       \
    extern "C" __global__ void __launch_bounds__(BLOCK) unfold_##NAME(const Unfold op) {                          \
        of_maps<TYPE, 4 * Stored<TYPE>::A_WORD>(op);                                                              \
    }                                                                                                             \
    extern "C" __global__ void __launch_bounds__(BLOCK) unfold_odd_##NAME(const Unfold op) { of_maps<TYPE, 1>(op); } \
    extern "C" __global__ void __launch_bounds__(BLOCK) unfold_image_##NAME(const Unfold op) { of_images<TYPE>(op); }
KERNELS(float, f32)
KERNELS(__half, f16)
#if __CUDA_ARCH__ >= 800
KERNELS(__nv_bfloat16, bf16)
#endif
