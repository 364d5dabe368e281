// What comes before and after the products: the order of the real tokens, W
// as operands, and the sums of parts, always in the same order.

#ifndef BVKERAS_KERNELS_CUDA_SUMS_CUH_
#define BVKERAS_KERNELS_CUDA_SUMS_CUH_

#include "gradient.cuh"

namespace bvkeras {
namespace cuda {

constexpr int kPlainThreads = 256;

// Blocks for so many numbers, each thread taking several where they are many.
inline unsigned PlainBlocks(int64_t numbers) {
  const int64_t blocks = (numbers + kPlainThreads - 1) / kPlainThreads;
  return static_cast<unsigned>(blocks < 1024 ? blocks : 1024);
}

__device__ inline int64_t FirstNumber() {
  return int64_t{blockIdx.x} * kPlainThreads + threadIdx.x;
}
__device__ inline int64_t NumberStep() {
  return int64_t{gridDim.x} * kPlainThreads;
}

struct OrderParameters {
  const bool* mask;
  const int64_t* lengths;
  int32_t batch;
  int32_t tokens;
  bool by_position;
  int32_t* order;
  int32_t* count;
};

// The real tokens in order, and how many they are. One block: each thread
// counts its share, learns how many stand before it, and writes.
__global__ void __launch_bounds__(kPlainThreads)
    OrderKernel(const OrderParameters p) {
  BVKERAS_DYNAMIC_SHARED(shared);
  auto* const counts = reinterpret_cast<int32_t*>(shared);
  const int64_t all = int64_t{p.batch} * p.tokens;
  const int64_t share = (all + kPlainThreads - 1) / kPlainThreads;
  const int64_t first = min(all, share * threadIdx.x);
  const int64_t last = min(all, first + share);
  const auto token_at = [&](int64_t i) {
    const int64_t b = p.by_position ? i % p.batch : i / p.tokens;
    const int64_t t = p.by_position ? i / p.batch : i % p.tokens;
    const bool real = p.mask != nullptr ? p.mask[b * p.tokens + t]
                                        : t < p.lengths[b];
    return real ? static_cast<int32_t>(b * p.tokens + t) : -1;
  };
  int32_t own = 0;
  for (int64_t i = first; i < last; ++i) own += token_at(i) >= 0;
  counts[threadIdx.x] = own;
  __syncthreads();
  for (unsigned distance = 1; distance < kPlainThreads; distance *= 2) {
    const int32_t before = threadIdx.x >= distance
                               ? counts[threadIdx.x - distance]
                               : 0;
    __syncthreads();
    counts[threadIdx.x] += before;
    __syncthreads();
  }
  int32_t place = counts[threadIdx.x] - own;
  for (int64_t i = first; i < last; ++i) {
    const int32_t token = token_at(i);
    if (token >= 0) p.order[place++] = token;
  }
  if (threadIdx.x == kPlainThreads - 1) *p.count = counts[threadIdx.x];
}

struct PackParameters {
  const float* kernel;  // W [features, units]
  void* packed;         // [padded features, padded units]
  int32_t features;
  int32_t units;
  int32_t padded_features;
  int32_t padded_units;
};

template <typename T>
__global__ void __launch_bounds__(kPlainThreads)
    PackKernel(const PackParameters p) {
  const int64_t size = int64_t{p.padded_features} * p.padded_units;
  for (int64_t i = FirstNumber(); i < size; i += NumberStep()) {
    const int64_t feature = i / p.padded_units;
    const int64_t unit = i % p.padded_units;
    const bool real = feature < p.features && unit < p.units;
    static_cast<T*>(p.packed)[i] =
        FromFloat<T>(real ? p.kernel[feature * p.units + unit] : 0.0f);
  }
}

struct SumParameters {
  const float* parts;  // [count, part_size], rows of `stride` numbers
  int64_t part_size;
  int64_t rows;
  int32_t count;
  int32_t width;
  int32_t stride;
  float* sums;  // [rows, width]
};

__global__ void __launch_bounds__(kPlainThreads)
    SumKernel(const SumParameters p) {
  const int64_t size = p.rows * p.width;
  for (int64_t i = FirstNumber(); i < size; i += NumberStep()) {
    const float* part = p.parts + i / p.width * p.stride + i % p.width;
    float sum = 0.0f;
    // Added in order, but many on their way at a time.
#pragma unroll 16
    for (int32_t j = 0; j < p.count; ++j) sum += part[j * p.part_size];
    p.sums[i] = sum;
  }
}

// Adds the chunks' own sums to dV, where every position has its own V.
__global__ void __launch_bounds__(kPlainThreads)
    PositionSumKernel(const __grid_constant__ GradientParameters p) {
  const int64_t size = int64_t{p.rows.layers} * p.weights.units *
                       p.weights.outputs;
  for (int64_t i = FirstNumber(); i < size; i += NumberStep()) {
    for (int32_t chunk = 1; chunk < p.chunks; ++chunk) {
      const int32_t first = ChunkStart(p.rows, p.chunks, chunk);
      const int32_t last = ChunkStart(p.rows, p.chunks, chunk + 1);
      if (!Continues(p.rows, first, last)) continue;
      const int64_t position = TokenAt(p.rows, first) % p.rows.tokens;
      p.projection_gradient[position * size + i] +=
          p.projection_parts[chunk * size + i];
    }
  }
}

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_SUMS_CUH_
