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
//            channels (8, 16 or 32), at least 4 column pairs, at most 192 threads. Output rows are written as they are complete.
//            Bytes: output once; input (1 + 6 / ROWS) * (1 + 6 / columns) times, from L2 but for the first; weights once a block.
//   fused    grid (tiles or fewer), block: column pairs * channels / 2, at most 384; channels a multiple of 32, ROWS 7. The block has all
//            channels of its positions; the f32 sums go to shared memory, over the tile that is no longer needed, [positions, channels + 4]. Four
//            lanes norm a position, 8 channels a load.
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
    // pairs of channels of a block, and how many such chunks there are
    unsigned pairs;
    unsigned chunks;
    // vectors from a tile's plane to the next, to the next but one, from a row to the next
    unsigned plane;
    unsigned two_planes;
    unsigned row;
    // words of a column of the map, and of a row, where a word is two channels
    unsigned column_words;
    unsigned row_words;
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
    // the first row and column of its outputs
    unsigned top;
    unsigned left;

    /// Whether a row of those that are read, three above `top` the first, is a row of the map.
    __device__ bool has(unsigned row, unsigned height) const { return row < HALO ? top + row >= HALO : row - HALO < height - top; }
};

__device__ inline Tile tile_of(const Depthwise& op, unsigned tile, unsigned rows, unsigned columns) {
    const unsigned across = tile % op.across;
    const unsigned down = tile / op.across % op.down;
    return {tile / op.across / op.down, down * rows, across * columns};
}

/// Where vector `part` of a column lies in a row of the tile.
__device__ inline unsigned vector_at(const Depthwise& op, unsigned part, unsigned column) {
    return part % 2 * op.plane + part / 2 * op.two_planes + column;
}

/// The address of shared memory, as instructions take it.
__device__ inline unsigned shared_address(const void* at) { return static_cast<unsigned>(__cvta_generic_to_shared(at)); }

/// The thread's number, from which the compiler does not know what it computed before: the fused kernel has no registers to keep that from
/// tile to tile.
__device__ inline unsigned again_thread() {
    unsigned thread = threadIdx.x;
    asm volatile("" : "+r"(thread));
    return thread;
}

/// A vector of each row that a thread copies.
struct Slot {
    // where to in shared memory, and where from
    unsigned to;
    const void* from;
    // bytes of the map from a row to the next; 0 where zeros are copied
    unsigned step;
    bool mine;
    bool inside;

    __device__ Slot(const Depthwise& op, const Tile& at, const uint4* tile, unsigned slot, unsigned first_part, unsigned parts,
                    unsigned columns) {
        // Eight lanes that write together write to the banks of even columns, or of odd ones.
        const unsigned part = slot % parts;
        const unsigned in_order = slot / parts;
        const unsigned column = in_order / 8 * 8 + in_order % 4 * 2 + in_order / 4 % 2;
        const unsigned x = at.left + column - HALO;
        mine = column < columns;
        inside = x < op.width && (first_part + part) * VECTOR < op.channels;
        to = shared_address(tile + vector_at(op, part, column));
        const size_t row = at.image * op.height + at.top;
        const size_t words = (row * op.width + x) * op.column_words + (first_part + part) * (VECTOR / 2);
        // the first row may lie above the map, and is not read then
        from = static_cast<const char*>(op.input) + (inside ? words * 4 - size_t{HALO} * op.row_words * 4 : 0);
        step = inside ? op.row_words * 4 : 0;
    }

    /// On to the next row.
    __device__ void next(const Depthwise& op) {
        to += op.row * VECTOR_BYTES;
        from = static_cast<const char*>(from) + step;
        // One addition a row: the compiler would compute all of them before the first.
        asm volatile("" : "+r"(to), "+l"(from));
    }
};

/// Starts copying `GROUP` rows of the tile from row R on, then the groups after them.
template <unsigned ROWS, unsigned R, unsigned SLOTS>
__device__ __forceinline__ void copy_rows(const Depthwise& op, const Tile& at, Slot (&slots)[SLOTS]) {
    if constexpr (R < ROWS + KERNEL - 1) {
        constexpr unsigned HERE = ROWS + KERNEL - 1 - R < GROUP ? ROWS + KERNEL - 1 - R : GROUP;
        for (Slot& slot : slots) {
#if __CUDA_ARCH__ >= 800
            for (unsigned i = 0; i < HERE; i++) {
                const unsigned bytes = slot.inside ? VECTOR_BYTES : 0;
                if (slot.mine && at.has(R + i, op.height)) {
                    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(slot.to), "l"(slot.from), "r"(bytes) : "memory");
                }
                slot.next(op);
            }
#else
            // All loads before the first store, and no branch between them: where nothing is to be read, the map's first vector is.
            uint4 held[HERE];
            unsigned to[HERE];
            for (unsigned i = 0; i < HERE; i++) {
                const bool there = slot.inside && at.has(R + i, op.height);
                held[i] = __ldg(static_cast<const uint4*>(there ? slot.from : op.input));
                if (!there) held[i] = make_uint4(0, 0, 0, 0);
                to[i] = slot.to;
                slot.next(op);
            }
            for (unsigned i = 0; i < HERE; i++) {
                const uint4 v = held[i];
                if (slot.mine) asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to[i]), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
            }
#endif
        }
#if __CUDA_ARCH__ >= 800
        asm volatile("cp.async.commit_group;" ::: "memory");
#endif
        copy_rows<ROWS, R + GROUP>(op, at, slots);
    }
}

/// Starts copying the tile's rows. A thread copies up to `SLOTS` vectors of each.
template <unsigned ROWS, unsigned SLOTS>
__device__ void fill(const Depthwise& op, const Tile& at, const uint4* tile, unsigned first_part, unsigned parts, unsigned columns) {
    const unsigned thread = SLOTS == 1 ? threadIdx.x : again_thread();
    const Slot first(op, at, tile, thread, first_part, parts, columns);
    if constexpr (SLOTS == 1) {
        Slot slots[] = {first};
        copy_rows<ROWS, 0>(op, at, slots);
    } else {
        Slot slots[] = {first, Slot(op, at, tile, thread + blockDim.x, first_part, parts, columns)};
        copy_rows<ROWS, 0>(op, at, slots);
    }
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

/// Takes input row R of the strip, then hands the output row that is complete with it to `done`. `from`: where the thread's first column
/// of the row is in shared memory; `active`: whether its outputs are the map's.
template <typename T, unsigned ROWS, unsigned R, typename Done>
__device__ __forceinline__ void take_rows(const Depthwise& op, const Tile& at, unsigned from, bool active,
                                          const float (&weights)[TAPS][2], const float (&bias)[2],
                                          float (&sums)[KERNEL][COLUMNS][2], Done& done) {
    if constexpr (R < ROWS + KERNEL - 1) {
        constexpr unsigned GROUPS = (ROWS + KERNEL - 1 + GROUP - 1) / GROUP;
        if constexpr (R % GROUP == 0) wait<GROUPS - 1 - R / GROUP>(R == 0);
        if (at.has(R, op.height) && active) {
#pragma unroll
            for (unsigned x = 0; x < READ; x++) {
                unsigned word;
                asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(from + x * VECTOR_BYTES) : "memory");
                float values[2];
                Stored<T>::unpack(word, values);
#pragma unroll
                for (unsigned ky = 0; ky < KERNEL; ky++) {
                    if (R < ky || R - ky >= ROWS) continue;
#pragma unroll
                    for (unsigned column = 0; column < COLUMNS; column++) {
                        if (x < column || x - column >= KERNEL) continue;
                        const float(&weight)[2] = weights[ky * KERNEL + x - column];
                        float(&sum)[2] = sums[(R - ky) % KERNEL][column];
                        const bool first = ky == 0 && x == column;
                        for (unsigned i = 0; i < 2; i++) sum[i] = fmaf(values[i], weight[i], first ? bias[i] : sum[i]);
                    }
                }
            }
        } else if constexpr (R < ROWS && R < HALO) {
            // a row below the map is the first of no output
            for (unsigned column = 0; column < COLUMNS; column++) {
                for (unsigned i = 0; i < 2; i++) sums[R % KERNEL][column][i] = bias[i];
            }
        }
        if constexpr (R >= KERNEL - 1) {
            if (at.has(R - HALO, op.height) && active) done(op, sums[(R - (KERNEL - 1)) % KERNEL]);
        }
        from += op.row * VECTOR_BYTES;
        asm volatile("" : "+r"(from));
        take_rows<T, ROWS, R + 1>(op, at, from, active, weights, bias, sums, done);
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

/// Norms the positions of a tile, whose sums are in `stash`, and writes them.
template <typename T>
__device__ void norm_tile(const Depthwise& op, const Tile& at, const float* stash, unsigned pitch, unsigned rows, unsigned columns) {
    const float share = 1.0f / static_cast<float>(op.channels);
    const unsigned positions = rows * columns;
    const unsigned thread = again_thread();
    const unsigned lane = thread % 4 * VECTOR;
    // A whole warp takes every turn, also where some of its positions are past the last: there are shuffles in it.
#pragma unroll 1
    for (unsigned first = thread / WARP * 8; first < positions; first += blockDim.x / WARP * 8) {
        const unsigned position = first + thread % WARP / 4;
        const unsigned y = at.top + position / columns;
        const unsigned x = at.left + position % columns;
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
    extern "C" __global__ void __launch_bounds__(384, 1) depthwise_fused_##NAME(const Depthwise op) {                        \
        fused<TYPE, 2>(op);                                                    \
    }

KERNELS(float, f32)
KERNELS(__half, f16)
FAST(__half, f16)
#if __CUDA_ARCH__ >= 800
KERNELS(__nv_bfloat16, bf16)
FAST(__nv_bfloat16, bf16)
#endif
