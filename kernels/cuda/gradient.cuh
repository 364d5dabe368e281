// The first half of the backward pass: dZ, as operands, and the sums that
// need no H: db and dV. Z comes from the stash, or from the product again.
//
// A block has a chunk of tiles, one after the other, and kUnits units. How
// many chunks there are depends on shapes alone; each leaves its own sums,
// which sums.cuh adds up in order. Where every position has its own V, a
// chunk adds to dV itself, all but what belongs to a position that began in
// the chunk before: that is its own sum.

#ifndef BVKERAS_KERNELS_CUDA_GRADIENT_CUH_
#define BVKERAS_KERNELS_CUDA_GRADIENT_CUH_

#include "gelu.cuh"
#include "tile.cuh"

namespace bvkeras {
namespace cuda {

struct GradientParameters {
  Rows rows;
  Weights weights;
  const void* stash;
  DType stash_type;
  const void* output_gradient;  // of Y, or of P
  DType pooled_type;
  int32_t chunks;
  void* z_gradient;        // [rows of real tokens, padded units]
  float* bias_parts;       // [chunks, units]; null: no sums are wanted
  float* projection_parts;  // [chunks, layers, units, outputs], or null
  float* projection_gradient;  // where every position has its own V
};

// First real token of a chunk; of the one after the last, their number.
__device__ inline int32_t ChunkStart(const Rows& rows, int32_t chunks,
                                     int32_t chunk) {
  const int32_t tile_tokens = kTileRows / rows.layers;
  const int32_t count = RealTokens(rows);
  const int64_t tiles = (count + tile_tokens - 1) / tile_tokens;
  const int64_t tile = tiles * chunk / chunks;
  return min(int64_t{count}, tile * tile_tokens);
}

// Whether a chunk's first position began in the chunk before it.
__device__ inline bool Continues(const Rows& rows, int32_t first,
                                 int32_t last) {
  return first > 0 && first < last &&
         TokenAt(rows, first - 1) % rows.tokens ==
             TokenAt(rows, first) % rows.tokens;
}

// Calls add(number of V, layer, column) for the numbers of V that this block
// has to do with, always by the same thread.
template <int kUnits, typename Add>
__device__ void ForProjection(const GradientParameters& p,
                              int32_t first_unit, Add add) {
  const int32_t outputs = p.weights.outputs;
  const int32_t numbers = p.rows.layers * kUnits * outputs;
  for (int32_t j = threadIdx.x; j < numbers; j += kTileThreads) {
    const int32_t output = j % outputs;
    const int32_t column = j / outputs % kUnits;
    const int32_t layer = j / outputs / kUnits;
    const int32_t unit = first_unit + column;
    if (unit >= p.weights.units) continue;
    add((int64_t{layer} * p.weights.units + unit) * outputs + output, layer,
        column, output);
  }
}

// Adds a tile's Y^T G to dV.
template <int kUnits>
__device__ void AddProjection(const GradientParameters& p,
                              const TileSpan& span, const TileRows& tile,
                              const float* y, int32_t first_unit, float* part,
                              int32_t part_position) {
  constexpr int kStride = kUnits + 4;
  const auto* gradient = static_cast<const float*>(p.output_gradient);
  const int64_t size = int64_t{p.rows.layers} * p.weights.units *
                       p.weights.outputs;
  const bool by_position = p.weights.by_position;
  ForProjection<kUnits>(p, first_unit, [&](int64_t number, int32_t layer,
                                           int32_t column, int32_t output) {
    const auto flush = [&](int32_t position, float sum) {
      float* const target =
          !by_position || position == part_position
              ? part
              : p.projection_gradient + position * size;
      target[number] += sum;
    };
    float sum = 0.0f;
    int32_t position = tile.tokens[0] % p.rows.tokens;
    for (int32_t i = 0; i < span.tokens; ++i) {
      const int32_t token = tile.tokens[i];
      if (by_position && token % p.rows.tokens != position) {
        flush(position, sum);
        sum = 0.0f;
        position = token % p.rows.tokens;
      }
      sum = fmaf(y[(i * p.rows.layers + layer) * kStride + column],
                 gradient[int64_t{token} * p.weights.outputs + output], sum);
    }
    flush(position, sum);
  });
}

// dY of one row and unit.
__device__ inline float PooledGradient(const GradientParameters& p,
                                       int32_t token, int32_t layer,
                                       int32_t unit) {
  if (p.weights.outputs == 0) {
    const int64_t row = int64_t{token} * p.rows.layers + layer;
    return LoadAs(p.output_gradient, p.pooled_type,
                  row * p.weights.units + unit);
  }
  const auto* gradient = static_cast<const float*>(p.output_gradient) +
                         int64_t{token} * p.weights.outputs;
  const float* v = p.weights.projection +
                   ProjectionStart(p.weights, p.rows, token, layer, unit);
  float sum = 0.0f;
  for (int32_t output = 0; output < p.weights.outputs; ++output) {
    sum = fmaf(gradient[output], v[output], sum);
  }
  return sum;
}

template <typename Stored, int kUnits, bool kFromStash>
__global__ void __launch_bounds__(kTileThreads, 1)
    GradientKernel(const __grid_constant__ GradientParameters p) {
  using Multiplier = TileProduct<Stored, kUnits>;
  using T = Operand<Stored>;
  constexpr int kRowStep = kTileThreads / kUnits;
  BVKERAS_DYNAMIC_SHARED(shared);
  const int32_t chunk = blockIdx.x / p.weights.unit_blocks;
  const int32_t first_unit =
      blockIdx.x % p.weights.unit_blocks * kUnits;
  const int32_t first = ChunkStart(p.rows, p.chunks, chunk);
  const int32_t last = ChunkStart(p.rows, p.chunks, chunk + 1);
  const int32_t tile_tokens = kTileRows / p.rows.layers;

  const int32_t column = threadIdx.x % kUnits;
  const int32_t unit = first_unit + column;
  const bool real = unit < p.weights.units;
  const float bias =
      real && p.weights.bias != nullptr ? p.weights.bias[unit] : 0.0f;
  const bool has_projection = p.projection_parts != nullptr;
  float* part = nullptr;
  int32_t part_position = -1;
  if (has_projection) {
    part = p.projection_parts + int64_t{chunk} * p.rows.layers *
                                    p.weights.units * p.weights.outputs;
    ForProjection<kUnits>(p, first_unit, [&](int64_t number, int32_t, int32_t,
                                             int32_t) {
      part[number] = 0.0f;
    });
    if (p.weights.by_position && Continues(p.rows, first, last)) {
      part_position = TokenAt(p.rows, first) % p.rows.tokens;
    }
  }

  const TileRows tile(shared);
  float bias_sum = 0.0f;
  for (int32_t at = first; at < last; at += tile_tokens) {
    const TileSpan span(p.rows, at / tile_tokens);
    __syncthreads();  // nobody reads the tile before this one any more
    tile.template Load<Stored>(p.rows, span);
    __syncthreads();
    float* z = reinterpret_cast<float*>(tile.rest);
    if constexpr (!kFromStash) {
      z = Multiplier::Multiply(p.rows, p.weights, first_unit, tile);
    }
    const int32_t row_count = span.tokens * p.rows.layers;
    const int64_t first_row = int64_t{at} * p.rows.layers;
    float tile_sum = 0.0f;
    for (int32_t row = threadIdx.x / kUnits; row < row_count;
         row += kRowStep) {
      float* const place = z + row * Multiplier::kStride + column;
      float y = 0.0f, z_gradient = 0.0f;
      if (real) {
        float value;
        if constexpr (kFromStash) {
          value = LoadAs(p.stash, p.stash_type,
                         (first_row + row) * p.weights.units + unit);
        } else {
          value = fmaf(*place, tile.scales[row], bias);
        }
        const GeluValue gelu = Gelu(value, p.weights.approximate);
        const float y_gradient =
            PooledGradient(p, tile.tokens[row / p.rows.layers],
                           row % p.rows.layers, unit);
        y = gelu.value;
        z_gradient = y_gradient * gelu.slope;
      }
      tile_sum += z_gradient;
      static_cast<T*>(p.z_gradient)[(first_row + row) *
                                        p.weights.padded_units +
                                    unit] =
          FromFloat<T>(z_gradient * tile.scales[row]);
      if (has_projection) *place = y;
    }
    bias_sum += tile_sum;
    if (has_projection) {
      __syncthreads();
      AddProjection<kUnits>(p, span, tile, z, first_unit, part,
                            part_position);
    }
  }

  if (p.bias_parts == nullptr) return;
  __syncthreads();
  float* const sums = reinterpret_cast<float*>(shared);
  sums[threadIdx.x] = bias_sum;
  __syncthreads();
  if (threadIdx.x < kUnits && real) {
    float sum = 0.0f;
    for (int32_t i = 0; i < kRowStep; ++i) sum += sums[i * kUnits + column];
    p.bias_parts[int64_t{chunk} * p.weights.units + unit] = sum;
  }
}

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_GRADIENT_CUH_
