// How the last of several blocks goes on with what all of them wrote, within one launch: no second launch, no atomic sum. Which block is
// the last may differ from run to run; what it computes may not, for it takes the parts in their own order.
// Not here: what is written and what becomes of it.
#pragma once

#include "common.cuh"

/// Whether this block is the last of `blocks` that share a counter, which is 0 before the launch and after it. What the others wrote to
/// global memory before is then there to be read, but not by `load` or `__ldg`: those take it for what nothing writes. All threads
/// of the block come here together; `word` is 4 bytes of shared memory that nothing else uses until the next barrier.
__device__ __forceinline__ bool is_last_block(unsigned* counter, unsigned blocks, unsigned* word) {
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) *word = atomicInc(counter, blocks - 1);
    __syncthreads();
    const bool last = *word == blocks - 1;
    if (last) __threadfence();
    return last;
}
