// What one instruction set offers to the driver: three passes over a chunk of
// tokens. Plain data only: the files behind it are compiled for processors
// that the driver may not be running on, and must share no inline function
// with it.

#ifndef BVKERAS_KERNELS_CPU_TILE_KERNELS_H_
#define BVKERAS_KERNELS_CPU_TILE_KERNELS_H_

#include "../linear_pooling.h"

namespace bvkeras {
namespace cpu {

// Units are padded to this many in the stash and in every scratch array.
constexpr int64_t kUnitPad = 16;
// Features are padded to this many where rows are copied.
constexpr int64_t kFeaturePad = 32;
// Most rows of a tile; a tile holds whole tokens, and at least one.
constexpr int64_t kTileRows = 128;

// One pass's operands, the same for all chunks.
struct Pass {
  const Problem* problem;
  int64_t padded_units;
  int64_t padded_features;
  // Real tokens, each as b * tokens + t, in the order of their processing:
  // by position first where V is per position, as they lie otherwise.
  const int64_t* order;
  // Tokens in a tile, at least 1; rows in a tile.
  int64_t tile_tokens;
  int64_t tile_rows;
  // W as the variant packed it.
  const void* packed_kernel;
  // W^T likewise; for BackwardHiddenStates only.
  const void* packed_transpose;
  const float* padded_bias;  // [padded_units]

  void* output;                 // Y or P
  const void* output_gradient;  // dY or G
  void* stash_out;
  const void* stash_in;
  void* const* hidden_states_gradient;
};

// One chunk's own memory.
struct Chunk {
  int64_t first;  // of Pass::order
  int64_t last;   // one past the end
  void* scratch;  // TileKernels::scratch_bytes

  // Backward: zeroed sums of this chunk alone.
  float* kernel_sum;  // [padded_units, padded_features]
  float* bias_sum;    // [padded_units]
  // Shared V: the chunk's sum. Per position: that of the chunk's first
  // position where the chunk before it has a part in it, else null.
  // [layers, units, outputs]
  float* projection_sum;
  // Per position: dV itself, to which the chunk writes the positions whose
  // first token is its own.
  float* projection_gradient;
};

struct TileKernels {
  const char* name;
  // Bytes of W and of W^T as packed, and the packing.
  size_t (*packed_kernel_bytes)(const Pass& pass);
  void (*pack_kernel)(const Pass& pass, void* packed);
  size_t (*packed_transpose_bytes)(const Pass& pass);
  void (*pack_transpose)(const Pass& pass, void* packed);

  size_t (*scratch_bytes)(const Pass& pass);
  void (*forward)(const Pass& pass, const Chunk& chunk);
  void (*backward)(const Pass& pass, const Chunk& chunk);
  void (*backward_hidden_states)(const Pass& pass, const Chunk& chunk);
};

const TileKernels& Avx512Bf16Kernels();
const TileKernels& Avx512Kernels();
const TileKernels& Avx2Kernels();
const TileKernels& PortableKernels();

}  // namespace cpu
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CPU_TILE_KERNELS_H_
