// Number types: what is stored, what is multiplied, and how one becomes the
// other.

#ifndef BVKERAS_KERNELS_CUDA_TYPES_CUH_
#define BVKERAS_KERNELS_CUDA_TYPES_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "launch.cuh"
#include "linear_pooling.h"

namespace bvkeras {
namespace cuda {

// The type that hidden states of a stored type are multiplied in. Every int8
// value is exact in bfloat16.
template <typename Stored>
struct OperandOf {
  using Type = Stored;
};
template <>
struct OperandOf<int8_t> {
  using Type = __nv_bfloat16;
};
template <typename Stored>
using Operand = typename OperandOf<Stored>::Type;

__device__ inline float ToFloat(float value) { return value; }
__device__ inline float ToFloat(__half value) { return __half2float(value); }
__device__ inline float ToFloat(__nv_bfloat16 value) {
  return __bfloat162float(value);
}

template <typename T>
__device__ T FromFloat(float value);
template <>
__device__ inline float FromFloat<float>(float value) {
  return value;
}
template <>
__device__ inline __half FromFloat<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ inline __nv_bfloat16 FromFloat<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

// Z cut to the largest number that a half type has: beyond, it has infinity
// alone, of which a gradient would be NaN. NaN stays NaN.
__device__ inline float CutToFinite(float z, DType type) {
  if (type == DType::kFloat32) return z;
  const float most = type == DType::kFloat16 ? 65504.0f : 0x1.fep127f;
  return z > most ? most : z < -most ? -most : z;
}

// Arrays whose type is known at run time: Y, its gradient and the stash.
__device__ inline float LoadAs(const void* array, DType type, int64_t index) {
  switch (type) {
    case DType::kBFloat16:
      return ToFloat(static_cast<const __nv_bfloat16*>(array)[index]);
    case DType::kFloat16:
      return ToFloat(static_cast<const __half*>(array)[index]);
    default:
      return static_cast<const float*>(array)[index];
  }
}

__device__ inline void StoreAs(void* array, DType type, int64_t index,
                               float value) {
  switch (type) {
    case DType::kBFloat16:
      static_cast<__nv_bfloat16*>(array)[index] =
          FromFloat<__nv_bfloat16>(value);
      break;
    case DType::kFloat16:
      static_cast<__half*>(array)[index] = FromFloat<__half>(value);
      break;
    default:
      static_cast<float*>(array)[index] = value;
  }
}

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_TYPES_CUH_
