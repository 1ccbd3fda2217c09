// Depthwise convolution, stride 1, zero padding of kernel / 2, plus bias, and optionally a LayerNorm over the channels of each position.
//
// Shapes     input, output [images, height, width, channels] in f16, bf16 or f32, which do not overlap; weight [kernel, kernel, channels],
//            bias, scale, shift [channels] in f32, scale and shift both null where the norm has none; all aligned to 16 bytes.
//            kernel odd, also larger than the map.
// FLOPs      2 * kernel^2 * images * height * width * channels.
//
// strip, fused: kernel 7, channels a multiple of 8, f16 and bf16. A thread computes two channels of two columns of a strip of ROWS rows. It
//            keeps its 98 weights in registers and takes the strip's input rows one after the other; a row adds to the up to seven output
//            rows that see it, so that at most 28 sums live. Each output is summed by rows, then columns, whatever the strip. A row costs 196
//            fma, 16 conversions and 8 loads; 140 to 168 registers, which is 12 warps an SM.
//   Tile     (ROWS + 6) input rows, of each the block's columns and three to both sides, of each the block's channels. Columns beyond the
//            map are zeros; rows beyond it are neither copied nor computed.
//   Shared   the tile, in vectors of 8 channels (16 bytes). Vector `part` (of channels) and column: vector
//            (part % 2) * plane + part / 2 * two_planes + column of its row. So the column's stride is an immediate, and with an odd plane a
//            warp's reads meet no bank twice (`Map` in depthwise/tiles.rs, where it is proved). Rows are copied in groups, by cp.async where
//            there is one; the first rows are computed while the last ones come.
//   strip    grid (tiles or fewer * chunks of channels): a block's weights serve each tile that it takes. Block: column pairs * pairs of
//            channels (8, 16 or 32), at least 4 column pairs, at most 192 threads. Output rows are written as they are complete. With a norm
//            the last of the blocks that share tiles norms what all of them wrote, in place: `depthwise_norm.cuh`.
//            Bytes: output once, with a norm twice more, from L2; input (1 + 6 / ROWS) * (1 + 6 / columns) times, from L2 but for the first;
//            weights once a block.
//   fused    grid (tiles or fewer), block: column pairs * channels / 2, at most 384; channels a multiple of 32, ROWS 7. The block has all
//            channels of its positions; the f32 sums go to shared memory, over the tile that is no longer needed, [positions, channels + 4]. Four
//            lanes norm a position, 8 channels a load.
//
// plain:     everything else. A thread computes four neighbouring columns of 16 bytes of channels, or of one channel. Grid: lines of all
//            images * blocks that one takes. With a norm it leaves f32 sums in scratch, or in the output where that is f32, which a line's last block norms.
#include "depthwise_norm.cuh"
#include "depthwise_rows.cuh"
#include "last_block.cuh"
#include "norm_sums.cuh"

/// Writes two channels of two columns, from row to row.
template <typename T>
struct Rows {
    // of the first column
    char* to;
    bool both;

    __device__ void operator()(const Depthwise& op, const float (&sums)[COLUMNS][2]) {
        write(to, sums[0]);
        if (both) write(to + op.column_words * 4, sums[1]);
        to += op.row_words * 4;
        asm volatile("" : "+l"(to));
    }

    static __device__ void write(char* to, const float (&sums)[2]) {
        asm volatile("st.global.u32 [%0], %1;" ::"l"(__cvta_generic_to_global(to)), "r"(Stored<T>::pack(sums)) : "memory");
    }
};

/// Norms what a block's tiles have become, where it is the last of those that share them. One counter is enough for all of them, for the same
/// blocks do; and only here, behind them, no weights live in registers.
template <typename T, unsigned ROWS>
__device__ __forceinline__ void norm_shared(const Depthwise& op, unsigned* word) {
    const unsigned pairs = blockDim.x / op.pairs;
    unsigned block = blockIdx.x;
    asm volatile("" : "+r"(block));
    unsigned index = block / op.chunks;
    if (!is_last_block(op.tickets + index, op.chunks, word)) return;
#pragma unroll 1
    while (index < op.tiles) {
        const Tile at = tile_of(op, index, ROWS, pairs * COLUMNS);
        if (op.channels <= MOST_OF_THREE) {
            norm_written<T, 2, 3>(op, at, ROWS, pairs * COLUMNS);
        } else {
            norm_written<T, 1, 8>(op, at, ROWS, pairs * COLUMNS);
        }
        index += gridDim.x / op.chunks;
        asm volatile("" : "+r"(index));
    }
}

template <typename T, unsigned ROWS>
__device__ void strip(const Depthwise& op) {
    extern __shared__ uint4 tile[];
    // a power of two
    const unsigned shift = 31 - __clz(op.pairs);
    const unsigned pair = threadIdx.x & (op.pairs - 1);
    const unsigned first_column = (threadIdx.x >> shift) * COLUMNS;
    const unsigned block_columns = (blockDim.x >> shift) * COLUMNS;
    // Blocks of the same pixels are neighbours, so that their chunks come from memory together.
    const unsigned first_channel = blockIdx.x % op.chunks * op.pairs * 2;
    const unsigned stride = gridDim.x / op.chunks;
    const unsigned channel = first_channel + pair * 2;
    const bool own = channel < op.channels;
    float weights[TAPS][2], bias[2];
    load_weights(op, own ? channel : 0, weights, bias);
    const unsigned from = shared_address(tile + vector_at(op, pair / 4, first_column)) + pair % 4 * 4;
    for (unsigned index = blockIdx.x / op.chunks; index < op.tiles; index += stride) {
        const Tile at = tile_of(op, index, ROWS, block_columns);
        fill<ROWS, 1>(op, at, tile, first_channel / VECTOR, op.pairs / 4, block_columns + KERNEL - 1);
        const unsigned x = at.left + first_column;
        const size_t words = ((at.image * op.height + at.top) * op.width + x) * op.column_words + channel / 2;
        Rows<T> rows = {static_cast<char*>(op.output) + words * 4, x + 1 < op.width};
        float sums[KERNEL][COLUMNS][2];
        take_rows<T, ROWS, 0>(op, at, from, own && x < op.width, weights, bias, sums, rows);
        if (index + stride < op.tiles) __syncthreads();
    }
    if (op.tickets != nullptr) norm_shared<T, ROWS>(op, reinterpret_cast<unsigned*>(tile));
}

/// A thread's first column and first channel in a block of all channels.
struct Place {
    unsigned column;
    unsigned channel;

    __device__ Place(const Depthwise& op, unsigned thread, unsigned column_pairs) {
        const unsigned turn = thread / op.pairs;
        // A warp that is shared by two column pairs reads four columns apart: 0, 2, 1, 3.
        const unsigned column_pair = column_pairs % 4 == 0 ? turn / 4 * 4 + turn % 2 * 2 + turn / 2 % 2 : turn;
        column = column_pair * COLUMNS;
        channel = thread % op.pairs * 2;
    }
};

template <typename T, unsigned SLOTS>
__device__ void fused(const Depthwise& op) {
    constexpr unsigned ROWS = KERNEL;
    extern __shared__ uint4 tile[];
    const unsigned column_pairs = blockDim.x / op.pairs;
    const unsigned columns = column_pairs * COLUMNS;
    float* const stash = reinterpret_cast<float*>(tile);
    const unsigned pitch = op.channels + 4;
    const Place place(op, threadIdx.x, column_pairs);
    float weights[TAPS][2], bias[2];
    load_weights(op, place.channel, weights, bias);
    const unsigned from = shared_address(tile + vector_at(op, place.channel / VECTOR, place.column)) + place.channel % VECTOR * 2;
    for (unsigned index = blockIdx.x; index < op.tiles; index += gridDim.x) {
        const Tile at = tile_of(op, index, ROWS, columns);
        fill<ROWS, SLOTS>(op, at, tile, 0, op.channels / VECTOR, columns + KERNEL - 1);
        float sums[KERNEL][COLUMNS][2];
        const auto keep = [](const Depthwise&, const float (&)[COLUMNS][2]) {};
        take_rows<T, ROWS, 0>(op, at, from, at.left + place.column < op.width, weights, bias, sums, keep);
        __syncthreads();
        const Place again(op, again_thread(), column_pairs);
        unsigned to = shared_address(stash + again.column * pitch + again.channel);
        for (unsigned row = 0; row < ROWS; row++, to += columns * pitch * sizeof(float)) {
            for (unsigned column = 0; column < COLUMNS; column++) {
                const float(&sum)[2] = sums[row][column];
                const unsigned at_column = to + column * pitch * sizeof(float);
                asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(at_column), "f"(sum[0]), "f"(sum[1]) : "memory");
            }
        }
        __syncthreads();
        norm_tile<T>(op, at, stash, pitch, ROWS, columns);
        if (index + gridDim.x < op.tiles) __syncthreads();
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
__device__ void convolve(const Depthwise& op) {
    constexpr unsigned WIDE = 4;
    const unsigned vectors = op.channels / N;
    const unsigned groups = (op.width + WIDE - 1) / WIDE;
    const unsigned thread = blockIdx.x % op.chunks * blockDim.x + threadIdx.x;
    if (thread >= groups * vectors) return;
    const unsigned channel = thread % vectors * N;
    const unsigned x = thread / vectors * WIDE;
    const size_t line = blockIdx.x / op.chunks;
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
__device__ void plain(const Depthwise& op) {
    constexpr unsigned WIDEST = 4 * Stored<T>::A_WORD;
    if (op.channels % WIDEST == 0) {
        convolve<T, WIDEST>(op);
    } else {
        convolve<T, 1>(op);
    }
    if (op.sums == nullptr) return;
    __shared__ unsigned word;
    const unsigned line = blockIdx.x / op.chunks;
    if (!is_last_block(op.tickets + line, op.chunks, &word)) return;
    norm_sums(op.sums, static_cast<T*>(op.output), op.scale, op.shift, size_t{line} * op.width, op.width, op.channels, op.eps);
}

#define PLAIN(TYPE, NAME) extern "C" __global__ void __launch_bounds__(128) depthwise_plain_##NAME(const Depthwise op) { plain<TYPE>(op); }
#define STRIP(TYPE, NAME, ROWS) \
    extern "C" __global__ void __launch_bounds__(384, 1) depthwise_strip_##ROWS##_##NAME(const Depthwise op) { strip<TYPE, ROWS>(op); }
#define FAST(TYPE, NAME)     \
    STRIP(TYPE, NAME, 1)     \
    STRIP(TYPE, NAME, 2)     \
    STRIP(TYPE, NAME, 4)     \
    STRIP(TYPE, NAME, 7)     \
    STRIP(TYPE, NAME, 14)    \
    extern "C" __global__ void __launch_bounds__(384, 1) depthwise_fused_##NAME(const Depthwise op) {                        \
        fused<TYPE, 2>(op);                                                    \
    }

PLAIN(float, f32)
PLAIN(__half, f16)
FAST(__half, f16)
#if __CUDA_ARCH__ >= 800
PLAIN(__nv_bfloat16, bf16)
FAST(__nv_bfloat16, bf16)
#endif
