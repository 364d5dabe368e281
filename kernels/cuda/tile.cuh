// A tile's Z without bias and scale: 64 rows of H by kUnits columns of W.
//
// H and W pass through shared memory in pieces of kFeatures features, two at
// a time: while one is multiplied, the next is on its way. Z then lies where
// they did, in float32.

#ifndef BVKERAS_KERNELS_CUDA_TILE_CUH_
#define BVKERAS_KERNELS_CUDA_TILE_CUH_

#include "product.cuh"
#include "rows.cuh"
#include "stage.cuh"

namespace bvkeras {
namespace cuda {

// Kernels with products ask for one block at least: left to itself, ptxas
// spills registers to make room for more.
constexpr int kTileThreads = 128;

// W and what follows it, as every kernel needs them.
struct Weights {
  const void* packed;  // W as operands [padded features, padded units]
  const float* bias;   // or null
  const float* projection;
  int32_t units;
  int32_t padded_units;
  int32_t unit_blocks;
  int32_t outputs;
  bool by_position;
  bool approximate;
};

// First number of V, or of dV, that belongs to a token's layer and a unit.
__device__ inline int64_t ProjectionStart(const Weights& weights,
                                          const Rows& rows, int32_t token,
                                          int32_t layer, int32_t unit) {
  const int64_t position = weights.by_position ? token % rows.tokens : 0;
  return ((position * rows.layers + layer) * weights.units + unit) *
         weights.outputs;
}

template <typename Stored, int kUnits>
class TileProduct {
 public:
  using T = Operand<Stored>;
  // 64 bytes of a row at a time, 128 where W leaves the room.
  static constexpr int kFeatures =
      (kUnits == 16 ? 128 : 64) / static_cast<int>(sizeof(T));
  static constexpr int kStride = kUnits + 4;  // of Z
  static constexpr int kZBytes = kTileRows * kStride * sizeof(float);

 private:
  using Stage =
      HiddenStatesStage<Stored, kTileRows, kFeatures, kTileThreads>;
  static constexpr int kKernelStride = kPaddedWidth<T, kUnits>;
  static constexpr int kPieceSize =
      Stage::kSize + kFeatures * kKernelStride;
  static constexpr int kPieceBytes = 2 * kPieceSize * sizeof(T);

 public:
  static constexpr int kBytes =
      kPieceBytes > kZBytes ? kPieceBytes : kZBytes;

  // Threads have met since `tile` was loaded, and meet at the end.
  __device__ static float* Multiply(const Rows& rows, const Weights& weights,
                                    int32_t first_unit, const TileRows& tile) {
    T* const pieces = reinterpret_cast<T*>(tile.rest);
    const T* const kernel =
        static_cast<const T*>(weights.packed) + first_unit;
    const auto row_at = [&](int row) { return tile.rows[row]; };
    Stage stage;
    const auto begin = [&](int piece) {
      T* const target = pieces + piece % 2 * kPieceSize;
      const int feature = piece * kFeatures;
      stage.Begin(row_at, feature, rows.features - feature, rows.aligned,
                  target);
      CopyMatrix<T, kFeatures, kUnits, kTileThreads>(
          kernel + int64_t{feature} * weights.padded_units,
          weights.padded_units, target + Stage::kSize);
      __pipeline_commit();
    };
    Product<T, kTileRows, kUnits, kTileThreads / 32, Order::kRowMajor,
            Order::kRowMajor>
        product;
    const int count = (rows.features + kFeatures - 1) / kFeatures;
    begin(0);
    stage.End(pieces);
    for (int piece = 0; piece < count; ++piece) {
      const bool more = piece + 1 < count;
      if (more) {
        begin(piece + 1);
        __pipeline_wait_prior(1);
      } else {
        __pipeline_wait_prior(0);
      }
      __syncthreads();
      const T* const here = pieces + piece % 2 * kPieceSize;
      product.template Add<kFeatures>(here, Stage::kStride,
                                      here + Stage::kSize, kKernelStride);
      if (more) stage.End(pieces + (piece + 1) % 2 * kPieceSize);
      __syncthreads();
    }
    float* const z = reinterpret_cast<float*>(tile.rest);
    product.Store(z, kStride);
    __syncthreads();
    return z;
  }
};

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_TILE_CUH_
