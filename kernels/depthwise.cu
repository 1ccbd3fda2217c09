// Depthwise convolution, stride 1, zero padding of kernel / 2, plus bias, and optionally a LayerNorm over the channels of each position.
//
// Shapes     input, output [images, height, width, channels] in f16, bf16 or f32, which do not overlap; weight [kernel, kernel, channels],
//            bias, scale, shift [channels] in f32, scale and shift both null where the norm has none; all aligned to 16 bytes.
//            kernel odd, also larger than the map.
// FLOPs      2 * kernel^2 * images * height * width * channels.
//
// strip, fused: kernel 7, channels a multiple of 8, f16 and bf16. A thread computes two channels of two columns of a strip of ROWS rows. It
//            keeps its 98 weights in registers and takes the strip's input rows one after the other; a row adds to the up to seven output
//            rows that see it, so that at most 28 sums live. Each output is summed by rows, then columns, whatever the strip.
//   Tile     (ROWS + 6) input rows, of each the block's columns and three to both sides, of each the block's channels. Columns beyond the
//            map are zeros; rows beyond it are neither copied nor computed.
//   Shared   the tile, in vectors of 8 channels (16 bytes). Vector `part` (of channels) and column: vector
//            (part % 2) * plane + part / 2 * two_planes + column of its row. So the column's stride is an immediate, and with an odd plane a
//            warp's reads meet no bank twice (`shared_map` in depthwise.rs).
//   strip    grid (tiles or fewer, chunks of channels): a block's weights serve each tile that it takes. Block: column pairs * pairs of
//            channels, at most 224. 144 registers, two blocks of 7 warps an SM. Output rows are written as they are complete.
//            Bytes: output once; input (1 + 6 / ROWS) * (1 + 6 / columns) times, from L2 but for the first; weights once a block.
//   fused    grid (tiles), block: column pairs * channels / 2, at most 384; channels a multiple of 32, ROWS 7. The block has all channels of
//            its positions; the f32 sums go to shared memory, over the tile that is no longer needed, [positions, channels + 4]. Four lanes
//            norm a position, 8 channels a load. 168 registers: 12 warps an SM.
//
// plain:     everything else. A thread computes four neighbouring columns of 16 bytes of channels, or of one channel. Grid: enough threads.
//            With a norm it leaves f32 sums in scratch, which `norm` reads.
#include "common.cuh"
#include "norm_sums.cuh"

struct Depthwise {
    const void* input;
    void* output;
    const float* weight;
    const float* bias;
    const float* scale;
    const float* shift;
    // f32 sums [images, height, width, channels] for a norm that is a launch of its own; null without one
    float* sums;
    unsigned images;
    unsigned height;
    unsigned width;
    unsigned channels;
    unsigned kernel;
    // tiles of all images: images * down * across
    unsigned tiles;
    unsigned down;
    unsigned across;
    // pairs of channels of a block
    unsigned pairs;
    // vectors from a tile's plane to the next, to the next but one, from a row to the next
    unsigned plane;
    unsigned two_planes;
    unsigned row;
    float eps;
};

enum : unsigned { KERNEL = 7, HALO = KERNEL / 2, TAPS = KERNEL * KERNEL, COLUMNS = 2, READ = COLUMNS + KERNEL - 1 };
/// Channels and bytes of a vector.
enum : unsigned { VECTOR = 8, VECTOR_BYTES = 16 };
/// Input rows that are copied together, and waited for together.
enum : unsigned { GROUP = 4 };

/// What a block knows of its tile.
struct Tile {
    size_t image;
    // the first row and column that are read: three above and left of the first output, so that they may wrap
    unsigned top;
    unsigned left;
};

__device__ inline Tile tile_of(const Depthwise& op, unsigned tile, unsigned rows, unsigned columns) {
    const unsigned across = tile % op.across;
    const unsigned down = tile / op.across % op.down;
    return {tile / op.across / op.down, down * rows - HALO, across * columns - HALO};
}

/// Copies 16 bytes to shared memory, or zeros.
__device__ inline void copy(uint4* to, const void* from, bool inside) {
#if __CUDA_ARCH__ >= 800
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
    const unsigned bytes = inside ? VECTOR_BYTES : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
#else
    *to = inside ? __ldg(static_cast<const uint4*>(from)) : make_uint4(0, 0, 0, 0);
#endif
}

__device__ inline void commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until all have copied all groups but the last `LATER`. Without cp.async the first time is enough.
template <unsigned LATER>
__device__ void wait(bool first) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(LATER) : "memory");
    __syncthreads();
#else
    if (first) __syncthreads();
#endif
}

/// Where vector `part` of a column lies in a row of the tile.
__device__ inline unsigned vector_at(const Depthwise& op, unsigned part, unsigned column) {
    return part % 2 * op.plane + part / 2 * op.two_planes + column;
}

/// Starts copying the tile's rows, group by group. Eight lanes that write together write to eight columns' banks: even columns first.
template <unsigned ROWS>
__device__ void fill(const Depthwise& op, const Tile& at, uint4* tile, unsigned first_channel, unsigned parts, unsigned columns) {
    const unsigned slots = (columns + 7) / 8 * 8 * parts;
    for (unsigned group = 0; group < ROWS + KERNEL - 1; group += GROUP) {
#pragma unroll 1
        for (unsigned slot = threadIdx.x; slot < slots; slot += blockDim.x) {
            const unsigned part = slot % parts;
            const unsigned in_order = slot / parts;
            const unsigned column = in_order / 8 * 8 + in_order % 4 * 2 + in_order / 4 % 2;
            if (column >= columns) continue;
            const unsigned x = at.left + column;
            const unsigned channel = first_channel + part * VECTOR;
            const bool inside = x < op.width && channel < op.channels;
            const size_t pitch = size_t{op.width} * op.channels;
            const size_t within = inside ? size_t{x} * op.channels + channel : 0;
            const unsigned y = at.top + group;
            const auto* from = static_cast<const unsigned short*>(op.input) + at.image * op.height * pitch + within;
            uint4* const to = tile + group * op.row + vector_at(op, part, column);
#pragma unroll
            for (unsigned i = 0; i < GROUP; i++) {
                if (group + i < ROWS + KERNEL - 1 && y + i < op.height) copy(to + i * op.row, from + (y + i) * pitch, inside);
            }
        }
        commit();
    }
}

/// A thread's part of a block's work.
struct Share {
    // two channels of 16-byte vectors: the word of its first column in the tile's first row
    const unsigned* from;
    // words from a row of the tile to the next
    unsigned row;
    // whether its channels and columns are the map's
    bool active;
};

/// Takes input row R of the strip, then hands the output row that is complete with it to `done`.
template <typename T, unsigned ROWS, unsigned R, typename Done>
__device__ __forceinline__ void take_rows(const Share& share, const unsigned* from, unsigned top, unsigned height,
                                          const float (&weights)[TAPS][2], const float (&bias)[2],
                                          float (&sums)[KERNEL][COLUMNS][2], const Done& done) {
    if constexpr (R < ROWS + KERNEL - 1) {
        constexpr unsigned GROUPS = (ROWS + KERNEL - 1 + GROUP - 1) / GROUP;
        if constexpr (R % GROUP == 0) wait<GROUPS - 1 - R / GROUP>(R == 0);
        if constexpr (R < ROWS) {
            for (unsigned column = 0; column < COLUMNS; column++) {
                for (unsigned i = 0; i < 2; i++) sums[R % KERNEL][column][i] = bias[i];
            }
        }
        if (top + R < height && share.active) {
#pragma unroll
            for (unsigned x = 0; x < READ; x++) {
                float values[2];
                Stored<T>::unpack(from[x * (VECTOR_BYTES / 4)], values);
#pragma unroll
                for (unsigned ky = 0; ky < KERNEL; ky++) {
                    if (R < ky || R - ky >= ROWS) continue;
#pragma unroll
                    for (unsigned column = 0; column < COLUMNS; column++) {
                        if (x < column || x - column >= KERNEL) continue;
                        const float(&weight)[2] = weights[ky * KERNEL + x - column];
                        float(&sum)[2] = sums[(R - ky) % KERNEL][column];
                        for (unsigned i = 0; i < 2; i++) sum[i] = fmaf(values[i], weight[i], sum[i]);
                    }
                }
            }
        }
        if constexpr (R >= KERNEL - 1) done(R - (KERNEL - 1), sums[(R - (KERNEL - 1)) % KERNEL]);
        take_rows<T, ROWS, R + 1>(share, from + share.row, top, height, weights, bias, sums, done);
    }
}

/// The weights and the bias of two channels.
__device__ inline void load_weights(const Depthwise& op, unsigned channel, float (&weights)[TAPS][2], float (&bias)[2]) {
    const auto pair = [&](const float* from, float* to) {
        const float2 both = __ldg(reinterpret_cast<const float2*>(from + channel));
        to[0] = both.x;
        to[1] = both.y;
    };
    pair(op.bias, bias);
#pragma unroll
    for (unsigned tap = 0; tap < TAPS; tap++) pair(op.weight + size_t{tap} * op.channels, weights[tap]);
}

template <typename T, unsigned ROWS>
__device__ void strip(const Depthwise& op) {
    extern __shared__ uint4 tile[];
    const unsigned pair = threadIdx.x % op.pairs;
    const unsigned first_column = threadIdx.x / op.pairs * COLUMNS;
    const unsigned block_columns = blockDim.x / op.pairs * COLUMNS;
    const unsigned first_channel = blockIdx.y * op.pairs * 2;
    const unsigned channel = first_channel + pair * 2;
    const bool own = channel < op.channels;
    float weights[TAPS][2], bias[2];
    load_weights(op, own ? channel : 0, weights, bias);
    const unsigned vector = vector_at(op, pair / 4, first_column);
    for (unsigned index = blockIdx.x; index < op.tiles; index += gridDim.x) {
        const Tile at = tile_of(op, index, ROWS, block_columns);
        fill<ROWS>(op, at, tile, first_channel, op.pairs / 4, block_columns + KERNEL - 1);
        const unsigned x = at.left + HALO + first_column;
        const Share share = {reinterpret_cast<const unsigned*>(tile + vector) + pair % 4, op.row * (VECTOR_BYTES / 4), own && x < op.width};
        T* const output = static_cast<T*>(op.output) + (at.image * op.height * op.width + x) * op.channels + channel;
        const auto write = [&](unsigned row, const float (&sums)[COLUMNS][2]) {
            const unsigned y = at.top + HALO + row;
            if (!share.active || y >= op.height) return;
            T* const to = output + size_t{y} * op.width * op.channels;
            *reinterpret_cast<unsigned*>(to) = Stored<T>::pack(sums[0]);
            if (x + 1 < op.width) *reinterpret_cast<unsigned*>(to + op.channels) = Stored<T>::pack(sums[1]);
        };
        float sums[KERNEL][COLUMNS][2];
        take_rows<T, ROWS, 0>(share, share.from, at.top, op.height, weights, bias, sums, write);
        if (index + gridDim.x < op.tiles) __syncthreads();
    }
}

/// The sum over four neighbouring lanes, the same bits in each of them.
__device__ inline float four_sum(float sum) {
    sum += __shfl_xor_sync(ALL_LANES, sum, 2);
    return sum + __shfl_xor_sync(ALL_LANES, sum, 1);
}

/// Eight neighbouring floats of shared or global memory.
__device__ inline void eight(const float* from, float (&values)[VECTOR]) {
    for (unsigned i = 0; i < VECTOR; i += 4) {
        const float4 four = *reinterpret_cast<const float4*>(from + i);
        values[i] = four.x;
        values[i + 1] = four.y;
        values[i + 2] = four.z;
        values[i + 3] = four.w;
    }
}

template <typename T>
__device__ void fused(const Depthwise& op) {
    constexpr unsigned ROWS = KERNEL;
    extern __shared__ uint4 tile[];
    const unsigned pair = threadIdx.x % op.pairs;
    const unsigned turn = threadIdx.x / op.pairs;
    const unsigned column_pairs = blockDim.x / op.pairs;
    // A warp that is shared by two column pairs reads four columns apart: 0, 2, 1, 3.
    const unsigned column_pair = column_pairs % 4 == 0 ? turn / 4 * 4 + turn % 2 * 2 + turn / 2 % 2 : turn;
    const unsigned first_column = column_pair * COLUMNS;
    const unsigned block_columns = column_pairs * COLUMNS;
    const unsigned channel = pair * 2;
    const Tile at = tile_of(op, blockIdx.x, ROWS, block_columns);
    fill<ROWS>(op, at, tile, 0, op.channels / VECTOR, block_columns + KERNEL - 1);
    float sums[KERNEL][COLUMNS][2];
    {
        float weights[TAPS][2], bias[2];
        load_weights(op, channel, weights, bias);
        const unsigned* const from = reinterpret_cast<const unsigned*>(tile + vector_at(op, pair / 4, first_column)) + pair % 4;
        const Share share = {from, op.row * (VECTOR_BYTES / 4), at.left + HALO + first_column < op.width};
        take_rows<T, ROWS, 0>(share, from, at.top, op.height, weights, bias, sums, [](unsigned, const float (&)[COLUMNS][2]) {});
    }
    __syncthreads();
    float* const stash = reinterpret_cast<float*>(tile);
    const unsigned pitch = op.channels + 4;
    for (unsigned row = 0; row < ROWS; row++) {
        for (unsigned column = 0; column < COLUMNS; column++) {
            float* const to = stash + (row * block_columns + first_column + column) * pitch + channel;
            *reinterpret_cast<float2*>(to) = make_float2(sums[row][column][0], sums[row][column][1]);
        }
    }
    __syncthreads();

    const float share = 1.0f / static_cast<float>(op.channels);
    const unsigned positions = ROWS * block_columns;
    const unsigned lane = threadIdx.x % 4 * VECTOR;
    // A whole warp takes every turn, also where some of its positions are past the last: there are shuffles in it.
    for (unsigned first = threadIdx.x / WARP * 8; first < positions; first += blockDim.x / WARP * 8) {
        const unsigned position = first + threadIdx.x % WARP / 4;
        const unsigned y = at.top + HALO + position / block_columns;
        const unsigned x = at.left + HALO + position % block_columns;
        const bool inside = position < positions && y < op.height && x < op.width;
        const float* const from = stash + (inside ? position * pitch : 0);
        float values[VECTOR];
        float sum = 0;
#pragma unroll 1
        for (unsigned c = lane; c < op.channels; c += 4 * VECTOR) {
            eight(from + c, values);
            for (float value : values) sum += value;
        }
        const float mean = four_sum(sum) * share;
        float squares = 0;
#pragma unroll 1
        for (unsigned c = lane; c < op.channels; c += 4 * VECTOR) {
            eight(from + c, values);
            for (float value : values) squares += (value - mean) * (value - mean);
        }
        const float factor = rsqrtf(four_sum(squares) * share + op.eps);
        if (!inside) continue;
        T* const to = static_cast<T*>(op.output) + ((at.image * op.height + y) * op.width + x) * op.channels;
#pragma unroll 1
        for (unsigned c = lane; c < op.channels; c += 4 * VECTOR) {
            eight(from + c, values);
            for (float& value : values) value = (value - mean) * factor;
            if (op.scale != nullptr) {
                Packed<float, VECTOR> packed[2];
                float scale[VECTOR], shift[VECTOR];
                load(op.scale + c, packed[0]);
                load(op.shift + c, packed[1]);
                packed[0].unpack(scale);
                packed[1].unpack(shift);
                for (unsigned i = 0; i < VECTOR; i++) values[i] = values[i] * scale[i] + shift[i];
            }
            Packed<T, VECTOR> packed;
            packed.pack(values);
            store(to + c, packed);
        }
    }
}

/// A thread's channels of the plain kernel: `N` of them, in 16 bytes, or one.
template <typename T, unsigned N>
struct Channels {
    static __device__ void read(const T* from, float (&values)[N]) {
        if constexpr (N == 1) {
            values[0] = read_one(from);
        } else {
            Packed<T, N> packed;
            load(from, packed);
            packed.unpack(values);
        }
    }
    static __device__ void write(T* to, const float (&values)[N]) {
        if constexpr (N == 1) {
            write_one(to, values[0]);
        } else {
            Packed<T, N> packed;
            packed.pack(values);
            store(to, packed);
        }
    }
};

template <typename T, unsigned N>
__device__ void plain(const Depthwise& op) {
    constexpr unsigned WIDE = 4;
    const unsigned vectors = op.channels / N;
    const unsigned groups = (op.width + WIDE - 1) / WIDE;
    const size_t thread = size_t{blockIdx.x} * blockDim.x + threadIdx.x;
    const unsigned channel = static_cast<unsigned>(thread % vectors) * N;
    const size_t group = thread / vectors;
    const unsigned x = static_cast<unsigned>(group % groups) * WIDE;
    const size_t line = group / groups;
    if (line >= size_t{op.images} * op.height) return;
    const unsigned y = static_cast<unsigned>(line % op.height);
    const unsigned halo = op.kernel / 2;

    float sums[WIDE][N];
    Channels<float, N>::read(op.bias + channel, sums[0]);
    for (unsigned j = 1; j < WIDE; j++) {
        for (unsigned i = 0; i < N; i++) sums[j][i] = sums[0][i];
    }
#pragma unroll 1
    for (unsigned ky = 0; ky < op.kernel; ky++) {
        // rows above the map wrap
        const unsigned from_y = y + ky - halo;
        if (from_y >= op.height) continue;
        const T* const from = static_cast<const T*>(op.input) + (line - y + from_y) * op.width * op.channels + channel;
#pragma unroll 1
        for (unsigned kx = 0; kx < op.kernel; kx++) {
            float weight[N];
            Channels<float, N>::read(op.weight + (size_t{ky} * op.kernel + kx) * op.channels + channel, weight);
#pragma unroll
            for (unsigned j = 0; j < WIDE; j++) {
                const unsigned from_x = x + j + kx - halo;
                if (from_x >= op.width) continue;
                float values[N];
                Channels<T, N>::read(from + size_t{from_x} * op.channels, values);
                for (unsigned i = 0; i < N; i++) sums[j][i] = fmaf(values[i], weight[i], sums[j][i]);
            }
        }
    }
    const size_t to = (line * op.width + x) * op.channels + channel;
    for (unsigned j = 0; j < WIDE; j++) {
        if (x + j >= op.width) break;
        if (op.sums != nullptr) {
            Channels<float, N>::write(op.sums + to + size_t{j} * op.channels, sums[j]);
        } else {
            Channels<T, N>::write(static_cast<T*>(op.output) + to + size_t{j} * op.channels, sums[j]);
        }
    }
}

template <typename T>
__device__ void any(const Depthwise& op) {
    constexpr unsigned WIDEST = 4 * Stored<T>::A_WORD;
    if (op.channels % WIDEST == 0) {
        plain<T, WIDEST>(op);
    } else {
        plain<T, 1>(op);
    }
}

template <typename T>
__device__ void norm(const Depthwise& op) {
    const size_t rows = size_t{op.images} * op.height * op.width;
    norm_sums(op.sums, static_cast<T*>(op.output), op.scale, op.shift, rows, op.channels, op.eps);
}

#define KERNELS(TYPE, NAME)                                                                                               \
    extern "C" __global__ void __launch_bounds__(128) depthwise_plain_##NAME(const Depthwise op) { any<TYPE>(op); }        \
    extern "C" __global__ void __launch_bounds__(128) depthwise_norm_##NAME(const Depthwise op) { norm<TYPE>(op); }
#define STRIP(TYPE, NAME, ROWS) \
    extern "C" __global__ void __launch_bounds__(384, 1) depthwise_strip_##ROWS##_##NAME(const Depthwise op) { strip<TYPE, ROWS>(op); }
#define FAST(TYPE, NAME)     \
    STRIP(TYPE, NAME, 1)     \
    STRIP(TYPE, NAME, 2)     \
    STRIP(TYPE, NAME, 4)     \
    STRIP(TYPE, NAME, 7)     \
    STRIP(TYPE, NAME, 14)    \
    extern "C" __global__ void __launch_bounds__(384, 1) depthwise_fused_##NAME(const Depthwise op) { fused<TYPE>(op); }

KERNELS(float, f32)
KERNELS(__half, f16)
FAST(__half, f16)
#if __CUDA_ARCH__ >= 800
KERNELS(__nv_bfloat16, bf16)
FAST(__nv_bfloat16, bf16)
#endif
