// Window attention by tensor cores, for f16 and bf16 and heads of 32 channels: a block takes a window and some heads.
// Not here: other types and shapes (`attention_plain.cuh`).
//
// Launch     `group` heads a block with `split` warps each: block 32 * group * split; grid (ceil(heads / group) * windows across,
//            windows down, images), the groups first. KEY_TILES * 8 is at least the area; split is at least MIN_SPLIT.
// Tile       A warp takes 16 queries at a time, of `split` warps each every split-th tile: scores 16 × 8 KEY_TILES, softmax and
//            results 16 × 32 stay in its registers. What a query gives does not depend on group and split.
// Shared     Position [KEYS]; for each head keys [KEYS][64 bytes] and values [KEYS][64 bytes]; biases [group][differences] in f32.
//            KEYS = 8 KEY_TILES; at most 48 KB.
// Fragments  A product's sum does not care in which order its terms come, as long as both operands agree. So a lane takes its
//            16 bytes of a row, channels 8t … 8t+7 for t = lane % 4, for what mma calls columns 2t, 2t+1, 2t+8 and so on: queries go from
//            memory to fragments as they are, and keys come from shared memory 16 bytes a lane, as they were written.
//            Values are needed by columns: ldmatrix.trans. They are written such that word i of a lane's 16 bytes comes to stand in
//            chunk i, and then the results of a lane are channels 8t … 8t+7 again, 16 bytes of a row.
// Banks      keys at 16 * lane: no conflict. Values: chunk i of row r lies at r * 64 + (i ^ (r / 2 % 4)) * 16, so that neither the
//            words of 8 rows, which are written at once, nor 8 rows of a chunk, which ldmatrix reads, share a bank. Biases of 8 queries and
//            4 pairs of keys, where windows are 7 or 8 wide, lie less than 32 words apart.
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

/// Bytes from the begin of a head's values to 16 bytes of a row.
__device__ unsigned value_offset(unsigned row, unsigned chunk) { return row * ROW_BYTES + (chunk ^ (row / 2 % 4)) * 16; }

/// 16 bytes of a row of 3 * channels; zeros where there is no pixel.
template <typename T>
__device__ uint4 load_chunk(const T* from, int pixel, unsigned row_length) {
    if (pixel < 0) return make_uint4(0, 0, 0, 0);
    return __ldg(reinterpret_cast<const uint4*>(from + size_t(pixel) * row_length));
}

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
    constexpr unsigned KEYS = KEY_TILES * TILE_KEYS;
    // Tiles of keys and biases that a thread copies, at most: a table has less than 4 KEYS rows.
    constexpr unsigned COPIES = (KEY_TILES + MIN_SPLIT - 1) / MIN_SPLIT;
    extern __shared__ uint4 memory[];

    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const unsigned line = lane / 4, quad = lane % 4;
    const unsigned slot = warp / op.split, part = warp % op.split;
    const unsigned groups = (op.heads + op.group - 1) / op.group;
    const unsigned first_head = blockIdx.x % groups * op.group;
    const unsigned head = first_head + slot;
    const Window window{blockIdx.y, blockIdx.x / groups};
    const unsigned area = op.window_height * op.window_width;
    const unsigned differences = (2 * op.window_height - 1) * (2 * op.window_width - 1);

    Position* const positions = reinterpret_cast<Position*>(memory);
    uint4* const keys = memory + KEYS * sizeof(Position) / 16 + slot * 2 * KEYS * ROW_BYTES / 16;
    char* const values = reinterpret_cast<char*>(keys + KEYS * ROW_BYTES / 16);
    float* const tables = reinterpret_cast<float*>(memory + (KEYS * sizeof(Position) + op.group * 2 * KEYS * ROW_BYTES) / 16);

    // Biases of all heads of the block, neighbours in the table side by side. They are asked for first and stored when all else is
    // asked for too.
    const unsigned bias_slot = threadIdx.x % op.group, bias_first = threadIdx.x / op.group;
    const unsigned bias_step = WARP * op.split;
    float biases[COPIES];
    for (unsigned i = 0; i < COPIES; i++) {
        const unsigned difference = bias_first + i * bias_step;
        biases[i] = 0;
        if (difference < differences && first_head + bias_slot < op.heads) {
            biases[i] = __ldg(op.bias + difference * op.heads + first_head + bias_slot);
        }
    }
    for (unsigned i = threadIdx.x; i < KEYS; i += blockDim.x) positions[i] = position_of(op, window, i);
    __syncthreads();

    const bool is_there = head < op.heads;
    const size_t pixels = size_t{op.height} * op.width;
    const unsigned row_length = 3 * op.channels;
    // This lane's 8 channels of a query.
    const unsigned channel = head * DIM + quad * 8;
    const T* const queries = static_cast<const T*>(op.input) + blockIdx.z * pixels * row_length + channel;
    const unsigned tiles = (area + TILE_QUERIES - 1) / TILE_QUERIES;
    unsigned tile = is_there ? part : tiles;

    uint4 query[2] = {};
    const auto load_queries = [&] {
        if (tile >= tiles) return;
        for (unsigned half = 0; half < 2; half++) {
            const unsigned index = tile * TILE_QUERIES + half * 8 + line;
            const int pixel = index < KEYS ? positions[index].pixel : NOTHING;
            query[half] = load_chunk(queries, pixel, row_length);
        }
    };
    {
        uint4 copied[COPIES][2];
        for (unsigned i = 0; i < COPIES; i++) {
            const unsigned key_tile = part + i * op.split;
            if (key_tile >= KEY_TILES) break;
            const int pixel = is_there ? positions[key_tile * TILE_KEYS + line].pixel : NOTHING;
            copied[i][0] = load_chunk(queries + op.channels, pixel, row_length);
            copied[i][1] = load_chunk(queries + 2 * op.channels, pixel, row_length);
        }
        load_queries();
        for (unsigned i = 0; i < COPIES; i++) {
            const unsigned difference = bias_first + i * bias_step;
            if (difference < differences) tables[bias_slot * differences + difference] = biases[i] * LOG2_E;
        }
        if (op.padding != nullptr && is_there) {
            const uint4 key = padding_chunk<T>(op.padding + op.channels + channel);
            const uint4 value = padding_chunk<T>(op.padding + 2 * op.channels + channel);
            for (unsigned i = 0; i < COPIES; i++) {
                const unsigned key_tile = part + i * op.split;
                if (key_tile >= KEY_TILES) break;
                if (positions[key_tile * TILE_KEYS + line].pixel != PADDING) continue;
                copied[i][0] = key;
                copied[i][1] = value;
            }
        }
        for (unsigned i = 0; i < COPIES; i++) {
            const unsigned key_tile = part + i * op.split;
            if (key_tile >= KEY_TILES) break;
            keys[key_tile * WARP + lane] = copied[i][0];
            const unsigned words[4] = {copied[i][1].x, copied[i][1].y, copied[i][1].z, copied[i][1].w};
            for (unsigned chunk = 0; chunk < 4; chunk++) {
                const unsigned to = value_offset(key_tile * TILE_KEYS + line, chunk) + quad * 4;
                *reinterpret_cast<unsigned*>(values + to) = words[chunk];
            }
        }
    }
    __syncthreads();

    const bool is_masked = window.is_masked(op);
    const float scale = op.scale * LOG2_E;
    const char* const table = reinterpret_cast<const char*>(tables + slot * differences) + middle_of(op);
    // Where the row of a matrix begins that this lane gives to ldmatrix: two tiles of keys with two chunks, or one with four.
    const unsigned matrix = lane / 8;
    const unsigned values_address = static_cast<unsigned>(__cvta_generic_to_shared(values));
    const unsigned keys_address = static_cast<unsigned>(__cvta_generic_to_shared(keys + lane));
    // The positions of this lane's keys, two of each tile.
    const unsigned places_address = static_cast<unsigned>(__cvta_generic_to_shared(memory + quad));
    T* const output = static_cast<T*>(op.output) + blockIdx.z * pixels * op.channels + channel;

#pragma unroll 1
    while (tile < tiles) {
        float scores[KEY_TILES][4];
        const unsigned low[4] = {query[0].x, query[1].x, query[0].y, query[1].y};
        const unsigned high[4] = {query[0].z, query[1].z, query[0].w, query[1].w};
        for (unsigned n = 0; n < KEY_TILES; n++) {
            for (float& score : scores[n]) score = 0;
            const uint4 chunk = load_shared(keys_address + n * TILE_KEYS * ROW_BYTES);
            Product<T>::whole(scores[n], low, chunk.x, chunk.y);
            Product<T>::whole(scores[n], high, chunk.z, chunk.w);
            if ((n + 1) * TILE_KEYS > area) {
                const unsigned key = n * TILE_KEYS + quad * 2;
                if (key >= area) scores[n][0] = scores[n][2] = NO_KEY;
                if (key + 1 >= area) scores[n][1] = scores[n][3] = NO_KEY;
            }
        }

        Position rows[2];
        for (unsigned half = 0; half < 2; half++) {
            const unsigned index = tile * TILE_QUERIES + half * 8 + line;
            rows[half] = index < KEYS ? positions[index] : Position{NOTHING, 0};
        }
        // The queries of the next tile come while these are computed.
        tile += op.split;
        load_queries();

        // Scores in powers of two.
        for (unsigned n = 0; n < KEY_TILES; n++) {
            const uint4 two = load_shared(places_address + n * TILE_KEYS * sizeof(Position));
            for (unsigned i = 0; i < 4; i++) {
                const unsigned query_place = rows[i / 2].place % REGION;
                const unsigned key_place = (i % 2 == 0 ? two.y : two.w) % REGION;
                const float bias = *reinterpret_cast<const float*>(table + static_cast<int>(query_place - key_place));
                scores[n][i] = scores[n][i] * scale + bias;
            }
        }
        if (is_masked) {
            for (unsigned n = 0; n < KEY_TILES; n++) {
                const uint4 two = load_shared(places_address + n * TILE_KEYS * sizeof(Position));
                for (unsigned i = 0; i < 4; i++) {
                    const unsigned key_place = i % 2 == 0 ? two.y : two.w;
                    if ((rows[i / 2].place ^ key_place) >= REGION) scores[n][i] += MASKED * LOG2_E;
                }
            }
        }

        // A row is four lanes'.
        float factors[2];
        for (unsigned half = 0; half < 2; half++) {
            float most = fmaxf(scores[0][half * 2], scores[0][half * 2 + 1]);
            for (unsigned n = 1; n < KEY_TILES; n++) most = fmaxf(most, fmaxf(scores[n][half * 2], scores[n][half * 2 + 1]));
            most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 1));
            most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 2));
            float sum = 0;
            for (unsigned n = 0; n < KEY_TILES; n++) {
                for (unsigned i = half * 2; i < half * 2 + 2; i++) {
                    scores[n][i] = power_of_two(scores[n][i] - most);
                    sum += scores[n][i];
                }
            }
            sum += __shfl_xor_sync(ALL_LANES, sum, 1);
            sum += __shfl_xor_sync(ALL_LANES, sum, 2);
            factors[half] = __fdividef(1.0f, sum);
        }

        float results[4][4] = {};
        for (unsigned n = 0; n + 1 < KEY_TILES; n += 2) {
            unsigned powers[4];
            for (unsigned i = 0; i < 4; i++) powers[i] = Stored<T>::pack(scores[n + i / 2] + i % 2 * 2);
            for (unsigned chunk = 0; chunk < 4; chunk += 2) {
                unsigned words[4];
                const unsigned row = n * TILE_KEYS + matrix % 2 * 8 + lane % 8;
                load_transposed(words, values_address + value_offset(row, chunk + matrix / 2));
                Product<T>::whole(results[chunk], powers, words[0], words[1]);
                Product<T>::whole(results[chunk + 1], powers, words[2], words[3]);
            }
        }
        if constexpr (KEY_TILES % 2 == 1) {
            unsigned words[4];
            const unsigned row = (KEY_TILES - 1) * TILE_KEYS + lane % 8;
            load_transposed(words, values_address + value_offset(row, matrix));
            const unsigned first = Stored<T>::pack(scores[KEY_TILES - 1]), second = Stored<T>::pack(scores[KEY_TILES - 1] + 2);
            for (unsigned chunk = 0; chunk < 4; chunk++) Product<T>::half(results[chunk], first, second, words[chunk]);
        }

        for (unsigned half = 0; half < 2; half++) {
            if (rows[half].pixel < 0) continue;
            float row[8];
            for (unsigned i = 0; i < 8; i++) row[i] = results[i / 2][half * 2 + i % 2] * factors[half];
            Packed<T, 8> packed;
            packed.pack(row);
            store(output + size_t(rows[half].pixel) * op.channels, packed);
        }
    }
}
