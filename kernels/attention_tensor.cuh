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

/// 16 bytes of shared memory, read where it says and not once for all: they would take too many registers.
__device__ uint4 load_shared(unsigned address) {
    uint4 words;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
                 : "r"(address)
                 : "memory");
    return words;
}

__device__ int2 load_shared_pair(unsigned address) {
    int2 words;
    asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(words.x), "=r"(words.y) : "r"(address) : "memory");
    return words;
}

/// A number of a table that is complete.
__device__ float load_bias(unsigned address) {
    float bias;
    asm volatile("ld.shared.f32 %0, [%1];" : "=f"(bias) : "r"(address));
    return bias;
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
    constexpr unsigned A_CHUNK = 16 / sizeof(T);
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

    unsigned* const pixels = reinterpret_cast<unsigned*>(memory);
    int* const places = reinterpret_cast<int*>(pixels + POSITIONS);
    uint4* const keys = memory + POSITIONS * 8 / 16 + slot * 2 * KEYS * ROW_BYTES / 16;
    char* const values = reinterpret_cast<char*>(keys + KEYS * ROW_BYTES / 16);
    float* const tables = reinterpret_cast<float*>(memory + (POSITIONS * 8 + op.group * 2 * KEYS * ROW_BYTES) / 16);

    // Biases of all heads of the block, neighbours in memory side by side. They are asked for first, and stored when all else is
    // asked for too. A head beyond the last has the last one's.
    const unsigned bias_row = quotient(thread, op.group_reciprocal), bias_slot = thread - bias_row * op.group;
    const float* const bias = op.bias + min(first_head + bias_slot, op.heads - 1);
    const unsigned bias_step = WARP * split;
    float biases[COPIES];
    for (unsigned i = 0; i < COPIES; i++) {
        const unsigned row = bias_row + i * bias_step;
        biases[i] = row < differences ? __ldg(bias + row * op.heads) : 0;
    }
    for (unsigned i = thread; i < POSITIONS; i += threads) {
        const Position position = position_of(op, window, min(i, area - 1));
        pixels[i] = position.pixel;
        places[i] = (i < area ? position.place : static_cast<int>(op.middle - op.no_key)) * static_cast<int>(sizeof(float));
    }
    __syncthreads();

    const bool is_there = first_head + slot < op.heads;
    const unsigned head = min(first_head + slot, op.heads - 1);
    const size_t area_of_map = size_t{op.height} * op.width;
    // In 16 bytes: a row of the input and of the output, and this lane's 8 channels.
    const unsigned input_row = 3 * op.channels / A_CHUNK, output_row = op.channels / A_CHUNK;
    const unsigned chunk = head * (DIM / A_CHUNK) + quad;
    const uint4* const queries = static_cast<const uint4*>(op.input) + blockIdx.z * area_of_map * input_row + chunk;
    const unsigned tiles = (area + TILE_QUERIES - 1) / TILE_QUERIES;
    unsigned tile = is_there ? part : tiles;
    const unsigned first_key_tile = is_there ? part : KEY_TILES;

    uint4 query[2] = {};
    const auto load_queries = [&] {
        if (tile >= tiles) return;
        for (unsigned half = 0; half < 2; half++) {
            const unsigned pixel = pixels[tile * TILE_QUERIES + half * 8 + line] & PIXEL;
            query[half] = __ldg(queries + pixel * input_row);
        }
    };
    {
        const uint4* const from[2] = {queries + output_row, queries + 2 * output_row};
        uint4 copied[COPIES][2];
        for (unsigned i = 0; i < COPIES; i++) {
            const unsigned key_tile = first_key_tile + i * split;
            if (key_tile >= KEY_TILES) break;
            const unsigned at = (pixels[key_tile * TILE_KEYS + line] & PIXEL) * input_row;
            for (unsigned j = 0; j < 2; j++) copied[i][j] = __ldg(from[j] + at);
        }
        load_queries();
        for (unsigned i = 0; i < COPIES; i++) {
            const unsigned row = bias_row + i * bias_step;
            if (row < differences) tables[bias_slot * op.pitch + row] = biases[i] * LOG2_E;
        }
        if (area < KEYS) {
            for (unsigned i = lane + WARP * part; i <= op.middle; i += bias_step) tables[slot * op.pitch + op.no_key + i] = NO_KEY;
        }
        if (op.padding != nullptr) {
            uint4 padding[2];
            for (unsigned j = 0; j < 2; j++) {
                padding[j] = padding_chunk<T>(op.padding + (j + 1) * op.channels + chunk * A_CHUNK);
            }
            for (unsigned i = 0; i < COPIES; i++) {
                const unsigned key_tile = first_key_tile + i * split;
                if (key_tile >= KEY_TILES) break;
                if ((pixels[key_tile * TILE_KEYS + line] & PADDED) == 0) continue;
                for (unsigned j = 0; j < 2; j++) copied[i][j] = padding[j];
            }
        }
        char* const value_words = values + quad * 4;
        for (unsigned i = 0; i < COPIES; i++) {
            const unsigned key_tile = first_key_tile + i * split;
            if (key_tile >= KEY_TILES) break;
            keys[key_tile * WARP + lane] = copied[i][0];
            const unsigned words[4] = {copied[i][1].x, copied[i][1].y, copied[i][1].z, copied[i][1].w};
            for (unsigned j = 0; j < 4; j++) {
                // the row's part that does not depend on the tile comes last
                const unsigned to = key_tile * TILE_KEYS * ROW_BYTES + value_offset(line, j);
                *reinterpret_cast<unsigned*>(value_words + to) = words[j];
            }
        }
    }
    __syncthreads();

    const bool is_masked = window.is_masked(op);
    const float scale = op.scale * LOG2_E;
    const auto address_of = [](const void* pointer) { return static_cast<unsigned>(__cvta_generic_to_shared(pointer)); };
    const unsigned keys_address = address_of(keys + lane);
    const unsigned table_address = address_of(tables + slot * op.pitch + op.middle);
    // This lane's keys are two of each tile.
    const unsigned pixels_address = address_of(pixels + quad * 2), places_address = address_of(places + quad * 2);
    // Where the row of a matrix begins that this lane gives to ldmatrix: two tiles of keys with two chunks, or one tile with four.
    const unsigned matrix = lane / 8, values_address = address_of(values);
    T* const output = static_cast<T*>(op.output) + (blockIdx.z * area_of_map * output_row + chunk) * A_CHUNK;

#pragma unroll 1
    while (tile < tiles) {
        float scores[KEY_TILES][4];
        // New values in registers side by side: otherwise each product gets a copy of its own.
        const auto fragment = [&](unsigned word) { return word ^ op.zero; };
        const unsigned low[4] = {fragment(query[0].x), fragment(query[1].x), fragment(query[0].y), fragment(query[1].y)};
        const unsigned high[4] = {fragment(query[0].z), fragment(query[1].z), fragment(query[0].w), fragment(query[1].w)};
        for (unsigned n = 0; n < KEY_TILES; n++) {
            for (float& score : scores[n]) score = 0;
            const uint4 key = load_shared(keys_address + n * TILE_KEYS * ROW_BYTES);
            Product<T>::whole(scores[n], low, key.x, key.y);
            Product<T>::whole(scores[n], high, key.z, key.w);
        }

        unsigned pixel[2], row[2];
        const unsigned first = tile * TILE_QUERIES + line;
        for (unsigned half = 0; half < 2; half++) {
            pixel[half] = pixels[first + half * 8];
            // beyond the area as at the last position
            const unsigned place = min(static_cast<unsigned>(places[first + half * 8]), op.middle * unsigned{sizeof(float)});
            row[half] = table_address + place;
        }
        // The queries of the next tile come while these are computed.
        tile += split;
        load_queries();

        // Scores in powers of two.
        for (unsigned n = 0; n < KEY_TILES; n++) {
            const int2 place = load_shared_pair(places_address + n * TILE_KEYS * sizeof(int));
            for (unsigned i = 0; i < 4; i++) {
                const float bias = load_bias(row[i / 2] - (i % 2 == 0 ? place.x : place.y));
                scores[n][i] = scores[n][i] * scale + bias;
            }
        }
        if (is_masked) {
            for (unsigned n = 0; n < KEY_TILES; n++) {
                const int2 key = load_shared_pair(pixels_address + n * TILE_KEYS * sizeof(int));
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
                const unsigned at = n * TILE_KEYS * ROW_BYTES + value_offset(matrix % 2 * 8 + lane % 8, j + matrix / 2);
                load_transposed(words, values_address + at);
                Product<T>::whole(results[j], powers, words[0], words[1]);
                Product<T>::whole(results[j + 1], powers, words[2], words[3]);
            }
            Product<T>::whole(sums, powers, one, one);
        }
        if constexpr (KEY_TILES % 2 == 1) {
            unsigned words[4];
            load_transposed(words, values_address + (KEYS - TILE_KEYS) * ROW_BYTES + value_offset(lane % 8, matrix));
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
            store(output + size_t{pixel[half] & PIXEL} * op.channels, packed);
        }
    }
}
