// Does the emulated GPU see what it must? Runs one kernel, right or wrong:
//
//     emulator_test NAME SEED
//
// and prints what a thread of it read. tests/cuda/test_emulator.py says what
// must come of each.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cuda_pipeline.h"
#include "cuda_runtime.h"
#include "mma.h"

namespace {

struct Parameters {
  int fault;
  float* memory;
};

enum Fault {
  kNoWarpBarrier,
  kShuffleForBarrier,
  kWarpBarrier,
  kNoBlockBarrier,
  kBlockBarrier,
  kBehindShared,
  kNeverMet,
  kMisalignedCopy,
  kCopyNotAwaited,
  kMisalignedMatrix,
  kBlocksRace,
  kLargeShared,
};
const char* const kNames[] = {
    "no_warp_barrier",   "shuffle_for_barrier", "warp_barrier",
    "no_block_barrier",  "block_barrier",       "behind_shared",
    "never_met",         "misaligned_copy",     "copy_not_awaited",
    "misaligned_matrix", "blocks_race",         "large_shared"};

__global__ void Kernel(const Parameters p) {
  BVKERAS_DYNAMIC_SHARED(shared);
  auto* const numbers = reinterpret_cast<float*>(shared);
  const unsigned thread = threadIdx.x;
  const unsigned other = thread ^ (p.fault >= kNoBlockBarrier ? 32 : 1);
  switch (p.fault) {
    case kBehindShared:
      numbers[64] = 1;
      return;
    case kNeverMet:
      if (thread > 0) __syncwarp();
      return;
    case kMisalignedCopy:
      __pipeline_memcpy_async(shared, p.memory + 1, 16);
      return;
    case kCopyNotAwaited:
      __pipeline_memcpy_async(shared + 16 * (thread % 16), p.memory, 16);
      __pipeline_commit();
      return;
    case kMisalignedMatrix: {
      nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float> sum;
      nvcuda::wmma::store_matrix_sync(p.memory + 1, sum, 16,
                                      nvcuda::wmma::mem_row_major);
      return;
    }
    case kBlocksRace:
      // A block's barriers order nothing of another block. A barrier has two
      // objects in turn: three meet the first one again.
      __syncthreads();
      __syncthreads();
      if (thread == 0) p.memory[0] += 1;
      __syncthreads();
      return;
    default:
      break;
  }
  numbers[thread] = static_cast<float>(thread);
  if (p.fault == kShuffleForBarrier) __shfl_xor_sync(0xffffffffu, 1.0f, 1);
  if (p.fault == kWarpBarrier) __syncwarp();
  if (p.fault == kBlockBarrier) __syncthreads();
  p.memory[thread] = numbers[other];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  alignas(32) float memory[512] = {};
  for (int fault = 0; fault <= kLargeShared; ++fault) {
    if (std::strcmp(argv[1], kNames[fault]) != 0) continue;
    emulation::SetSeed(std::atoi(argv[2]));
    BVKERAS_LAUNCH(Kernel, fault == kBlocksRace ? 2 : 1, 64,
                   fault == kLargeShared ? 50000 : 256, nullptr,
                   Parameters{fault, memory});
    bool exchanged = true;
    for (int i = 0; i < 64; ++i) {
      const int other = i ^ (fault >= kNoBlockBarrier ? 32 : 1);
      exchanged = exchanged && memory[i] == static_cast<float>(other);
    }
    std::puts(exchanged ? "every number arrived" : "numbers are missing");
    return 0;
  }
  return 2;
}
