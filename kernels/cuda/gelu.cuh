// GELU and its derivative.

#ifndef BVKERAS_KERNELS_CUDA_GELU_CUH_
#define BVKERAS_KERNELS_CUDA_GELU_CUH_

#include <cmath>

#include "launch.cuh"

namespace bvkeras {
namespace cuda {

struct GeluValue {
  float value;
  float slope;
};

// z Phi(z), and Phi(z) + z phi(z). By erfc, which loses nothing where Phi is
// small.
__device__ inline GeluValue ErfGelu(float z) {
  const float phi = 0.5f * erfcf(-0.70710678f * z);
  const float density = 0.39894228f * expf(-0.5f * z * z);
  return {z * phi, z * density + phi};
}

// z s with s = sigmoid(2 sqrt(2 / pi) (z + 0.044715 z^3)), the tanh form:
// 1 + tanh(x) = 2 sigmoid(2x).
__device__ inline GeluValue TanhGelu(float z) {
  constexpr float kTwice = 1.5957691f;
  // Beyond 13 a float sees 1, or 0; z^3 would make more of what is lost. NaN
  // stays NaN.
  z = z < -13.0f ? -13.0f : z;
  const float near = z > 13.0f ? 13.0f : z;
  const float square = near * near;
  const float x = kTwice * near * (0.044715f * square + 1.0f);
  // Finite, so that e s s is 0 and not NaN far below zero.
  const float e = expf(fminf(-x, 40.0f));
  const float s = 1.0f / (1.0f + e);
  const float inner_slope = kTwice * (3 * 0.044715f * square + 1.0f);
  // s (1 - s), with 1 - s = e s, which loses nothing where s is near 1.
  return {z * s, near * inner_slope * (e * s * s) + s};
}

__device__ inline GeluValue Gelu(float z, bool approximate) {
  return approximate ? TanhGelu(z) : ErfGelu(z);
}

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_GELU_CUH_
