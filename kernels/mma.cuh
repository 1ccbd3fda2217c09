// Matrix products of a warp by tensor cores, and the copies that feed them: ldmatrix, mma, cp.async, and where 16 bytes of a
// tile lie in shared memory. Fragments are those of m16n8k16 on every card; Turing multiplies them in two steps of k8.
// Not here: any operation of a network.
#pragma once

#include "common.cuh"

/// Tiles in shared memory are rows of 32 values of 16 bits, 64 bytes: four chunks of 16. Chunk c of row r lies at place
/// c ^ (r / 2 % 4) of the row, so that the same chunk of 8 rows in order, which ldmatrix reads at once, covers all 32 banks,
/// and so do the 8 chunks of two rows, which 8 lanes write at once.
enum : unsigned { TILE_K = 32, ROW_BYTES = 64, ROW_CHUNKS = 4, CHUNK_VALUES = 8 };

__device__ __forceinline__ unsigned chunk_place(unsigned row, unsigned chunk) {
    return row * ROW_BYTES + ((chunk ^ (row / 2 % ROW_CHUNKS)) * 16);
}

/// The address of shared memory as instructions take it.
__device__ __forceinline__ unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

/// Four matrices of 8 rows of 16 bytes; lane l gives the address of row l % 8 of matrix l / 8.
__device__ __forceinline__ void load_matrices(unsigned (&words)[4], unsigned address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(address)
                 : "memory");
}

/// sums += a * b of 16 rows, 8 columns and 16 products each.
template <typename T>
__device__ __forceinline__ void multiply_add(float (&sums)[4], const unsigned (&a)[4], const unsigned* b);

template <>
__device__ __forceinline__ void multiply_add<__half>(float (&sums)[4], const unsigned (&a)[4], const unsigned* b) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(b[0]));
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[2]), "r"(a[3]), "r"(b[1]));
#endif
}

#if __CUDA_ARCH__ >= 800
template <>
__device__ __forceinline__ void multiply_add<__nv_bfloat16>(float (&sums)[4], const unsigned (&a)[4], const unsigned* b) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

// Copies that the thread does not wait for. Before Ampere there are none, and nothing to wait for.
#if __CUDA_ARCH__ >= 800
enum : bool { HAS_ASYNC = true };
#else
enum : bool { HAS_ASYNC = false };
#endif

/// Begins to copy 16 bytes to shared memory; zeros, and no read, where `there` is false.
__device__ __forceinline__ void copy_async(unsigned to, const void* from, bool there) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
#endif
}

/// Ends a group of copies.
__device__ __forceinline__ void commit_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until no more than `LEFT` groups are under way.
template <int LEFT>
__device__ __forceinline__ void wait_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
#endif
}
