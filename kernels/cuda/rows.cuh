// Real tokens, and the rows of hidden states that belong to them.
//
// Kernels walk the real tokens in an order: as they lie in memory; or, where
// every position has its own V, position by position, so that the tokens that
// add to one dV follow each other. A row is a token's layer: row r belongs to
// the real token number r / layers.

#ifndef BVKERAS_KERNELS_CUDA_ROWS_CUH_
#define BVKERAS_KERNELS_CUDA_ROWS_CUH_

#include "types.cuh"

namespace bvkeras {
namespace cuda {

constexpr int kMaxLayers = 64;
// Rows of a tile, in whole tokens.
constexpr int kTileRows = 64;

struct Rows {
  const void* hidden_states[kMaxLayers];
  const float* scales[kMaxLayers];  // null: none
  const int32_t* order;             // null: every token is real
  const int32_t* count;
  int32_t batch;
  int32_t tokens;
  int32_t layers;
  int32_t features;
  bool stacked;
  bool by_position;
  bool aligned;  // every row begins at a multiple of 16 bytes
};

__device__ inline int32_t RealTokens(const Rows& rows) {
  return rows.count != nullptr ? *rows.count : rows.batch * rows.tokens;
}

// The token b * tokens + t that is number i of the order.
__device__ inline int32_t TokenAt(const Rows& rows, int32_t i) {
  if (rows.order != nullptr) return rows.order[i];
  if (!rows.by_position) return i;
  return i % rows.batch * rows.tokens + i / rows.batch;
}

// Where a token's layer begins, in numbers.
__device__ inline int64_t RowStart(const Rows& rows, int32_t token,
                                   int32_t layer, int64_t width) {
  const int64_t row = rows.stacked
                          ? int64_t{token} * rows.layers + layer
                          : int64_t{token};
  return row * width;
}

template <typename Stored>
__device__ const Stored* RowAt(const Rows& rows, int32_t token,
                               int32_t layer) {
  const void* block = rows.hidden_states[rows.stacked ? 0 : layer];
  return static_cast<const Stored*>(block) +
         RowStart(rows, token, layer, rows.features);
}

__device__ inline float ScaleAt(const Rows& rows, int32_t token,
                                int32_t layer) {
  const float* scales = rows.scales[rows.stacked ? 0 : layer];
  if (scales == nullptr) return 1.0f;
  return scales[RowStart(rows, token, layer, 1)];
}

// A tile's place in the order.
struct TileSpan {
  int32_t first_token;
  int32_t tokens;

  __device__ TileSpan(const Rows& rows, int32_t tile) {
    const int32_t tile_tokens = kTileRows / rows.layers;
    first_token = tile * tile_tokens;
    tokens = min(tile_tokens, RealTokens(rows) - first_token);
  }
};

// What a block knows of its tile's rows, in shared memory.
struct TileRows {
  const void** rows;  // null: no such row
  float* scales;
  int32_t* tokens;
  unsigned char* rest;

  static constexpr int kBytes =
      kTileRows * (sizeof(void*) + sizeof(float) + sizeof(int32_t));

  __device__ explicit TileRows(unsigned char* shared)
      : rows(reinterpret_cast<const void**>(shared)),
        scales(reinterpret_cast<float*>(shared + kTileRows * sizeof(void*))),
        tokens(reinterpret_cast<int32_t*>(scales + kTileRows)),
        rest(shared + kBytes) {}

  // Threads must meet before these are read.
  template <typename Stored>
  __device__ void Load(const Rows& source, const TileSpan& span) const {
    const int32_t row = threadIdx.x;
    if (row >= kTileRows) return;
    const int32_t i = row / source.layers;
    const int32_t layer = row % source.layers;
    rows[row] = nullptr;
    scales[row] = 0.0f;
    if (i >= span.tokens) return;
    const int32_t token = TokenAt(source, span.first_token + i);
    rows[row] = RowAt<Stored>(source, token, layer);
    scales[row] = ScaleAt(source, token, layer);
    if (layer == 0) tokens[i] = token;
  }
};

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_ROWS_CUH_
