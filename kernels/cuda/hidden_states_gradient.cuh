// dH = dZ W^T, for who asks. A block has a tile's rows and 64 features.

#ifndef BVKERAS_KERNELS_CUDA_HIDDEN_STATES_GRADIENT_CUH_
#define BVKERAS_KERNELS_CUDA_HIDDEN_STATES_GRADIENT_CUH_

#include "tile.cuh"

namespace bvkeras {
namespace cuda {

constexpr int kHiddenFeatures = 64;

struct HiddenStatesGradientParameters {
  Rows rows;
  const void* packed;      // W as operands [padded features, padded units]
  const void* z_gradient;  // [rows of real tokens, padded units]
  int32_t padded_units;
  int32_t feature_blocks;
  void* gradient[kMaxLayers];
};

template <typename T>
struct HiddenStatesTile {
  // Units that a piece holds; every padded width is a multiple of it.
  static constexpr int kUnits = 16;
  static constexpr int kStride = kPaddedWidth<T, kUnits>;
  static constexpr int kSumStride = kHiddenFeatures + 4;
  static constexpr int kPieceSize = (kTileRows + kHiddenFeatures) * kStride;
  static constexpr int kPieceBytes = 2 * kPieceSize * sizeof(T);
  static constexpr int kSumBytes = kTileRows * kSumStride * sizeof(float);
  static constexpr int kBytes =
      kPieceBytes > kSumBytes ? kPieceBytes : kSumBytes;
};

template <typename T>
__global__ void __launch_bounds__(kTileThreads, 1)
    HiddenStatesGradientKernel(
        const __grid_constant__ HiddenStatesGradientParameters p) {
  using Tile = HiddenStatesTile<T>;
  BVKERAS_DYNAMIC_SHARED(shared);
  const TileSpan span(p.rows, blockIdx.x / p.feature_blocks);
  if (span.tokens <= 0) return;
  const int32_t feature =
      blockIdx.x % p.feature_blocks * kHiddenFeatures;
  const TileRows tile(shared);
  tile.template Load<T>(p.rows, span);

  const int32_t row_count = span.tokens * p.rows.layers;
  const T* const rows =
      static_cast<const T*>(p.z_gradient) +
      int64_t{span.first_token} * p.rows.layers * p.padded_units;
  const T* const kernel = static_cast<const T*>(p.packed) +
                          int64_t{feature} * p.padded_units;
  T* const pieces = reinterpret_cast<T*>(tile.rest);
  HiddenStatesStage<T, kTileRows, Tile::kUnits, kTileThreads> stage;
  const auto begin = [&](int piece) {
    T* const target = pieces + piece % 2 * Tile::kPieceSize;
    const int unit = piece * Tile::kUnits;
    stage.Begin(
        [&](int row) -> const T* {
          return row < row_count ? rows + int64_t{row} * p.padded_units
                                 : nullptr;
        },
        unit, p.padded_units - unit, true, target);
    CopyMatrix<T, kHiddenFeatures, Tile::kUnits, kTileThreads>(
        kernel + unit, p.padded_units, target + kTileRows * Tile::kStride);
    __pipeline_commit();
  };
  Product<T, kTileRows, kHiddenFeatures, kTileThreads / 32, Order::kRowMajor,
          Order::kColumnMajor>
      product;
  const int count = p.padded_units / Tile::kUnits;
  begin(0);
  for (int piece = 0; piece < count; ++piece) {
    if (piece + 1 < count) {
      begin(piece + 1);
      __pipeline_wait_prior(1);
    } else {
      __pipeline_wait_prior(0);
    }
    __syncthreads();
    const T* const here = pieces + piece % 2 * Tile::kPieceSize;
    product.template Add<Tile::kUnits>(
        here, Tile::kStride, here + kTileRows * Tile::kStride, Tile::kStride);
    __syncthreads();
  }
  float* const sums = reinterpret_cast<float*>(tile.rest);
  product.Store(sums, Tile::kSumStride);
  __syncthreads();

  const int32_t width = min(kHiddenFeatures, p.rows.features - feature);
  for (int32_t j = threadIdx.x; j < row_count * kHiddenFeatures;
       j += kTileThreads) {
    const int32_t row = j / kHiddenFeatures;
    const int32_t column = j % kHiddenFeatures;
    if (column >= width) continue;
    const int32_t layer = row % p.rows.layers;
    const int32_t token = tile.tokens[row / p.rows.layers];
    T* const target =
        static_cast<T*>(p.gradient[p.rows.stacked ? 0 : layer]) +
        RowStart(p.rows, token, layer, p.rows.features);
    target[feature + column] =
        FromFloat<T>(sums[row * Tile::kSumStride + column]);
  }
}

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_HIDDEN_STATES_GRADIENT_CUH_
