// The forward pass: a tile's Z, then Y or the tile's part of P, without
// writing Z where nobody keeps it. A block has one tile and kUnits units.

#ifndef BVKERAS_KERNELS_CUDA_FORWARD_CUH_
#define BVKERAS_KERNELS_CUDA_FORWARD_CUH_

#include "gelu.cuh"
#include "tile.cuh"

namespace bvkeras {
namespace cuda {

struct ForwardParameters {
  Rows rows;
  Weights weights;
  void* stash;  // or null
  DType stash_type;
  // Y [batch, tokens, layers, units] of pooled_type, or P [unit blocks,
  // batch, tokens, outputs]: one part of P for each block of units.
  void* output;
  DType pooled_type;
};

// P of the tile's tokens from its Y: a warp for each number.
template <int kUnits>
__device__ void ProjectTile(const ForwardParameters& p, const TileSpan& span,
                            const TileRows& tile, const float* y,
                            int32_t unit_block) {
  constexpr int kStride = kUnits + 4;
  const int32_t first_unit = unit_block * kUnits;
  const int32_t lane = threadIdx.x % 32;
  const int32_t numbers = span.tokens * p.weights.outputs;
  for (int32_t number = threadIdx.x / 32; number < numbers;
       number += kTileThreads / 32) {
    const int32_t i = number / p.weights.outputs;
    const int32_t output = number % p.weights.outputs;
    const int32_t token = tile.tokens[i];
    float sum = 0.0f;
    for (int32_t j = lane; j < p.rows.layers * kUnits; j += 32) {
      const int32_t layer = j / kUnits;
      const int32_t unit = first_unit + j % kUnits;
      if (unit >= p.weights.units) continue;
      const int64_t at =
          ProjectionStart(p.weights, p.rows, token, layer, unit) + output;
      sum = fmaf(y[(i * p.rows.layers + layer) * kStride + j % kUnits],
                 p.weights.projection[at], sum);
    }
    for (int distance = 16; distance > 0; distance /= 2) {
      sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    }
    if (lane == 0) {
      const int64_t part =
          int64_t{unit_block} * p.rows.batch * p.rows.tokens + token;
      static_cast<float*>(p.output)[part * p.weights.outputs + output] = sum;
    }
  }
}

template <typename Stored, int kUnits>
__global__ void __launch_bounds__(kTileThreads, 1)
    ForwardKernel(const __grid_constant__ ForwardParameters p) {
  using Multiplier = TileProduct<Stored, kUnits>;
  BVKERAS_DYNAMIC_SHARED(shared);
  const TileSpan span(p.rows, blockIdx.x / p.weights.unit_blocks);
  const int32_t unit_block = blockIdx.x % p.weights.unit_blocks;
  if (span.tokens <= 0) return;
  const TileRows tile(shared);
  tile.template Load<Stored>(p.rows, span);
  __syncthreads();
  const int32_t first_unit = unit_block * kUnits;
  float* const z =
      Multiplier::Multiply(p.rows, p.weights, first_unit, tile);

  // A thread keeps to one unit.
  const int32_t column = threadIdx.x % kUnits;
  const int32_t unit = first_unit + column;
  const bool real = unit < p.weights.units;
  const float bias =
      real && p.weights.bias != nullptr ? p.weights.bias[unit] : 0.0f;
  const int32_t row_count = span.tokens * p.rows.layers;
  const int64_t first_row = int64_t{span.first_token} * p.rows.layers;
  for (int32_t row = threadIdx.x / kUnits; row < row_count;
       row += kTileThreads / kUnits) {
    float* const at = z + row * Multiplier::kStride + column;
    const float value = fmaf(*at, tile.scales[row], bias);
    if (real && p.stash != nullptr) {
      StoreAs(p.stash, p.stash_type,
              (first_row + row) * p.weights.units + unit,
              CutToFinite(value, p.stash_type));
    }
    const float y = Gelu(value, p.weights.approximate).value;
    if (p.weights.outputs > 0) {
      *at = y;
    } else if (real) {
      const int64_t token = tile.tokens[row / p.rows.layers];
      const int64_t place = token * p.rows.layers + row % p.rows.layers;
      StoreAs(p.output, p.pooled_type, place * p.weights.units + unit, y);
    }
  }
  if (p.weights.outputs > 0) {
    __syncthreads();
    ProjectTile<kUnits>(p, span, tile, z, unit_block);
  }
}

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_FORWARD_CUH_
