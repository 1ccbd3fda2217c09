// The stem: patches of an image, times a weight, plus bias, and optionally a LayerNorm over the outputs of each patch.
//
// Shapes     slot: u32 format[images], up to a multiple of 256 bytes; then every `stride` bytes an image, by its format: 0 for pixels
//            [height, width, 3] of u8, 1 for normalised planes [3, height, width] of f32, 2 for such of f16. weight [outputs, size, size, 3],
//            output [images, height / size, width / size, outputs], both f16, bf16 or f32; bias, scale, shift [outputs] in f32, scale and
//            shift both null where the norm has none; all aligned to 16 bytes. Rows and columns beyond a multiple of size are not read.
// Numbers    A byte of channel c enters as byte - centre_c, an integer below 256, which is exact in every type; a normalised x as
//            x * factor_c + rest_c, rounded to the type. The weight is scaled so that what it multiplies may be that large, and by 2^7 more,
//            which keeps it from f16's subnormals; 2^-7 is undone on the f32 sums.
// FLOPs      6 * size^2 * patches * outputs.
//
// tensor     size 4, width a multiple of 4, outputs a multiple of 8 and at most 192, or 256, f16 and bf16. A warp takes 16 patches at a time
//            and all outputs: 48 = 3 * 16 are its products' depth, and a row's norm stays among four lanes. Kernels for 96, 128, 192, 256
//            outputs, and `few` for the others. Grid: blocks of 4 or 2 warps; each warp takes every so many-th 16 patches, so that the weight
//            is read once a block.
//   Tile     16 x 48 numbers. A lane reads two rows of a patch, 12 bytes each or 4 columns of the three planes; neighbouring lanes have
//            neighbouring patches.
//   Shared   the weight, [outputs][56]; bias, scale and shift in f32; then for each warp its [16][56] numbers (rows of 112 bytes: neither
//            ldmatrix nor stores of 16 bytes a row meet a bank twice), into whose place the outputs come: 16 rows of outputs / 8 vectors, vector n
//            of row r at n ^ (r >> swizzle_shift & swizzle_mask), so that neither writes of fragments nor reads of rows meet a bank twice.
//   Bytes    input once, output once, in whole rows; weight once a block.
// plain      everything else: a thread computes one output of 8 patches, whose numbers lie in shared memory, DEPTH of each at a time. Grid:
//            (patches / 8, outputs / 128). With a norm it leaves f32 sums in scratch, or in the output where that is f32, which
//            the last block of the patches norms.
#include "last_block.cuh"
#include "patch_embedding.cuh"

enum : unsigned { PLAIN_PATCHES = 8, PLAIN_BLOCK = 128, DEPTH = 96 };

/// What was scaled up by 2^7 in the weight.
__device__ inline float scaled_down(float sum, float bias) { return fmaf(sum, 0.0078125f, bias); }

template <typename T>
__device__ void plain(const PatchEmbedding& op) {
    __shared__ float numbers[PLAIN_PATCHES][DEPTH];
    const unsigned depth = op.size * op.size * 3;
    const unsigned first = blockIdx.x * PLAIN_PATCHES;
    const unsigned output = blockIdx.y * PLAIN_BLOCK + threadIdx.x;
    float sums[PLAIN_PATCHES] = {};
#pragma unroll 1
    for (unsigned from = 0; from < depth; from += DEPTH) {
        const unsigned here = depth - from < DEPTH ? depth - from : DEPTH;
        if (from > 0) __syncthreads();
#pragma unroll 1
        for (unsigned i = threadIdx.x; i < PLAIN_PATCHES * DEPTH; i += PLAIN_BLOCK) {
            const unsigned patch = first + i / DEPTH;
            const unsigned k = from + i % DEPTH;
            if (patch >= op.patches || k >= depth) continue;
            const Patch at = patch_of(op, patch);
            const unsigned channel = k % 3;
            const size_t pixel = at.pixel + k / 3 / op.size * op.width + k / 3 % op.size;
            float value;
            if (at.format == BYTES) {
                value = from_byte(op, channel, __ldg(at.image + pixel * 3 + channel));
            } else {
                value = from_normalised(op, channel, plane_value(at, size_t{channel} * op.height * op.width + pixel));
            }
            T stored;
            write_one(&stored, value);
            numbers[i / DEPTH][i % DEPTH] = static_cast<float>(stored);
        }
        __syncthreads();
        if (output >= op.outputs) continue;
        const T* const weights = static_cast<const T*>(op.weight) + size_t{output} * depth + from;
#pragma unroll 1
        for (unsigned k = 0; k < here; k++) {
            const float weight = read_one(weights + k);
            for (unsigned p = 0; p < PLAIN_PATCHES; p++) {
                if (first + p < op.patches) sums[p] = fmaf(numbers[p][k], weight, sums[p]);
            }
        }
    }
    if (output < op.outputs) {
        const float bias = __ldg(op.bias + output);
        for (unsigned p = 0; p < PLAIN_PATCHES && first + p < op.patches; p++) {
            const float value = scaled_down(sums[p], bias);
            const size_t at = size_t{first + p} * op.outputs + output;
            if (op.sums != nullptr) {
                op.sums[at] = value;
            } else {
                write_one(static_cast<T*>(op.output) + at, value);
            }
        }
    }
    if (op.sums == nullptr) return;
    __shared__ unsigned word;
    if (!is_last_block(op.tickets + blockIdx.x, gridDim.y, &word)) return;
    const unsigned rows = min(op.patches - first, static_cast<unsigned>(PLAIN_PATCHES));
    norm_sums(op.sums, static_cast<T*>(op.output), op.scale, op.shift, first, rows, op.outputs, op.eps);
}

/// Four matrices of 8 rows of 16 bytes, or two; lane i gives the address of row i % 8 of matrix i / 8.
__device__ inline void matrices(unsigned address, unsigned (&fragments)[4]) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(fragments[0]), "=r"(fragments[1]), "=r"(fragments[2]), "=r"(fragments[3])
                 : "r"(address)
                 : "memory");
}
__device__ inline void matrices(unsigned address, unsigned& first, unsigned& second) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(first), "=r"(second) : "r"(address) : "memory");
}

/// sums += a * b, 16 x 8 by a depth of 16.
template <typename T>
__device__ void multiply(float (&sums)[4], const unsigned (&a)[4], const unsigned* b);

template <>
__device__ inline void multiply<__half>(float (&sums)[4], const unsigned (&a)[4], const unsigned* b) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    for (unsigned i = 0; i < 2; i++) {
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                     : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                     : "r"(a[2 * i]), "r"(a[2 * i + 1]), "r"(b[i]));
    }
#endif
}

#if __CUDA_ARCH__ >= 800
template <>
__device__ inline void multiply<__nv_bfloat16>(float (&sums)[4], const unsigned (&a)[4], const unsigned* b) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

/// The sum over the four lanes that share a row, the same bits in each of them.
__device__ inline float row_sum(float sum) {
    sum += __shfl_xor_sync(ALL_LANES, sum, 2);
    return sum + __shfl_xor_sync(ALL_LANES, sum, 1);
}

/// `MOST`: tiles of 8 outputs that registers are for; `WHOLE`: that there are just as many.
template <typename T, unsigned MOST, bool WHOLE>
__device__ void tensor(const PatchEmbedding& op) {
    extern __shared__ uint4 shared[];
    const unsigned lane = threadIdx.x % WARP;
    const unsigned warps = blockDim.x / WARP;
    const unsigned tiles = WHOLE ? MOST : op.outputs / 8;
    const unsigned outputs = tiles * 8;
    T* const weight = reinterpret_cast<T*>(shared);
    float* const vectors = reinterpret_cast<float*>(weight + outputs * PITCH);
    T* const tile = reinterpret_cast<T*>(vectors + 3 * outputs) + threadIdx.x / WARP * max(M * PITCH, M * outputs);
    for (unsigned i = threadIdx.x; i < outputs * (K / 8); i += blockDim.x) {
        const uint4 eight = __ldg(static_cast<const uint4*>(op.weight) + i);
        *reinterpret_cast<uint4*>(weight + i / (K / 8) * PITCH + i % (K / 8) * 8) = eight;
    }
    for (unsigned i = threadIdx.x; i < outputs; i += blockDim.x) {
        vectors[i] = __ldg(op.bias + i);
        vectors[outputs + i] = op.scale == nullptr ? 1.0f : __ldg(op.scale + i);
        vectors[2 * outputs + i] = op.scale == nullptr ? 0.0f : __ldg(op.shift + i);
    }
    __syncthreads();

    // Where all tiles are there, the branch is never taken: it keeps the assembler from beginning so many of them at once that registers spill.
    const auto past = [&](unsigned n) { return (!WHOLE || n % 4 == 0) && n * 8 >= op.outputs; };
    const unsigned column = lane % 4 * 2;
    const float* const own_vectors = vectors + column;
    const unsigned tile_at = static_cast<unsigned>(__cvta_generic_to_shared(tile + lane % M * PITCH + lane / M * 8));
    const unsigned weight_at = static_cast<unsigned>(__cvta_generic_to_shared(weight + lane % 8 * PITCH + lane / 8 * 8));
    const unsigned last_weight_at = static_cast<unsigned>(__cvta_generic_to_shared(weight + lane % 8 * PITCH + 32 + lane / 8 % 2 * 8));
    const unsigned stride = gridDim.x * warps * M;
    const unsigned begin = (blockIdx.x * warps + threadIdx.x / WARP) * M;
    const Walk step(op, stride);
    Walk own(op, begin + lane % M);
    for (unsigned first = begin; first < op.patches; first += stride) {
        // what is past the last patch is computed of the first, and not written
        const Patch patch = first + lane % M < op.patches ? own.patch(op) : Walk(op, 0).patch(op);
        own.on(op, step);
        gather(op, patch, tile + lane % M * PITCH + lane / M * 2 * ROW);
        __syncwarp();
        unsigned a[K / 16][4];
        for (unsigned k = 0; k < K / 16; k++) matrices(tile_at + k * 32, a[k]);
        __syncwarp();
        float sums[MOST][4];
#pragma unroll
        for (unsigned n = 0; n < MOST; n++) {
            if (past(n)) break;
            unsigned b[K / 8];
            unsigned(&most)[4] = reinterpret_cast<unsigned(&)[4]>(b);
            matrices(weight_at + n * 16 * PITCH, most);
            matrices(last_weight_at + n * 16 * PITCH, b[4], b[5]);
            for (float& sum : sums[n]) sum = 0;
            for (unsigned k = 0; k < K / 16; k++) multiply<T>(sums[n], a[k], b + 2 * k);
            const float2 bias = *reinterpret_cast<const float2*>(own_vectors + n * 8);
            for (unsigned i = 0; i < 4; i++) sums[n][i] = scaled_down(sums[n][i], i % 2 == 0 ? bias.x : bias.y);
        }
        if (op.norm) {
            const float share = 1.0f / static_cast<float>(outputs);
            float mean[2] = {}, factor[2] = {};
#pragma unroll
            for (unsigned n = 0; n < MOST; n++) {
                if (past(n)) break;
                for (unsigned i = 0; i < 4; i++) mean[i / 2] += sums[n][i];
            }
            for (float& sum : mean) sum = row_sum(sum) * share;
#pragma unroll
            for (unsigned n = 0; n < MOST; n++) {
                if (past(n)) break;
                for (unsigned i = 0; i < 4; i++) {
                    sums[n][i] -= mean[i / 2];
                    factor[i / 2] += sums[n][i] * sums[n][i];
                }
            }
            for (float& sum : factor) sum = rsqrtf(row_sum(sum) * share + op.eps);
#pragma unroll
            for (unsigned n = 0; n < MOST; n++) {
                if (past(n)) break;
                const float2 scale = *reinterpret_cast<const float2*>(own_vectors + outputs + n * 8);
                const float2 shift = *reinterpret_cast<const float2*>(own_vectors + 2 * outputs + n * 8);
                for (unsigned i = 0; i < 4; i++) sums[n][i] *= factor[i / 2];
                for (unsigned i = 0; i < 4; i += 2) {
                    sums[n][i] = fmaf(sums[n][i], scale.x, shift.x);
                    sums[n][i + 1] = fmaf(sums[n][i + 1], scale.y, shift.y);
                }
            }
        }
        // What follows from the lane here is computed for each tile: there are no registers to keep it.
        unsigned lane_again = lane;
        asm volatile("" : "+r"(lane_again));
        const unsigned row = lane_again / 4;
        const unsigned swizzle = row >> op.swizzle_shift & op.swizzle_mask;
#pragma unroll
        for (unsigned n = 0; n < MOST; n++) {
            if (past(n)) break;
            T* const to = tile + row * outputs + (n ^ swizzle) * 8 + column;
            *reinterpret_cast<unsigned*>(to) = Stored<T>::pack(sums[n]);
            *reinterpret_cast<unsigned*>(to + 8 * outputs) = Stored<T>::pack(sums[n] + 2);
        }
        __syncwarp();
        uint4* const output = static_cast<uint4*>(op.output) + size_t{first} * tiles;
        const unsigned vectors_here = min(op.patches - first, static_cast<unsigned>(M)) * tiles;
        const auto write = [&](unsigned i) {
            const unsigned from = i / tiles, vector = i % tiles;
            const unsigned at = vector ^ (from >> op.swizzle_shift & op.swizzle_mask);
            if (i < vectors_here) output[i] = *reinterpret_cast<const uint4*>(tile + from * outputs + at * 8);
        };
        if constexpr (WHOLE) {
#pragma unroll
            for (unsigned i = 0; i < M * MOST; i += WARP) write(i + lane_again);
        } else {
#pragma unroll 1
            for (unsigned i = 0; i < M * tiles; i += WARP) write(i + lane_again);
        }
        __syncwarp();
    }
}

#define KERNEL extern "C" __global__ void
#define PLAIN(TYPE, NAME) KERNEL __launch_bounds__(PLAIN_BLOCK) patch_embedding_plain_##NAME(const PatchEmbedding op) { plain<TYPE>(op); }
#define TENSOR(TYPE, NAME, OUTPUTS, BLOCKS) \
    KERNEL __launch_bounds__(128, BLOCKS) patch_embedding_##OUTPUTS##_##NAME(const PatchEmbedding op) { tensor<TYPE, OUTPUTS / 8, true>(op); }
#define FAST(TYPE, NAME)       \
    TENSOR(TYPE, NAME, 96, 4)  \
    TENSOR(TYPE, NAME, 128, 4) \
    TENSOR(TYPE, NAME, 192, 3) \
    TENSOR(TYPE, NAME, 256, 2) \
    KERNEL __launch_bounds__(128, 3) patch_embedding_few_##NAME(const PatchEmbedding op) { tensor<TYPE, 24, false>(op); }

PLAIN(float, f32)
PLAIN(__half, f16)
FAST(__half, f16)
#if __CUDA_ARCH__ >= 800
PLAIN(__nv_bfloat16, bf16)
FAST(__nv_bfloat16, bf16)
#endif
