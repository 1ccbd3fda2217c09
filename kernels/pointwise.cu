// A function of each number, or a weight of a map's own shape that is added to each image's.
//
// Shapes     input, output [images, numbers] in f16, bf16 or f32; weight [numbers] in f32, or null for the function. Any sizes; all aligned to
//            16 bytes.
// Functions  GELU_TANH x / (1 + e^-2z) with z = sqrt(2 / pi) (x + 0.044715 x^3), SILU x / (1 + e^-x), RELU max(x, 0). What is no number stays none.
// Launch     256 threads, 16 bytes a thread where an image is a multiple of that, else a number; grid (ceil(numbers / 256 / width), images).
// Bytes      The input once, the output once; the weight once an image, from L2.
// FLOPs      At most 12 a number.
#include "plain.cuh"

struct Pointwise {
    const void* input;
    void* output;
    const float* weight;
    // of an image
    unsigned numbers;
    unsigned function;
};

enum : unsigned { BLOCK = 256, GELU_TANH = 0, SILU = 1, RELU = 2 };

/// x / (1 + e^-z). Beyond e^80 the quotient is nothing, and so that the exponential stays a number.
__device__ inline float logistic_share(float x, float z) { return __fdividef(x, 1.0f + __expf(fminf(-z, 80.0f))); }

__device__ inline float of(unsigned function, float x) {
    if (function == GELU_TANH) return logistic_share(x, 1.5957691f * fmaf(0.044715f * x * x, x, x));
    if (function == SILU) return logistic_share(x, x);
    return x < 0.0f ? 0.0f : x;
}

template <typename T, unsigned WIDTH>
__device__ void pointwise(const Pointwise& op) {
    const unsigned at = (blockIdx.x * BLOCK + threadIdx.x) * WIDTH;
    if (at >= op.numbers) return;
    const size_t index = size_t{blockIdx.y} * op.numbers + at;
    float values[WIDTH];
    read(static_cast<const T*>(op.input) + index, values);
    if (op.weight != nullptr) {
        for (unsigned i = 0; i < WIDTH; i++) values[i] += __ldg(op.weight + at + i);
    } else {
        for (unsigned i = 0; i < WIDTH; i++) values[i] = of(op.function, values[i]);
    }
    write(static_cast<T*>(op.output) + index, values);
}

#define KERNELS(TYPE, NAME)                                                                              \
    extern "C" __global__ void __launch_bounds__(BLOCK) pointwise_##NAME(const Pointwise op) {           \
        pointwise<TYPE, 4 * Stored<TYPE>::A_WORD>(op);                                                   \
    }                                                                                                    \
    extern "C" __global__ void __launch_bounds__(BLOCK) pointwise_odd_##NAME(const Pointwise op) { pointwise<TYPE, 1>(op); }
KERNELS(float, f32)
KERNELS(__half, f16)
#if __CUDA_ARCH__ >= 800
KERNELS(__nv_bfloat16, bf16)
#endif
