// The second half of the backward pass: dW = H^T dZ.
//
// A block has 128 features, kUnits units and a part of the rows; what the
// parts give is added up by sums.cuh in order. Every number of H is read by
// one block for each block of units; dZ is read by all blocks of features,
// which run side by side and find it in the L2 cache.

#ifndef BVKERAS_KERNELS_CUDA_WEIGHTS_GRADIENT_CUH_
#define BVKERAS_KERNELS_CUDA_WEIGHTS_GRADIENT_CUH_

#include "product.cuh"
#include "rows.cuh"
#include "stage.cuh"

namespace bvkeras {
namespace cuda {

constexpr int kWeightsThreads = 256;
constexpr int kWeightsFeatures = 128;

struct WeightsGradientParameters {
  Rows rows;
  const void* z_gradient;  // [rows of real tokens, padded units]
  int32_t padded_units;
  int32_t feature_blocks;
  int32_t splits;
  float* parts;  // [splits, feature blocks * 128, padded units]
};

template <typename Stored, int kUnits>
struct WeightsTile {
  using T = Operand<Stored>;
  // Rows that a piece holds: 64 bytes of a column.
  static constexpr int kRows = 64 / static_cast<int>(sizeof(T));
  using Stage =
      HiddenStatesStage<Stored, kRows, kWeightsFeatures, kWeightsThreads>;
  static constexpr int kGradientStride = kPaddedWidth<T, kUnits>;
  static constexpr int kPieceSize = Stage::kSize + kRows * kGradientStride;
  static constexpr int kBytes = 2 * kPieceSize * sizeof(T);
};

// A piece of dZ; zeros after its last row.
template <typename T, int kRows, int kUnits>
__device__ void CopyGradient(const T* source, int64_t stride, int64_t left,
                             T* target) {
  constexpr int kNumbers = kLoadBytes / sizeof(T);
  constexpr int kRowLoads = kUnits / kNumbers;
#pragma unroll
  for (int load = threadIdx.x; load < kRows * kRowLoads;
       load += kWeightsThreads) {
    const int row = load / kRowLoads;
    const int column = load % kRowLoads * kNumbers;
    T* const at = target + row * kPaddedWidth<T, kUnits> + column;
    if (row < left) {
      __pipeline_memcpy_async(at, source + row * stride + column, kLoadBytes);
    } else {
      *reinterpret_cast<uint4*>(at) = {0, 0, 0, 0};
    }
  }
}

template <typename Stored, int kUnits>
__global__ void __launch_bounds__(kWeightsThreads, 1)
    WeightsGradientKernel(const __grid_constant__ WeightsGradientParameters
                              p) {
  using Tile = WeightsTile<Stored, kUnits>;
  using T = typename Tile::T;
  using Stage = typename Tile::Stage;
  BVKERAS_DYNAMIC_SHARED(shared);
  T* const pieces = reinterpret_cast<T*>(shared);
  const int32_t feature_block = blockIdx.x % p.feature_blocks;
  const int32_t split = blockIdx.x / p.feature_blocks % p.splits;
  const int32_t first_unit =
      blockIdx.x / p.feature_blocks / p.splits * kUnits;
  const int32_t feature = feature_block * kWeightsFeatures;

  const int64_t row_count = int64_t{RealTokens(p.rows)} * p.rows.layers;
  const int64_t all_pieces = (row_count + Tile::kRows - 1) / Tile::kRows;
  const int64_t first_piece = all_pieces * split / p.splits;
  const int64_t last_piece = all_pieces * (split + 1) / p.splits;

  Stage stage;
  const auto begin = [&](int64_t piece) {
    T* const target = pieces + piece % 2 * Tile::kPieceSize;
    const int64_t first_row = piece * Tile::kRows;
    const auto row_at = [&](int i) -> const Stored* {
      const int64_t row = first_row + i;
      if (row >= row_count) return nullptr;
      const auto number = static_cast<int32_t>(row / p.rows.layers);
      const auto layer = static_cast<int32_t>(row % p.rows.layers);
      return RowAt<Stored>(p.rows, TokenAt(p.rows, number), layer);
    };
    stage.Begin(row_at, feature, p.rows.features - feature, p.rows.aligned,
                target);
    CopyGradient<T, Tile::kRows, kUnits>(
        static_cast<const T*>(p.z_gradient) + first_row * p.padded_units +
            first_unit,
        p.padded_units, row_count - first_row, target + Stage::kSize);
    __pipeline_commit();
  };

  Product<T, kWeightsFeatures, kUnits, kWeightsThreads / 32,
          Order::kColumnMajor, Order::kRowMajor>
      product;
  if (first_piece < last_piece) {
    begin(first_piece);
    stage.End(pieces + first_piece % 2 * Tile::kPieceSize);
  }
  for (int64_t piece = first_piece; piece < last_piece; ++piece) {
    const bool more = piece + 1 < last_piece;
    if (more) {
      begin(piece + 1);
      __pipeline_wait_prior(1);
    } else {
      __pipeline_wait_prior(0);
    }
    __syncthreads();
    const T* const here = pieces + piece % 2 * Tile::kPieceSize;
    product.template Add<Tile::kRows>(here, Stage::kStride,
                                      here + Stage::kSize,
                                      Tile::kGradientStride);
    if (more) stage.End(pieces + (piece + 1) % 2 * Tile::kPieceSize);
    __syncthreads();
  }
  const int64_t part_rows = int64_t{p.feature_blocks} * kWeightsFeatures;
  product.Store(p.parts + (split * part_rows + feature) * p.padded_units +
                    first_unit,
                p.padded_units);
}

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_WEIGHTS_GRADIENT_CUH_
