// Matrix product with all that stands about it, for every type and shape: output = act(norm(rows)·weightᵀ + bias) · scale + residual.
//
// Shapes     weight [outputs, inputs] and the input in f16, bf16 or f32; bias, scale [outputs] in f32; output, residual
//            [rows, outputs] in the input's type or in f32; scale and residual may be null, the residual may be the output.
//            A row is `inputs` values of the input (PLAIN), or the pixels of a square of a map [height, width, channels]:
//            line by line (PATCHES), or (0, 0), (1, 0), (0, 1), (1, 1), zeros where the map has ended (MERGED). All aligned
//            to 16 bytes; any sizes.
// Norm       where `moments` is not null: of each row, of PATCHES of each pixel; mean and 1/sqrt(variance + eps) come from a
//            launch of plain_linear_moments before. Scale and shift may be null. A normed value is rounded to the input's type.
// Launch     moments: 8 warps, each a row's; of PATCHES each a pixel's, told as PLAIN rows of its channels.
//            wide, middle: 256 threads, a block a tile, tiles of the same rows next to each other in the grid.
//            few: 4 warps, each one output of 4 rows; grid (outputs / 4, rows / 4).
// Tile       wide: 64 rows x 64 outputs, 16 inputs a turn. middle, where that gives too few blocks: 32 x 32, 64 inputs a
//            turn, a quarter of them each 64 threads, added up at the end. 4 x 4 sums a thread; the next turn's values are
//            in registers while this one's are multiplied.
// Shared     two sets of rows and weights as f32, [inputs of a turn][tile] each: 16 KiB (wide), 32 KiB (middle). Place
//            swizzled(value, row) in a line of a tile; both the transposing store and the loads of 16 bytes are free of
//            conflicts. The sums pass through the same memory, to be added up and written line by line.
// Bytes      reads (outputs / tile) times the rows and (rows / tile) times the weight, from L2 where they fit; writes once.
// FLOPs      2 * rows * inputs * outputs.
//
// A sum is in the order of the inputs (few: of a lane's), whatever the tile's place: a row has the same bits wherever it lies.
#include "plain_rows.cuh"

enum : unsigned { BLOCK = 256, DEPTH = 16, FEW_BLOCK = 128, FEW_ROWS = 4 };

/// x·Φ(x)
__device__ float gelu(float x) { return 0.5f * x * (1 + erff(x * 0.707106781f)); }

/// What follows the product: one value of the output.
template <typename O>
__device__ void finish_one(const PlainLinear& op, size_t row, unsigned output, float value) {
    value += __ldg(op.bias + output);
    if (op.gelu) value = gelu(value);
    if (op.scale != nullptr) value *= __ldg(op.scale + output);
    const size_t at = row * op.outputs + output;
    if (op.residual != nullptr) value += static_cast<float>(static_cast<const O*>(op.residual)[at]);
    static_cast<O*>(op.output)[at] = rounded(value, O());
}

/// The same for the outputs of a row from `output`, a multiple of 4, on.
template <typename O>
__device__ void finish_four(const PlainLinear& op, size_t row, unsigned output, float (&values)[4]) {
    if (row >= op.rows || output >= op.outputs) return;
    if (op.outputs % 4 != 0) {
#pragma unroll 1
        for (unsigned at = output; at < min(output + 4, op.outputs); at++) {
            finish_one<O>(op, row, at, values[0]);
            push(values, 0);
        }
        return;
    }
    const float4 bias = __ldg(reinterpret_cast<const float4*>(op.bias + output));
    values[0] += bias.x;
    values[1] += bias.y;
    values[2] += bias.z;
    values[3] += bias.w;
    if (op.gelu) {
        for (float& value : values) value = gelu(value);
    }
    if (op.scale != nullptr) {
        const float4 scale = __ldg(reinterpret_cast<const float4*>(op.scale + output));
        values[0] *= scale.x;
        values[1] *= scale.y;
        values[2] *= scale.z;
        values[3] *= scale.w;
    }
    const size_t at = row * op.outputs + output;
    if (op.residual != nullptr) {
        float residual[4];
        read_before_write(static_cast<const O*>(op.residual) + at, residual);
        for (unsigned i = 0; i < 4; i++) values[i] += residual[i];
    }
    write(static_cast<O*>(op.output) + at, values);
}

template <typename T>
__device__ void finish(const PlainLinear& op, size_t row, unsigned output, float (&values)[4]) {
    if (op.logits) {
        finish_four<float>(op, row, output, values);
    } else {
        finish_four<T>(op, row, output, values);
    }
}

/// Where in a line of a tile the value of a row is; `value` is the line's number.
template <unsigned TILE>
__device__ unsigned swizzled(unsigned value, unsigned row) {
    return value * TILE + (row ^ value / 4 % 4 * 8);
}

/// A tile of TILE rows and outputs by 256 threads, of which SLICES parts share the inputs.
template <typename T, unsigned TILE, unsigned SLICES>
__device__ void tile(const PlainLinear& op) {
    constexpr unsigned TURN = DEPTH * SLICES;
    // Quads of a turn that a thread takes of the rows, and as many of the weight.
    constexpr unsigned QUADS = TILE * TURN / 4 / BLOCK;
    static_assert(TILE * TILE * SLICES == 16 * BLOCK && QUADS > 0, "4 x 4 sums a thread");
    __shared__ __align__(16) float shared[2][2][TURN * TILE];

    const unsigned across = (op.outputs + TILE - 1) / TILE;
    const size_t top = size_t{blockIdx.x / across} * TILE;
    const unsigned left = blockIdx.x % across * TILE;

    // Four lanes take the 16 values of a slice of a row; a warp takes 8 rows, threads 0 to 4 * TILE - 1 a slice.
    const unsigned quad = threadIdx.x % 4;
    const unsigned taken = threadIdx.x / 4 % TILE;
    const unsigned first_slice = threadIdx.x / 4 / TILE;
    constexpr unsigned SLICE_STEP = SLICES / QUADS;
    const Row row = locate(op, top + taken);

    Quad<T> rows[QUADS], weights[QUADS];
    const auto take = [&](unsigned turn) {
        for (unsigned i = 0; i < QUADS; i++) {
            const unsigned k = turn + (first_slice + i * SLICE_STEP) * DEPTH + quad * 4;
            rows[i].take(op, row, k);
            weights[i].take_weight(op, left + taken, k);
        }
    };

    // A warp has 16 rows x 32 outputs, 4 x 8 lanes of 4 x 4.
    const unsigned slice = threadIdx.x / (BLOCK / SLICES);
    const unsigned warp = threadIdx.x % (BLOCK / SLICES) / WARP;
    const unsigned lane = threadIdx.x % WARP;
    const unsigned my_row = warp / (TILE / 32) * 16 + lane / 8 * 4;
    const unsigned my_output = warp % (TILE / 32) * 32 + lane % 8 * 4;
    // The lines of a slice by fours, as they are swizzled.
    unsigned row_at[4], output_at[4];
    for (unsigned i = 0; i < 4; i++) {
        row_at[i] = swizzled<TILE>(slice * DEPTH + i * 4, my_row);
        output_at[i] = swizzled<TILE>(slice * DEPTH + i * 4, my_output);
    }
    float sums[4][4] = {};

    // One turn ahead: what a turn takes is stored and multiplied in the next.
    unsigned set = 0;
#pragma unroll 1
    for (unsigned turn = 0; turn < op.inputs + TURN; turn += TURN) {
        if (turn > 0) {
            for (unsigned i = 0; i < QUADS; i++) {
                const unsigned at = swizzled<TILE>((first_slice + i * SLICE_STEP) * DEPTH + quad * 4, taken);
                float values[4];
                rows[i].normed_values(op, turn - TURN + (first_slice + i * SLICE_STEP) * DEPTH + quad * 4, values);
                for (unsigned j = 0; j < 4; j++) shared[set][0][at + j * TILE] = values[j];
                weights[i].values(values);
                for (unsigned j = 0; j < 4; j++) shared[set][1][at + j * TILE] = values[j];
            }
            // One barrier a turn: the set that is written next was read before it.
            __syncthreads();
        }
        take(turn);
        if (turn == 0) continue;
#pragma unroll
        for (unsigned j = 0; j < DEPTH; j++) {
            const unsigned line = j % 4 * TILE;
            const float4 a = *reinterpret_cast<const float4*>(&shared[set][0][row_at[j / 4] + line]);
            const float4 b = *reinterpret_cast<const float4*>(&shared[set][1][output_at[j / 4] + line]);
            const float as[4] = {a.x, a.y, a.z, a.w}, bs[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
            for (unsigned y = 0; y < 4; y++) {
#pragma unroll
                for (unsigned x = 0; x < 4; x++) sums[y][x] = fmaf(as[y], bs[x], sums[y][x]);
            }
        }
        set ^= 1;
    }

    // Through shared memory, so that slices add up and that a warp writes whole lines of the output.
    float* const partials = &shared[0][0][0];
    static_assert(SLICES * TILE * TILE <= 4 * TURN * TILE, "the sums of all slices fit");
    __syncthreads();
#pragma unroll
    for (unsigned y = 0; y < 4; y++) {
        float* const to = partials + (slice * TILE + my_row + y) * TILE + my_output;
        *reinterpret_cast<float4*>(to) = make_float4(sums[y][0], sums[y][1], sums[y][2], sums[y][3]);
    }
    __syncthreads();
#pragma unroll 1
    for (unsigned four = threadIdx.x; four < TILE * TILE / 4; four += BLOCK) {
        float total[4] = {};
        for (unsigned i = 0; i < SLICES; i++) {
            const float4 part = *reinterpret_cast<const float4*>(partials + i * TILE * TILE + four * 4);
            total[0] += part.x;
            total[1] += part.y;
            total[2] += part.z;
            total[3] += part.w;
        }
        finish<T>(op, top + four / (TILE / 4), left + four % (TILE / 4) * 4, total);
    }
}

/// One output of FEW_ROWS rows by a warp.
template <typename T>
__device__ void few(const PlainLinear& op) {
    const unsigned lane = threadIdx.x % WARP;
    const unsigned output = blockIdx.x * (FEW_BLOCK / WARP) + threadIdx.x / WARP;
    if (output >= op.outputs) return;
    const size_t top = size_t{blockIdx.y} * FEW_ROWS;
    Row rows[FEW_ROWS];
    for (unsigned i = 0; i < FEW_ROWS; i++) rows[i] = locate(op, top + i);
    float sums[FEW_ROWS] = {};
    for (unsigned k = lane * 4; k < op.inputs; k += WARP * 4) {
        Quad<T> weight, row[FEW_ROWS];
        weight.take_weight(op, output, k);
        for (unsigned i = 0; i < FEW_ROWS; i++) row[i].take(op, rows[i], k);
        float weights[4];
        weight.values(weights);
        for (unsigned i = 0; i < FEW_ROWS; i++) {
            float values[4];
            row[i].normed_values(op, k, values);
            for (unsigned j = 0; j < 4; j++) sums[i] = fmaf(values[j], weights[j], sums[i]);
        }
    }
    // Lane i finishes row i.
    float sum = 0;
#pragma unroll
    for (unsigned i = 0; i < FEW_ROWS; i++) {
        const float whole = warp_sum(sums[i]);
        if (lane == i) sum = whole;
    }
    if (lane >= FEW_ROWS || top + lane >= op.rows) return;
    if (op.logits) {
        finish_one<float>(op, top + lane, output, sum);
    } else {
        finish_one<T>(op, top + lane, output, sum);
    }
}

/// Mean and factor of each row, a warp a row.
template <typename T>
__device__ void moments(const PlainLinear& op) {
    const unsigned lane = threadIdx.x % WARP;
    const size_t at = size_t{blockIdx.x} * (BLOCK / WARP) + threadIdx.x / WARP;
    if (at >= op.rows) return;
    PlainLinear plain = op;
    plain.moments = nullptr;
    const Row row = locate(plain, at);
    const float share = 1.0f / static_cast<float>(op.inputs);
    float mean = 0;
    float sum = 0;
#pragma unroll 1
    for (unsigned pass = 0; pass < 2; pass++) {
        mean = sum * share;
        sum = 0;
        for (unsigned k = lane * 4; k < op.inputs; k += WARP * 4) {
            Quad<T> quad;
            quad.take(plain, row, k);
            float values[4];
            quad.values(values);
            for (unsigned i = 0; i < 4; i++) {
                // The zeros behind the last value have no deviation.
                const float value = k + i < op.inputs ? values[i] - mean : 0;
                sum += pass == 0 ? value : value * value;
            }
        }
        sum = warp_sum(sum);
    }
    const float factor = rsqrtf(sum * share + op.eps);
    if (lane == 0) op.moments[at] = {mean, factor};
}

#define KERNEL(name, type, threads, blocks) \
    extern "C" __global__ void __launch_bounds__(threads, blocks) name##_##type
#define KERNELS(type, T)                                                                                           \
    KERNEL(plain_linear_moments, type, BLOCK, 4)(const PlainLinear op) { moments<T>(op); }                         \
    KERNEL(plain_linear_wide, type, BLOCK, 3)(const PlainLinear op) { tile<T, 64, 1>(op); }                        \
    KERNEL(plain_linear_middle, type, BLOCK, 3)(const PlainLinear op) { tile<T, 32, 4>(op); }                      \
    KERNEL(plain_linear_few, type, FEW_BLOCK, 4)(const PlainLinear op) { few<T>(op); }
KERNELS(f32, float)
KERNELS(f16, __half)
#if __CUDA_ARCH__ >= 800
KERNELS(bf16, __nv_bfloat16)
#endif
