// The few functions of CUDA's runtime that the launchers and gpu_check/ call.
// There is one stream, and it has always finished.

#include <cstring>
#include <new>

#include "cuda_runtime.h"

extern "C" {

cudaError_t CUDARTAPI cudaMemsetAsync(void* memory, int value, size_t bytes,
                                      cudaStream_t) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}

cudaError_t CUDARTAPI cudaMemset(void* memory, int value, size_t bytes) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}

// Memory is aligned as a GPU's is.
cudaError_t CUDARTAPI cudaMalloc(void** memory, size_t bytes) {
  *memory = ::operator new(bytes, std::align_val_t{256});
  return cudaSuccess;
}

cudaError_t CUDARTAPI cudaFree(void* memory) {
  ::operator delete(memory, std::align_val_t{256});
  return cudaSuccess;
}

cudaError_t CUDARTAPI cudaMemcpy(void* to, const void* from, size_t bytes,
                                 cudaMemcpyKind) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t CUDARTAPI cudaDeviceSynchronize() { return cudaSuccess; }

cudaError_t CUDARTAPI cudaGetLastError() { return cudaSuccess; }

const char* CUDARTAPI cudaGetErrorString(cudaError_t) { return "no error"; }

cudaError_t CUDARTAPI cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

}  // extern "C"
