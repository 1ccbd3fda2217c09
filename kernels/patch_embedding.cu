// The stem: patches of an image, times a weight, plus bias, and optionally a LayerNorm over the outputs of each patch.
//
// Shapes     slot: u32 format[images], up to a multiple of 256 bytes; then every `stride` bytes an image, by its format: 0 for pixels
//            [height, width, 3] of u8, 1 for normalised planes [3, height, width] of f32, 2 for such of f16. weight [outputs, size, size, 3]
//            in f32; output [images, height / size, width / size, outputs] in f16, bf16 or f32; bias, scale, shift [outputs] in f32, scale and
//            shift both null where the norm has none; all aligned to 16 bytes. Rows and columns beyond a multiple of size are not read.
// Numbers    A byte of channel c enters as byte - centre_c, an integer below 256, which is exact in every type; a normalised x as
//            x * factor_c + rest_c, rounded to the output's type. The weight is scaled so that what it multiplies may be that large, and by 2^7
//            more, which keeps it from f16's subnormals; 2^-7 is undone on the f32 sums. It is no number of the checkpoint any more, so one
//            rounding to 16 bits would be an error that is the same at every patch of every image: tensor cores multiply with two parts, high
//            as the type has it and low what is left, of the type too. Products with low are summed first, where they are small.
// FLOPs      6 * size^2 * patches * outputs; by tensor cores twice that.
//
// tensor     size 4, width a multiple of 4, outputs a multiple of 8 and at most 192, or 256, f16 and bf16. A warp takes 16 patches at a time
//            and all outputs: 48 = 3 * 16 are its products' depth, and a row's norm stays among four lanes. Kernels for 96, 128, 192, 256
//            outputs, and `few` for the others. Grid: blocks of 4 or 2 warps; each warp takes every so many-th 16 patches, so that the weight
//            is read once a block.
//   Tile     16 x 48 numbers. A lane reads two rows of a patch, 12 bytes each or 4 columns of the three planes; neighbouring lanes have
//            neighbouring patches.
//   Outputs  of 32, a fragment's column 2 q + j of tile n is output 8 q + 2 n + j: so four tiles leave a lane eight outputs that are neighbours,
//            which it writes as they are, and four lanes 64 bytes of a row. The weight's rows lie in that order.
//   Shared   high, [outputs][48], then low; outputs are rounded up to a multiple of 32, with zeros. Vectors of 8 of row r at n ^ (r >> 2 & 1):
//            neither ldmatrix nor writes in order meet a bank twice. Then bias, scale and shift in f32; then for each warp its [16][56]
//            numbers (rows of 112 bytes: neither ldmatrix nor stores of 16 bytes a row meet a bank twice).
//   Bytes    input once, output once, in whole sectors; weight once a block.
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
        const float* const weights = op.weight + size_t{output} * depth + from;
#pragma unroll 1
        for (unsigned k = 0; k < here; k++) {
            const float weight = __ldg(weights + k);
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

/// Four matrices of 8 rows of 16 bytes; lane i gives the address of row i % 8 of matrix i / 8.
__device__ inline void matrices(unsigned address, unsigned (&fragments)[4]) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(fragments[0]), "=r"(fragments[1]), "=r"(fragments[2]), "=r"(fragments[3])
                 : "r"(address)
                 : "memory");
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

/// Outputs that four tiles share, so that each lane has eight neighbours.
enum : unsigned { GROUP = 32 };

/// Splits the weight into two parts in shared memory, `rows` of each; zeros past the last output.
template <typename T>
__device__ void split(const PatchEmbedding& op, unsigned rows, T* high, T* low) {
    for (unsigned i = threadIdx.x; i < rows * (K / 4); i += blockDim.x) {
        const unsigned row = i / (K / 4);
        // a row's number in its group of 32 is n, q, j, and its output's q, n, j
        const unsigned output = (row & ~30u) | (row >> 2 & 6) | (row << 2 & 24);
        float values[4] = {};
        if (output < op.outputs) {
            Packed<float, 4> packed;
            load(op.weight + output * K + i % (K / 4) * 4, packed);
            packed.unpack(values);
        }
        const unsigned to = (i ^ (row >> 2 & 1) * 2) * 4;
        Packed<T, 4> part;
        part.pack(values);
        store(high + to, part);
        float rounded[4];
        part.unpack(rounded);
        for (unsigned k = 0; k < 4; k++) values[k] -= rounded[k];
        part.pack(values);
        store(low + to, part);
    }
}

/// `MOST`: groups of 32 outputs that registers are for; `WHOLE`: that there are just as many.
template <typename T, unsigned MOST, bool WHOLE>
__device__ void tensor(const PatchEmbedding& op) {
    extern __shared__ uint4 shared[];
    const unsigned lane = threadIdx.x % WARP;
    const unsigned warps = blockDim.x / WARP;
    const unsigned outputs = WHOLE ? MOST * GROUP : op.outputs;
    const unsigned rows = (outputs + GROUP - 1) / GROUP * GROUP;
    T* const high = reinterpret_cast<T*>(shared);
    T* const low = high + rows * K;
    float* const vectors = reinterpret_cast<float*>(low + rows * K);
    T* const tile = reinterpret_cast<T*>(vectors + 3 * rows) + threadIdx.x / WARP * M * PITCH;
    split(op, rows, high, low);
    for (unsigned i = threadIdx.x; i < rows; i += blockDim.x) {
        const bool inside = WHOLE || i < outputs;
        vectors[i] = inside ? __ldg(op.bias + i) : 0.0f;
        vectors[rows + i] = inside && op.scale != nullptr ? __ldg(op.scale + i) : 1.0f;
        vectors[2 * rows + i] = inside && op.scale != nullptr ? __ldg(op.shift + i) : 0.0f;
    }
    __syncthreads();

    // Where all tiles are there, the branch is never taken: it keeps the assembler from beginning so many of them at once that registers spill.
    const auto past = [&](unsigned n, unsigned step) { return n % step == 0 && n * 8 >= (WHOLE ? op.outputs : rows); };
    const unsigned column = lane % 4 * 8;
    // whether a lane has outputs of a group: without, its sums are zeros
    const auto inside = [&](unsigned g) { return WHOLE || g * GROUP + column < outputs; };
    const float* const own_vectors = vectors + column;
    const auto at = [](const T* place) { return static_cast<unsigned>(__cvta_generic_to_shared(place)); };
    const unsigned tile_at = at(tile + lane % M * PITCH + lane / M * 8);
    // the first 32 of a row's depth in either part; the last 16 in both
    const unsigned flip = lane / 4 % 2;
    const unsigned high_at = at(high + lane % 8 * K + (lane / 8 ^ flip) * 8);
    const unsigned last_at = at((lane < 16 ? high : low) + lane % 8 * K + (4 + (lane / 8 % 2 ^ flip)) * 8);
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
        float sums[4 * MOST][4];
#pragma unroll
        for (unsigned n = 0; n < 4 * MOST; n++) {
            if (past(n, 2)) break;
            unsigned b[4], last[4];
            for (float& sum : sums[n]) sum = 0;
            matrices(high_at + rows * K * 2 + n * 16 * K, b);
            matrices(last_at + n * 16 * K, last);
            multiply<T>(sums[n], a[0], b);
            multiply<T>(sums[n], a[1], b + 2);
            multiply<T>(sums[n], a[2], last + 2);
            matrices(high_at + n * 16 * K, b);
            multiply<T>(sums[n], a[0], b);
            multiply<T>(sums[n], a[1], b + 2);
            multiply<T>(sums[n], a[2], last);
            const float2 bias = *reinterpret_cast<const float2*>(own_vectors + n / 4 * GROUP + n % 4 * 2);
            for (unsigned i = 0; i < 4; i++) sums[n][i] = scaled_down(sums[n][i], i % 2 == 0 ? bias.x : bias.y);
        }
        if (op.norm) {
            const float share = 1.0f / static_cast<float>(outputs);
            float mean[2] = {}, factor[2] = {};
#pragma unroll
            for (unsigned n = 0; n < 4 * MOST; n++) {
                if (past(n, 4)) break;
                for (unsigned i = 0; i < 4; i++) mean[i / 2] += sums[n][i];
            }
            for (float& sum : mean) sum = row_sum(sum) * share;
#pragma unroll
            for (unsigned n = 0; n < 4 * MOST; n++) {
                if (past(n, 4)) break;
                for (unsigned i = 0; i < 4; i++) {
                    sums[n][i] -= mean[i / 2];
                    if (inside(n / 4)) factor[i / 2] += sums[n][i] * sums[n][i];
                }
            }
            for (float& sum : factor) sum = rsqrtf(row_sum(sum) * share + op.eps);
#pragma unroll
            for (unsigned n = 0; n < 4 * MOST; n++) {
                if (past(n, 4)) break;
                const float* const affine = own_vectors + n / 4 * GROUP + n % 4 * 2;
                const float2 scale = *reinterpret_cast<const float2*>(affine + rows);
                const float2 shift = *reinterpret_cast<const float2*>(affine + 2 * rows);
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
#pragma unroll
        for (unsigned half = 0; half < 2; half++) {
            const unsigned row = first + lane_again / 4 + 8 * half;
            if (row >= op.patches) break;
            T* const to = static_cast<T*>(op.output) + size_t{row} * outputs + lane_again % 4 * 8;
#pragma unroll
            for (unsigned g = 0; g < MOST; g++) {
                if (past(4 * g, 4)) break;
                Packed<T, 8> eight;
                for (unsigned n = 0; n < 4; n++) eight.words[n] = Stored<T>::pack(sums[4 * g + n] + 2 * half);
                if (inside(g)) store(to + g * GROUP, eight);
            }
        }
    }
}

#define KERNEL extern "C" __global__ void
#define PLAIN(TYPE, NAME) KERNEL __launch_bounds__(PLAIN_BLOCK) patch_embedding_plain_##NAME(const PatchEmbedding op) { plain<TYPE>(op); }
#define TENSOR(TYPE, NAME, OUTPUTS, BLOCKS) \
    KERNEL __launch_bounds__(128, BLOCKS) patch_embedding_##OUTPUTS##_##NAME(const PatchEmbedding op) { tensor<TYPE, OUTPUTS / GROUP, true>(op); }
#define FAST(TYPE, NAME)       \
    TENSOR(TYPE, NAME, 96, 4)  \
    TENSOR(TYPE, NAME, 128, 4) \
    TENSOR(TYPE, NAME, 192, 3) \
    TENSOR(TYPE, NAME, 256, 2) \
    KERNEL __launch_bounds__(128, 3) patch_embedding_few_##NAME(const PatchEmbedding op) { tensor<TYPE, 6, false>(op); }

PLAIN(float, f32)
PLAIN(__half, f16)
FAST(__half, f16)
#if __CUDA_ARCH__ >= 800
PLAIN(__nv_bfloat16, bf16)
FAST(__nv_bfloat16, bf16)
#endif
