// Attention in shifted windows (Swin): in each window and head softmax(q·kᵀ / sqrt(d) + bias + mask) · v, d = channels / heads.
//
// Shapes     input [images, height, width, 3 * channels]: q, k and v of all heads one after another; output [images, height, width,
//            channels], both in f16, bf16 or f32; bias [differences, heads] and padding [3 * channels] in f32. All aligned to 16 bytes.
//            Windows up to 32 × 32 that fit the map, shifts less than theirs. Arrays do not overlap.
// Forms      attention_T: any type and head (`attention_plain.cuh`). attention_KEYS_T: f16 and bf16, heads of 32 channels,
//            windows of up to KEYS positions, by tensor cores (`attention_tensor.cuh`). Launch and shared memory stand there.
// Windows    Nothing is rolled, padded or cut: a block finds the pixels of its window by index arithmetic, once for all heads, and with
//            them places in the table of biases and regions of the mask. Padding has q, k and v that the bias of the
//            linear operation before gives it; its outputs are not written.
// Bytes      4 * channels * sizeof(T) a pixel: input once, output once. Scores and probabilities never leave the chip.
// FLOPs      4 * area * channels a pixel, and 2^x of area * heads.
// Rounding   Scores, softmax and sums in f32. The scale is applied to the scores in f32. The tensor cores' form rounds the
//            exponentials, of which the largest of a query is 1, to T for the product with v, and divides after it.
#include "attention_plain.cuh"
#include "attention_tensor.cuh"

#define PLAIN extern "C" __global__ void __launch_bounds__(PLAIN_BLOCK)
PLAIN attention_f32(const Attention op) { attention_plain<float>(op); }
PLAIN attention_f16(const Attention op) { attention_plain<__half>(op); }
#if __CUDA_ARCH__ >= 800
PLAIN attention_bf16(const Attention op) { attention_plain<__nv_bfloat16>(op); }
#endif

// Four blocks an SM, that is 128 registers: their loads are more than any card's latency asks for.
#define TENSOR extern "C" __global__ void __launch_bounds__(TENSOR_BLOCK, 4)
#define LARGE extern "C" __global__ void __launch_bounds__(3 * WARP, 4)
TENSOR attention_16_f16(const Attention op) { attention_tensor<__half, 2, 1>(op); }
TENSOR attention_56_f16(const Attention op) { attention_tensor<__half, 7, 1>(op); }
TENSOR attention_64_f16(const Attention op) { attention_tensor<__half, 8, 1>(op); }
LARGE attention_144_f16(const Attention op) { attention_tensor<__half, 18, 3>(op); }
#if __CUDA_ARCH__ >= 800
TENSOR attention_16_bf16(const Attention op) { attention_tensor<__nv_bfloat16, 2, 1>(op); }
TENSOR attention_56_bf16(const Attention op) { attention_tensor<__nv_bfloat16, 7, 1>(op); }
TENSOR attention_64_bf16(const Attention op) { attention_tensor<__nv_bfloat16, 8, 1>(op); }
LARGE attention_144_bf16(const Attention op) { attention_tensor<__nv_bfloat16, 18, 3>(op); }
#endif
