// Several numbers at a time between the device's memory and registers, in
// loads and stores of 16 bytes where the memory allows it.

#ifndef BVKERAS_KERNELS_CUDA_NUMBERS_CUH_
#define BVKERAS_KERNELS_CUDA_NUMBERS_CUH_

#include <cstring>

#include "stage.cuh"
#include "types.cuh"

namespace bvkeras {
namespace cuda {

// The first `count` of kCount numbers, zeros after them. `whole`: all kCount
// are there and begin at a multiple of 16 bytes.
template <typename T, int kCount>
__device__ void LoadNumbers(const T* at, int count, bool whole,
                            float (&numbers)[kCount]) {
  constexpr int kLoads = kCount * static_cast<int>(sizeof(T)) / kLoadBytes;
  if constexpr (kLoads > 0) {
    if (whole) {
      T held[kCount];
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
        const uint4 words = reinterpret_cast<const uint4*>(at)[i];
        memcpy(held + i * kCount / kLoads, &words, kLoadBytes);
      }
#pragma unroll
      for (int j = 0; j < kCount; ++j) numbers[j] = ToFloat(held[j]);
      return;
    }
  }
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    numbers[j] = j < count ? ToFloat(at[j]) : 0.0f;
  }
}

template <typename T, int kCount>
__device__ void StoreNumbers(T* at, int count, bool whole,
                             const float (&numbers)[kCount]) {
  constexpr int kStores = kCount * static_cast<int>(sizeof(T)) / kLoadBytes;
  if constexpr (kStores > 0) {
    if (whole) {
      T held[kCount];
#pragma unroll
      for (int j = 0; j < kCount; ++j) held[j] = FromFloat<T>(numbers[j]);
#pragma unroll
      for (int i = 0; i < kStores; ++i) {
        uint4 words;
        memcpy(&words, held + i * kCount / kStores, kLoadBytes);
        reinterpret_cast<uint4*>(at)[i] = words;
      }
      return;
    }
  }
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    if (j < count) at[j] = FromFloat<T>(numbers[j]);
  }
}

// The same of arrays whose type is known at run time.
template <int kCount>
__device__ void LoadNumbersAs(const void* array, DType type, int64_t index,
                              int count, bool whole,
                              float (&numbers)[kCount]) {
  switch (type) {
    case DType::kBFloat16:
      return LoadNumbers(static_cast<const __nv_bfloat16*>(array) + index,
                         count, whole, numbers);
    case DType::kFloat16:
      return LoadNumbers(static_cast<const __half*>(array) + index, count,
                         whole, numbers);
    default:
      return LoadNumbers(static_cast<const float*>(array) + index, count,
                         whole, numbers);
  }
}

template <int kCount>
__device__ void StoreNumbersAs(void* array, DType type, int64_t index,
                               int count, bool whole,
                               const float (&numbers)[kCount]) {
  switch (type) {
    case DType::kBFloat16:
      return StoreNumbers(static_cast<__nv_bfloat16*>(array) + index, count,
                          whole, numbers);
    case DType::kFloat16:
      return StoreNumbers(static_cast<__half*>(array) + index, count, whole,
                          numbers);
    default:
      return StoreNumbers(static_cast<float*>(array) + index, count, whole,
                          numbers);
  }
}

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_NUMBERS_CUH_
