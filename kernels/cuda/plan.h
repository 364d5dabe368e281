// How a problem is cut up for a GPU. All of it follows from shapes and types,
// so that the order of every sum does.

#ifndef BVKERAS_KERNELS_CUDA_PLAN_H_
#define BVKERAS_KERNELS_CUDA_PLAN_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "epilogue.cuh"
#include "launchers.h"
#include "rows.cuh"
#include "weights_gradient.cuh"

namespace bvkeras {
namespace cuda {

inline int64_t DivideUp(int64_t value, int64_t by) {
  return (value + by - 1) / by;
}
inline int64_t RoundUp(int64_t value, int64_t by) {
  return DivideUp(value, by) * by;
}

struct Plan {
  explicit Plan(const Problem& problem) {
    tokens = problem.batch * problem.tokens;
    const int64_t units = problem.units;
    tile_units = units <= 16 ? 16 : units <= 64 ? 64 : 128;
    unit_blocks = DivideUp(units, tile_units);
    padded_units = unit_blocks * tile_units;
    padded_features = RoundUp(problem.features, 64);
    tiles = DivideUp(tokens, kTileRows / problem.layers);
    chunks = std::min<int64_t>(tiles, kMaxChunks);
    feature_blocks = DivideUp(problem.features, kWeightsFeatures);
    projection_size = problem.layers * units * problem.outputs;
    by_position = problem.outputs > 0 && problem.positions > 0;
    operand_bytes = problem.dtype == DType::kFloat32 ? 4 : 2;

    // As many blocks as fill a large GPU; but their sums, written and read
    // once, take an eighth of what H takes at most, and a block has rows
    // enough to be worth its start.
    const int64_t rows = tokens * problem.layers;
    const int64_t wanted = DivideUp(512, feature_blocks * unit_blocks);
    const int64_t affordable =
        rows * static_cast<int64_t>(SizeOf(problem.dtype)) /
        (64 * padded_units);
    splits = std::max<int64_t>(
        1, std::min({wanted, affordable, DivideUp(rows, 128)}));

    // Sums of a chunk take as much as a few of its tokens do.
    column_blocks =
        DivideUp(problem.layers * DivideUp(units * operand_bytes, kLoadBytes),
                 kEpilogueThreads);
    epilogue_chunks =
        by_position ? problem.tokens
                    : std::min<int64_t>(DivideUp(tokens, 32), kMaxChunks);
  }

  static constexpr int64_t kMaxChunks = 256;

  int64_t tokens, tile_units, unit_blocks, padded_units, padded_features;
  int64_t tiles, chunks, feature_blocks, splits, projection_size;
  int64_t operand_bytes, column_blocks, epilogue_chunks;
  bool by_position;
};

// Where each array of a pass lies in its workspace; with a null base, how
// large that is.
struct Workspace {
  Workspace(const Problem& problem, const Plan& plan, Pass pass, void* base)
      : base_(static_cast<char*>(base)) {
    if (pass == Pass::kForwardOfProducts) {
      if (problem.outputs > 0) {
        output_parts = Take<float>(plan.column_blocks * kEpilogueWarps *
                                   plan.tokens * problem.outputs);
      }
      return;
    }
    if (pass == Pass::kBackwardOfProducts) {
      bias_parts = Take<float>((plan.epilogue_chunks + 1) * problem.layers *
                               problem.units);
      if (!plan.by_position) {
        projection_parts =
            Take<float>(plan.epilogue_chunks * plan.projection_size);
      }
      return;
    }
    if (problem.mask != nullptr || problem.lengths != nullptr) {
      order = Take<int32_t>(plan.tokens);
      count = Take<int32_t>(1);
    }
    packed = Take<char>(plan.padded_features * plan.padded_units *
                        plan.operand_bytes);
    if (pass == Pass::kForward) {
      if (problem.outputs > 0 && plan.unit_blocks > 1) {
        output_parts = Take<float>(plan.unit_blocks * plan.tokens *
                                   problem.outputs);
      }
      return;
    }
    z_gradient = Take<char>(plan.tokens * problem.layers *
                            plan.padded_units * plan.operand_bytes);
    if (pass == Pass::kBackwardHiddenStates) return;
    bias_parts = Take<float>(plan.chunks * problem.units);
    projection_parts = Take<float>(plan.chunks * plan.projection_size);
    kernel_parts = Take<float>(plan.splits * plan.feature_blocks *
                               kWeightsFeatures * plan.padded_units);
  }

  size_t bytes() const { return used_; }

  int32_t* order = nullptr;
  int32_t* count = nullptr;
  void* packed = nullptr;
  void* z_gradient = nullptr;
  float* output_parts = nullptr;
  float* bias_parts = nullptr;
  float* projection_parts = nullptr;
  float* kernel_parts = nullptr;

 private:
  template <typename T>
  T* Take(int64_t numbers) {
    char* const start = base_ == nullptr ? nullptr : base_ + used_;
    used_ += RoundUp(numbers * static_cast<int64_t>(sizeof(T)), 256);
    return reinterpret_cast<T*>(start);
  }

  char* base_;
  size_t used_ = 0;
};

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_PLAN_H_
