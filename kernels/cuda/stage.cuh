// From the device's memory to shared memory, 16 bytes a load: by cp.async
// where the numbers stay as they are, through registers where they are
// widened. Rows in shared memory are 16 bytes longer than what they hold, so
// that a column's numbers lie in different banks.

#ifndef BVKERAS_KERNELS_CUDA_STAGE_CUH_
#define BVKERAS_KERNELS_CUDA_STAGE_CUH_

#include <cuda_pipeline.h>

#include <type_traits>

#include "types.cuh"

namespace bvkeras {
namespace cuda {

constexpr int kLoadBytes = 16;

template <typename T, int kWidth>
constexpr int kPaddedWidth = kWidth + kLoadBytes / static_cast<int>(sizeof(T));

// kRows rows of kWidth numbers that all exist, from a matrix whose rows begin
// at multiples of 16 bytes.
template <typename T, int kRows, int kWidth, int kThreads>
__device__ void CopyMatrix(const T* source, int64_t stride, T* target) {
  constexpr int kNumbers = kLoadBytes / sizeof(T);
  constexpr int kRowLoads = kWidth / kNumbers;
  static_assert(kWidth % kNumbers == 0);
#pragma unroll
  for (int load = threadIdx.x; load < kRows * kRowLoads; load += kThreads) {
    const int row = load / kRowLoads;
    const int column = load % kRowLoads * kNumbers;
    __pipeline_memcpy_async(target + row * kPaddedWidth<T, kWidth> + column,
                            source + row * stride + column, kLoadBytes);
  }
}

// kRows rows of hidden states, kWidth features of each, as operands; zeros
// where there is no row or no feature.
template <typename Stored, int kRows, int kWidth, int kThreads>
class HiddenStatesStage {
 public:
  using T = Operand<Stored>;
  static constexpr int kStride = kPaddedWidth<T, kWidth>;
  static constexpr int kSize = kRows * kStride;

  // Begins to fill `target`. `row_at(row)` is the row's first feature, or
  // null. `left`: how many features there are from `feature` on.
  template <typename RowFunction>
  __device__ void Begin(RowFunction row_at, int feature, int left, bool aligned,
                        T* target) {
#pragma unroll
    for (int i = 0; i < kThreadLoads; ++i) {
      const int load = threadIdx.x + i * kThreads;
      if (kLoads % kThreads != 0 && load >= kLoads) break;
      const int column = load % kRowLoads * kNumbers;
      const auto* row = static_cast<const Stored*>(row_at(load / kRowLoads));
      const bool whole = aligned && row != nullptr && column < left;
      const int numbers =
          row == nullptr ? 0 : min(kNumbers, max(0, left - column));
      if (row != nullptr) row += feature + column;
      if constexpr (kWidened) {
        held_[i] = whole ? *reinterpret_cast<const uint4*>(row)
                         : Gather(row, numbers);
      } else {
        T* at = target + Place(load);
        if (whole) {
          __pipeline_memcpy_async(at, row, kLoadBytes);
        } else {
#pragma unroll
          for (int j = 0; j < kNumbers; ++j) {
            at[j] = j < numbers ? row[j] : FromFloat<T>(0.0f);
          }
        }
      }
    }
  }

  // Ends it: what registers hold is stored. Nobody may read `target` any
  // more, and threads must meet before they read it again.
  __device__ void End(T* target) const {
    if constexpr (kWidened) {
#pragma unroll
      for (int i = 0; i < kThreadLoads; ++i) {
        const int load = threadIdx.x + i * kThreads;
        if (kLoads % kThreads != 0 && load >= kLoads) break;
        auto* at = reinterpret_cast<uint4*>(target + Place(load));
        at[0] = {Widen(held_[i].x), Widen(held_[i].x >> 16),
                 Widen(held_[i].y), Widen(held_[i].y >> 16)};
        at[1] = {Widen(held_[i].z), Widen(held_[i].z >> 16),
                 Widen(held_[i].w), Widen(held_[i].w >> 16)};
      }
    }
  }

 private:
  static constexpr bool kWidened = !std::is_same_v<Stored, T>;
  static constexpr int kNumbers = kLoadBytes / sizeof(Stored);
  static constexpr int kRowLoads = kWidth / kNumbers;
  static constexpr int kLoads = kRows * kRowLoads;
  static constexpr int kThreadLoads = (kLoads + kThreads - 1) / kThreads;
  static_assert(kWidth % kNumbers == 0);

  __device__ static int Place(int load) {
    return load / kRowLoads * kStride + load % kRowLoads * kNumbers;
  }

  // Up to 16 int8 values, one by one.
  __device__ static uint4 Gather(const Stored* row, int numbers) {
    uint32_t words[4] = {};
#pragma unroll
    for (int j = 0; j < kNumbers; ++j) {
      const uint32_t byte =
          j < numbers ? static_cast<uint8_t>(row[j]) : 0u;
      words[j / 4] |= byte << (j % 4 * 8);
    }
    return {words[0], words[1], words[2], words[3]};
  }

  // The two int8 values in the low half of a word, as two bfloat16.
  __device__ static uint32_t Widen(uint32_t word) {
    const auto widened = [](uint32_t byte) -> uint32_t {
      const float value = static_cast<int8_t>(byte & 0xff);
      return __bfloat16_as_ushort(__float2bfloat16_rn(value));
    };
    return widened(word) | widened(word >> 8) << 16;
  }

  uint4 held_[kWidened ? kThreadLoads : 1];
};

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_STAGE_CUH_
