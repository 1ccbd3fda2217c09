// Window attention by tensor cores, for f16 and bf16 and heads of 32 channels: a block takes a window and some heads.
// Not here: other types and shapes (`attention_plain.cuh`).
//
// Launch     block (32, split, group): `group` heads of a window, `split` warps each; grid (groups * windows across, windows down,
//            images), where groups = ceil(heads / group), and the groups come first. 8 * KEY_TILES is at least the area, group * split at most 4,
//            split at least MIN_SPLIT.
// Tile       A warp takes 16 queries at a time, every split-th such tile: scores 16 × 8 KEY_TILES, softmax and results
//            16 × 32 stay in its registers. What a query gives does not depend on group and split.
// Shared     pixels [POSITIONS] and places [POSITIONS] in bytes, 4 bytes each; for each head keys [KEYS][64 bytes] and values [KEYS][64 bytes];
//            for each head a table of biases [pitch] in f32. KEYS = 8 KEY_TILES, POSITIONS are KEYS up to a multiple of 16. At most 48 KB.
// Fragments  The terms of a sum may come in any order, as long as both operands agree. So a lane takes its 16 bytes of a row,
//            channels 8t … 8t+7 for t = lane % 4, for what mma calls columns 2t, 2t+1, 2t+8 and so on: queries go from
//            memory to fragments as they are, and keys come from shared memory 16 bytes a lane, as they were written.
//            Values are needed by columns: ldmatrix.trans. They are written such that word i of a lane's 16 bytes comes to stand in
//            chunk i; then the results of a lane are channels 8t … 8t+7 again, 16 bytes of a row. A column of ones beside the values
//            gives the sums of the exponentials.
// Beyond     Where the area is less than KEYS, the last position is repeated. Such keys have places of their own, at which the
//            table says NO_KEY; such queries are not written.
// Banks      Keys at 16 * lane: no conflict. Values: chunk i of row r lies at r * 64 + (i ^ (r / 2 % 4)) * 16, so that neither the
//            words of 8 rows, which are written at once, nor 8 rows of a chunk, which ldmatrix reads, share a bank. Biases of 8 queries and
//            4 pairs of keys, where windows are 7 or 8 wide, lie less than 32 words apart, those of NO_KEY 16 banks away. The tables of
//            a block's heads are written side by side: each begins as many banks further as a warp writes of the one before.
#pragma once

#include "attention.cuh"

enum : unsigned { DIM = 32, ROW_BYTES = 64, TILE_QUERIES = 16, TILE_KEYS = 8, TENSOR_BLOCK = 128 };

/// Added to the scores of keys that only fill up a tile.
#define NO_KEY (-1e30f)

/// The matrix product of a type: `sums` [16, 8] in f32 += a [16, 16] · b [16, 8], or half of that.
template <typename T>
struct Product;

#define MMA(NAME, A, B)                                                                                            \
    asm("mma.sync.aligned." NAME " {%0, %1, %2, %3}, " A ", " B ", {%0, %1, %2, %3};"                                \
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])                                               \
        :

template <>
struct Product<__half> {
    static __device__ void half(float (&sums)[4], unsigned a0, unsigned a1, unsigned b) {
        MMA("m16n8k8.row.col.f32.f16.f16.f32", "{%4, %5}", "{%6}") "r"(a0), "r"(a1), "r"(b));
    }
    static __device__ void whole(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if __CUDA_ARCH__ >= 800
        MMA("m16n8k16.row.col.f32.f16.f16.f32", "{%4, %5, %6, %7}", "{%8, %9}")
            "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
        half(sums, a[0], a[1], b0);
        half(sums, a[2], a[3], b1);
#endif
    }
};

#if __CUDA_ARCH__ >= 800
template <>
struct Product<__nv_bfloat16> {
    static __device__ void half(float (&sums)[4], unsigned a0, unsigned a1, unsigned b) {
        MMA("m16n8k8.row.col.f32.bf16.bf16.f32", "{%4, %5}", "{%6}") "r"(a0), "r"(a1), "r"(b));
    }
    static __device__ void whole(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
        MMA("m16n8k16.row.col.f32.bf16.bf16.f32", "{%4, %5, %6, %7}", "{%8, %9}")
            "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
};
#endif

/// Four 8×8 matrices of 16-bit numbers, transposed; each lane gives the address of a row.
__device__ void load_transposed(unsigned (&words)[4], unsigned address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(address)
                 : "memory");
}

// Shared memory by its address, which has 32 bits. What is read is read here, and not kept since an earlier round: registers are few.

__device__ unsigned load_word(unsigned address) {
    unsigned word;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(address) : "memory");
    return word;
}

__device__ uint2 load_pair(unsigned address) {
    uint2 words;
    asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(words.x), "=r"(words.y) : "r"(address) : "memory");
    return words;
}

__device__ uint4 load_four(unsigned address) {
    uint4 words;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
                 : "r"(address)
                 : "memory");
    return words;
}

__device__ void store_word(unsigned address, unsigned word) {
    asm volatile("st.shared.u32 [%0], %1;" ::"r"(address), "r"(word) : "memory");
}

__device__ void store_four(unsigned address, const uint4& words) {
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(words.x), "r"(words.y), "r"(words.z), "r"(words.w)
                 : "memory");
}

/// A pointer from which the compiler counts, instead of summing up anew what it was made of.
template <typename T>
__device__ const T* base(const void* pointer) {
    asm("" : "+l"(pointer));
    return static_cast<const T*>(pointer);
}

/// Reads at so many rows of so many bytes from a pointer.
template <typename T>
__device__ T load_row(const T* from, unsigned row, unsigned row_bytes) {
    return __ldg(reinterpret_cast<const T*>(reinterpret_cast<const char*>(from) + size_t{row} * row_bytes));
}

/// Bytes from the begin of a head's values to 16 bytes of a row.
__device__ unsigned value_offset(unsigned row, unsigned chunk) { return row * ROW_BYTES + (chunk ^ (row / 2 % 4)) * 16; }

/// 8 channels of padding, rounded.
template <typename T>
__device__ uint4 padding_chunk(const float* from) {
    Packed<float, 8> stored;
    load(from, stored);
    float values[8];
    stored.unpack(values);
    Packed<T, 8> packed;
    packed.pack(values);
    return make_uint4(packed.words[0], packed.words[1], packed.words[2], packed.words[3]);
}

template <typename T, unsigned KEY_TILES, unsigned MIN_SPLIT>
__device__ void attention_tensor(const Attention& op) {
    constexpr unsigned KEYS = KEY_TILES * TILE_KEYS, POSITIONS = (KEYS + TILE_QUERIES - 1) / TILE_QUERIES * TILE_QUERIES;
    // Tiles of keys and rows of the table that a thread copies, at most: a table has less than 4 KEYS rows.
    constexpr unsigned COPIES = (KEY_TILES + MIN_SPLIT - 1) / MIN_SPLIT;
    constexpr unsigned WORD = 4, A_TILE = TILE_KEYS * ROW_BYTES;
    extern __shared__ uint4 memory[];

    const unsigned lane = threadIdx.x, part = threadIdx.y, slot = threadIdx.z;
    const unsigned split = blockDim.y, threads = WARP * split * op.group;
    const unsigned thread = lane + WARP * (part + split * slot);
    const unsigned line = lane / 4, quad = lane % 4;
    const unsigned across = blockIdx.x / op.groups;
    const unsigned first_head = (blockIdx.x - across * op.groups) * op.group;
    const Window window{blockIdx.y, across};
    const unsigned area = op.window_height * op.window_width;
    const unsigned differences = (2 * op.window_height - 1) * (2 * op.window_width - 1);

    const unsigned pixels = static_cast<unsigned>(__cvta_generic_to_shared(memory)), places = pixels + POSITIONS * WORD;
    const unsigned heads = places + POSITIONS * WORD, keys = heads + slot * 2 * KEYS * ROW_BYTES;
    const unsigned values = keys + KEYS * ROW_BYTES, tables = heads + op.group * 2 * KEYS * ROW_BYTES;

    // Biases of all heads of the block, neighbours in memory side by side. They are asked for first, and stored when all else is
    // asked for too. A head beyond the last has the last one's.
    const unsigned bias_row = quotient(thread, op.group_reciprocal), bias_slot = thread - bias_row * op.group;
    const float* const bias = base<float>(op.bias + min(first_head + bias_slot, op.heads - 1));
    const unsigned bias_step = WARP * split;
    float biases[COPIES];
    for (unsigned i = 0; i < COPIES; i++) {
        const unsigned row = bias_row + i * bias_step;
        if (row < differences) biases[i] = load_row(bias, row, op.heads * WORD);
    }
    for (unsigned i = thread; i < POSITIONS; i += threads) {
        const Position position = position_of(op, window, min(i, area - 1));
        store_word(pixels + i * WORD, position.pixel);
        store_word(places + i * WORD, (i < area ? position.place : op.middle - op.no_key) * WORD);
    }
    __syncthreads();

    const bool is_there = first_head + slot < op.heads;
    const unsigned head = min(first_head + slot, op.heads - 1);
    // Bytes of a pixel of the output; one of the input has three times as many. And how many come before this lane's 8 channels.
    const unsigned output_row = op.channels * sizeof(T), input_row = 3 * output_row, channel = head * ROW_BYTES + quad * 16;
    const size_t first_pixel = size_t{blockIdx.z} * op.height * op.width;
    const char* const input = static_cast<const char*>(op.input) + first_pixel * input_row + channel;
    const uint4* const queries = base<uint4>(input);
    const unsigned tiles = (area + TILE_QUERIES - 1) / TILE_QUERIES;
    unsigned tile = is_there ? part : tiles;
    const unsigned first_key_tile = is_there ? part : KEY_TILES;

    const unsigned query_pixels = pixels + line * WORD;
    uint4 query[2];
    const auto load_queries = [&] {
        if (tile >= tiles) return;
        for (unsigned half = 0; half < 2; half++) {
            const unsigned pixel = load_word(query_pixels + (tile * TILE_QUERIES + half * 8) * WORD) & PIXEL;
            query[half] = load_row(queries, pixel, input_row);
        }
    };
    {
        const uint4* const from[2] = {base<uint4>(input + output_row), base<uint4>(input + 2 * output_row)};
        uint4 copied[COPIES][2];
        for (unsigned i = 0; i < COPIES; i++) {
            const unsigned key_tile = first_key_tile + i * split;
            if (key_tile >= KEY_TILES) break;
            const unsigned pixel = load_word(query_pixels + key_tile * TILE_KEYS * WORD) & PIXEL;
            for (unsigned j = 0; j < 2; j++) copied[i][j] = load_row(from[j], pixel, input_row);
        }
        load_queries();
        const unsigned table = tables + bias_slot * op.pitch * WORD;
        for (unsigned i = 0; i < COPIES; i++) {
            const unsigned row = bias_row + i * bias_step;
            if (row < differences) store_word(table + row * WORD, __float_as_uint(biases[i] * LOG2_E));
        }
        if (area < KEYS) {
            const unsigned table = tables + (slot * op.pitch + op.no_key) * WORD;
            for (unsigned i = lane + WARP * part; i <= op.middle; i += bias_step) {
                store_word(table + i * WORD, __float_as_uint(NO_KEY));
            }
        }
        if (op.padding != nullptr) {
            uint4 padding[2];
            for (unsigned j = 0; j < 2; j++) {
                padding[j] = padding_chunk<T>(op.padding + (j + 1) * op.channels + channel / sizeof(T));
            }
            for (unsigned i = 0; i < COPIES; i++) {
                const unsigned key_tile = first_key_tile + i * split;
                if (key_tile >= KEY_TILES) break;
                if ((load_word(query_pixels + key_tile * TILE_KEYS * WORD) & PADDED) == 0) continue;
                for (unsigned j = 0; j < 2; j++) copied[i][j] = padding[j];
            }
        }
        for (unsigned i = 0; i < COPIES; i++) {
            const unsigned key_tile = first_key_tile + i * split;
            if (key_tile >= KEY_TILES) break;
            const uint4 key = copied[i][0], value = copied[i][1];
            store_four(keys + lane * 16 + key_tile * A_TILE, key);
            const unsigned words[4] = {value.x, value.y, value.z, value.w};
            for (unsigned j = 0; j < 4; j++) {
                store_word(values + value_offset(line, j) + quad * WORD + key_tile * A_TILE, words[j]);
            }
        }
    }
    __syncthreads();

    const bool is_masked = window.is_masked(op);
    const float scale = op.scale * LOG2_E;
    const unsigned table = tables + (slot * op.pitch + op.middle) * WORD;
    // Which row of which matrix this lane gives to ldmatrix: of two tiles of keys and two chunks, or of one tile and four.
    const unsigned matrix = lane / 8, matrix_row = lane % 8;
    char* const output = static_cast<char*>(op.output) + first_pixel * output_row + channel;

#pragma unroll 1
    while (tile < tiles) {
        float scores[KEY_TILES][4];
        // New values in registers side by side: otherwise each product gets a copy of its own.
        const auto fragment = [&](unsigned word) { return word ^ op.zero; };
        const unsigned low[4] = {fragment(query[0].x), fragment(query[1].x), fragment(query[0].y), fragment(query[1].y)};
        const unsigned high[4] = {fragment(query[0].z), fragment(query[1].z), fragment(query[0].w), fragment(query[1].w)};
        for (unsigned n = 0; n < KEY_TILES; n++) {
            for (float& score : scores[n]) score = 0;
            const uint4 key = load_four(keys + lane * 16 + n * A_TILE);
            Product<T>::whole(scores[n], low, key.x, key.y);
            Product<T>::whole(scores[n], high, key.z, key.w);
        }

        unsigned pixel[2], row[2];
        const unsigned first = tile * TILE_QUERIES + line;
        for (unsigned half = 0; half < 2; half++) {
            const unsigned at = (first + half * 8) * WORD;
            pixel[half] = load_word(pixels + at);
            // beyond the area as at the last position
            row[half] = table + min(load_word(places + at), op.middle * WORD);
        }
        // The queries of the next tile come while these are computed.
        tile += split;
        load_queries();

        // Scores in powers of two.
        for (unsigned n = 0; n < KEY_TILES; n++) {
            // this lane's keys are two of each tile
            const uint2 place = load_pair(places + (n * TILE_KEYS + quad * 2) * WORD);
            for (unsigned i = 0; i < 4; i++) {
                const float bias = __uint_as_float(load_word(row[i / 2] - (i % 2 == 0 ? place.x : place.y)));
                scores[n][i] = scores[n][i] * scale + bias;
            }
        }
        if (is_masked) {
            for (unsigned n = 0; n < KEY_TILES; n++) {
                const uint2 key = load_pair(pixels + (n * TILE_KEYS + quad * 2) * WORD);
                for (unsigned i = 0; i < 4; i++) {
                    const unsigned difference = pixel[i / 2] ^ (i % 2 == 0 ? key.x : key.y);
                    if ((difference & REGION) != 0) scores[n][i] += MASKED * LOG2_E;
                }
            }
        }

        // A row is four lanes'.
        for (unsigned half = 0; half < 2; half++) {
            float most = fmaxf(scores[0][half * 2], scores[0][half * 2 + 1]);
            for (unsigned n = 1; n < KEY_TILES; n++) most = fmaxf(most, fmaxf(scores[n][half * 2], scores[n][half * 2 + 1]));
            most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 1));
            most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 2));
            for (unsigned n = 0; n < KEY_TILES; n++) {
                for (unsigned i = half * 2; i < half * 2 + 2; i++) scores[n][i] = power_of_two(scores[n][i] - most);
            }
        }

        float results[4][4] = {}, sums[4] = {};
        const float ones[2] = {1, 1};
        const unsigned one = Stored<T>::pack(ones);
        for (unsigned n = 0; n + 1 < KEY_TILES; n += 2) {
            unsigned powers[4];
            for (unsigned i = 0; i < 4; i++) powers[i] = Stored<T>::pack(scores[n + i / 2] + i % 2 * 2);
            for (unsigned j = 0; j < 4; j += 2) {
                unsigned words[4];
                load_transposed(words, values + value_offset(matrix % 2 * 8 + matrix_row, j + matrix / 2) + n * A_TILE);
                Product<T>::whole(results[j], powers, words[0], words[1]);
                Product<T>::whole(results[j + 1], powers, words[2], words[3]);
            }
            Product<T>::whole(sums, powers, one, one);
        }
        if constexpr (KEY_TILES % 2 == 1) {
            unsigned words[4];
            load_transposed(words, values + value_offset(matrix_row, matrix) + (KEY_TILES - 1) * A_TILE);
            unsigned powers[2];
            for (unsigned i = 0; i < 2; i++) powers[i] = Stored<T>::pack(scores[KEY_TILES - 1] + i * 2);
            for (unsigned j = 0; j < 4; j++) Product<T>::half(results[j], powers[0], powers[1], words[j]);
            Product<T>::half(sums, powers[0], powers[1], one);
        }

        for (unsigned half = 0; half < 2; half++) {
            if (pixel[half] & PADDED || first + half * 8 >= area) continue;
            const float factor = reciprocal(sums[half * 2]);
            float channels[8];
            for (unsigned i = 0; i < 8; i++) channels[i] = results[i / 2][half * 2 + i % 2] * factor;
            Packed<T, 8> packed;
            packed.pack(channels);
            store(reinterpret_cast<T*>(output + size_t{pixel[half] & PIXEL} * output_row), packed);
        }
    }
}
