// NVIDIA's header, and what its compiler would add to it, by emulation.h.

#ifndef BVKERAS_KERNELS_HOST_EMULATION_CUDA_RUNTIME_H_
#define BVKERAS_KERNELS_HOST_EMULATION_CUDA_RUNTIME_H_

#include_next <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "emulation.h"

#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __grid_constant__
#define __grid_constant__

#define threadIdx (::emulation::ThreadIndex())
#define blockIdx (::emulation::BlockIndex())
#define blockDim (::emulation::BlockSize())
#define gridDim (::emulation::GridSize())

// Parameters are copied, as a launch copies them.
#define BVKERAS_LAUNCH(kernel, blocks, threads, bytes, stream, ...) \
  ::emulation::LaunchWith(blocks, threads, bytes, stream, kernel, __VA_ARGS__)
#define BVKERAS_DYNAMIC_SHARED(name) \
  unsigned char* const name = ::emulation::DynamicShared()

namespace emulation {

template <typename Parameters>
void LaunchWith(unsigned blocks, unsigned threads, size_t bytes, cudaStream_t,
                void (*kernel)(Parameters),
                const std::remove_const_t<Parameters>& parameters) {
  Launch(blocks, threads, bytes, [=] { kernel(parameters); });
}

}  // namespace emulation

inline void __syncthreads() { ::emulation::SyncThreads(); }
inline void __syncwarp(unsigned = 0xffffffffu) { ::emulation::SyncWarp(); }

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  static_assert(sizeof(T) == 4);
  if (mask != 0xffffffffu) ::emulation::Fail("shuffles with a part of a warp");
  uint32_t word;
  std::memcpy(&word, &value, 4);
  word = ::emulation::Shuffle(word, threadIdx.x % 32 ^ lanes);
  std::memcpy(&value, &word, 4);
  return value;
}

// As CUDA's, of any two types of number.
template <typename A, typename B>
std::common_type_t<A, B> min(A a, B b) {
  return std::min<std::common_type_t<A, B>>(a, b);
}
template <typename A, typename B>
std::common_type_t<A, B> max(A a, B b) {
  return std::max<std::common_type_t<A, B>>(a, b);
}

#endif  // BVKERAS_KERNELS_HOST_EMULATION_CUDA_RUNTIME_H_
