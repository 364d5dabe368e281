// The two things that CUDA's own syntax says and C++ cannot: a launch, and
// shared memory whose size is given at a launch. host_emulation/ has its own.

#ifndef BVKERAS_KERNELS_CUDA_LAUNCH_CUH_
#define BVKERAS_KERNELS_CUDA_LAUNCH_CUH_

#include <cuda_runtime.h>

#ifndef BVKERAS_LAUNCH
#define BVKERAS_LAUNCH(kernel, blocks, threads, bytes, stream, ...) \
  kernel<<<blocks, threads, bytes, stream>>>(__VA_ARGS__)
#define BVKERAS_DYNAMIC_SHARED(name) \
  extern __shared__ __align__(128) unsigned char name[]
#endif

#endif  // BVKERAS_KERNELS_CUDA_LAUNCH_CUH_
