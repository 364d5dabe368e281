// What follows a product H W that somebody else made: scale, bias, GELU, mask
// and projection, and the gradients of them all. For many units, whose product
// is TensorFlow's matmul.
//
// A thread has 16 bytes of a layer's units, and a chunk of tokens that share
// V: where every position has its own V a chunk is a position, otherwise some
// tokens in a row. So V, dV and db stand in registers from token to token, for
// kEpilogueOutputs outputs at a time: with more outputs than that the products
// are read again for each so many of them. Threads share nothing but the sum
// of P over a warp; what warps and chunks leave, sums.cuh adds up in order.

#ifndef BVKERAS_KERNELS_CUDA_EPILOGUE_CUH_
#define BVKERAS_KERNELS_CUDA_EPILOGUE_CUH_

#include <type_traits>

#include "gelu.cuh"
#include "numbers.cuh"
#include "tile.cuh"

namespace bvkeras {
namespace cuda {

constexpr int kEpilogueThreads = 128;
constexpr int kEpilogueWarps = kEpilogueThreads / 32;
constexpr int kEpilogueOutputs = 4;

struct EpilogueParameters {
  Rows rows;  // of the products: `features` are units; without an order
  Weights weights;
  const bool* mask;
  const int64_t* lengths;
  DType pooled_type;  // of Y, or of its gradient
  int32_t chunks;
  int32_t column_blocks;  // blocks of threads for all units of all layers
  // Forward: Y [batch, tokens, layers, units], or parts of P [column blocks *
  // kEpilogueWarps, batch, tokens, outputs].
  void* output;
  // Backward.
  const void* output_gradient;
  void* product_gradients[kMaxLayers];
  float* bias_parts;        // [chunks, layers, units]
  float* projection_parts;  // [chunks, layers, units, outputs]
};

template <typename T>
struct EpiloguePlace {
  static constexpr int kNumbers = kLoadBytes / static_cast<int>(sizeof(T));
  static constexpr DType kType = std::is_same_v<T, float>    ? DType::kFloat32
                                 : std::is_same_v<T, __half> ? DType::kFloat16
                                                             : DType::kBFloat16;

  int32_t chunk;
  int32_t layer;
  int32_t unit;
  int32_t count;  // how many units; 0: the thread has none
  bool whole;     // kNumbers units, at a multiple of 16 bytes
  int32_t first, last;

  __device__ explicit EpiloguePlace(const EpilogueParameters& p)
      : chunk(blockIdx.x / p.column_blocks) {
    const int32_t loads = (p.weights.units + kNumbers - 1) / kNumbers;
    const int32_t column =
        blockIdx.x % p.column_blocks * kEpilogueThreads + threadIdx.x;
    layer = column / loads;
    unit = column % loads * kNumbers;
    count = layer < p.rows.layers ? min(kNumbers, p.weights.units - unit) : 0;
    whole = p.rows.aligned && count == kNumbers;
    const int64_t all = int64_t{p.rows.batch} * p.rows.tokens;
    first = p.rows.by_position ? 0 : all * chunk / p.chunks;
    last = p.rows.by_position ? p.rows.batch : all * (chunk + 1) / p.chunks;
  }

  __device__ int32_t TokenAt(const EpilogueParameters& p, int32_t i) const {
    return p.rows.by_position ? i * p.rows.tokens + chunk : i;
  }

  __device__ bool IsReal(const EpilogueParameters& p, int32_t token) const {
    if (count == 0) return false;
    if (p.mask != nullptr) return p.mask[token];
    return p.lengths == nullptr ||
           token % p.rows.tokens < p.lengths[token / p.rows.tokens];
  }

  __device__ void LoadBias(const EpilogueParameters& p,
                           float (&bias)[kNumbers]) const {
#pragma unroll
    for (int j = 0; j < kNumbers; ++j) {
      bias[j] = j < count && p.weights.bias != nullptr
                    ? p.weights.bias[unit + j]
                    : 0.0f;
    }
  }

  // V of the outputs from `output` on.
  __device__ void LoadProjection(
      const EpilogueParameters& p, int32_t output,
      float (&projection)[kNumbers][kEpilogueOutputs]) const {
    const float* v = p.weights.projection +
                     ProjectionStart(p.weights, p.rows, chunk, layer, unit);
#pragma unroll
    for (int j = 0; j < kNumbers; ++j) {
#pragma unroll
      for (int c = 0; c < kEpilogueOutputs; ++c) {
        const bool real = j < count && output + c < p.weights.outputs;
        projection[j][c] =
            real ? v[j * p.weights.outputs + output + c] : 0.0f;
      }
    }
  }

  __device__ void LoadZ(const EpilogueParameters& p, int32_t token,
                        const float (&bias)[kNumbers],
                        float (&z)[kNumbers]) const {
    LoadNumbers(RowAt<T>(p.rows, token, layer) + unit, count, whole, z);
    const float scale = ScaleAt(p.rows, token, layer);
#pragma unroll
    for (int j = 0; j < kNumbers; ++j) {
      z[j] = fmaf(CutToFinite(z[j], kType), scale, bias[j]);
    }
  }

  // Its place in Y, and in a chunk's own sums of db.
  __device__ int64_t NumberOf(const EpilogueParameters& p,
                              int32_t token_or_chunk) const {
    return (int64_t{token_or_chunk} * p.rows.layers + layer) *
               p.weights.units +
           unit;
  }
};

template <typename T>
__global__ void __launch_bounds__(kEpilogueThreads)
    EpilogueKernel(const __grid_constant__ EpilogueParameters p) {
  using Place = EpiloguePlace<T>;
  constexpr int kNumbers = Place::kNumbers;
  const Place place(p);
  const int64_t part = blockIdx.x % p.column_blocks * kEpilogueWarps +
                       threadIdx.x / 32;
  float bias[kNumbers];
  place.LoadBias(p, bias);
  int32_t output = 0;
  do {
    float projection[kNumbers][kEpilogueOutputs];
    place.LoadProjection(p, output, projection);
    for (int32_t i = place.first; i < place.last; ++i) {
      const int32_t token = place.TokenAt(p, i);
      float y[kNumbers] = {};
      if (place.IsReal(p, token)) {
        place.LoadZ(p, token, bias, y);
#pragma unroll
        for (int j = 0; j < kNumbers; ++j) {
          y[j] = Gelu(y[j], p.weights.approximate).value;
        }
      }
      if (p.weights.outputs == 0) {
        StoreNumbersAs(p.output, p.pooled_type, place.NumberOf(p, token),
                       place.count, place.whole, y);
        continue;
      }
#pragma unroll
      for (int c = 0; c < kEpilogueOutputs; ++c) {
        if (output + c >= p.weights.outputs) break;
        float sum = 0.0f;
#pragma unroll
        for (int j = 0; j < kNumbers; ++j) {
          sum = fmaf(y[j], projection[j][c], sum);
        }
        for (int distance = 16; distance > 0; distance /= 2) {
          sum += __shfl_xor_sync(0xffffffffu, sum, distance);
        }
        if (threadIdx.x % 32 == 0) {
          const int64_t row =
              part * p.rows.batch * p.rows.tokens + token;
          static_cast<float*>(
              p.output)[row * p.weights.outputs + output + c] = sum;
        }
      }
    }
    output += kEpilogueOutputs;
  } while (output < p.weights.outputs);
}

// dY of a token, of the outputs in registers and of those after them.
template <typename T, int kNumbers = EpiloguePlace<T>::kNumbers>
__device__ void LoadPooledGradient(
    const EpilogueParameters& p, const EpiloguePlace<T>& place, int32_t token,
    const float (&projection)[kNumbers][kEpilogueOutputs],
    const float (&gradient)[kEpilogueOutputs],
    float (&pooled_gradient)[kNumbers]) {
  if (p.weights.outputs == 0) {
    LoadNumbersAs(p.output_gradient, p.pooled_type, place.NumberOf(p, token),
                  place.count, place.whole, pooled_gradient);
    return;
  }
#pragma unroll
  for (int j = 0; j < kNumbers; ++j) {
    float sum = 0.0f;
#pragma unroll
    for (int c = 0; c < kEpilogueOutputs; ++c) {
      sum = fmaf(gradient[c], projection[j][c], sum);
    }
    pooled_gradient[j] = sum;
  }
  const auto* others = static_cast<const float*>(p.output_gradient) +
                       int64_t{token} * p.weights.outputs;
  const float* v = p.weights.projection +
                   ProjectionStart(p.weights, p.rows, token, place.layer,
                                   place.unit);
  for (int32_t c = kEpilogueOutputs; c < p.weights.outputs; ++c) {
#pragma unroll
    for (int j = 0; j < kNumbers; ++j) {
      if (j >= place.count) break;
      pooled_gradient[j] = fmaf(others[c], v[j * p.weights.outputs + c],
                                pooled_gradient[j]);
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(kEpilogueThreads, 1)
    EpilogueGradientKernel(const __grid_constant__ EpilogueParameters p) {
  using Place = EpiloguePlace<T>;
  constexpr int kNumbers = Place::kNumbers;
  const Place place(p);
  if (place.count == 0) return;
  float bias[kNumbers];
  place.LoadBias(p, bias);
  int32_t output = 0;
  do {
    float projection[kNumbers][kEpilogueOutputs];
    place.LoadProjection(p, output, projection);
    float projection_sums[kNumbers][kEpilogueOutputs] = {};
    float bias_sums[kNumbers] = {};
    for (int32_t i = place.first; i < place.last; ++i) {
      const int32_t token = place.TokenAt(p, i);
      const bool real = place.IsReal(p, token);
      float z_gradient[kNumbers] = {};
      float scale = 0.0f;
      if (real) {
        float z[kNumbers], gradient[kEpilogueOutputs];
        place.LoadZ(p, token, bias, z);
#pragma unroll
        for (int c = 0; c < kEpilogueOutputs; ++c) {
          gradient[c] =
              output + c < p.weights.outputs
                  ? static_cast<const float*>(
                        p.output_gradient)[int64_t{token} *
                                               p.weights.outputs +
                                           output + c]
                  : 0.0f;
        }
        if (output == 0) {
          LoadPooledGradient(p, place, token, projection, gradient,
                             z_gradient);
          scale = ScaleAt(p.rows, token, place.layer);
        }
#pragma unroll
        for (int j = 0; j < kNumbers; ++j) {
          const GeluValue gelu = Gelu(z[j], p.weights.approximate);
          z_gradient[j] *= gelu.slope;
          bias_sums[j] += z_gradient[j];
          z_gradient[j] *= scale;
#pragma unroll
          for (int c = 0; c < kEpilogueOutputs; ++c) {
            projection_sums[j][c] =
                fmaf(gelu.value, gradient[c], projection_sums[j][c]);
          }
        }
      }
      if (output == 0) {
        auto* const gradients = static_cast<T*>(
            p.product_gradients[p.rows.stacked ? 0 : place.layer]);
        StoreNumbers(gradients + place.unit +
                         RowStart(p.rows, token, place.layer,
                                  p.weights.units),
                     place.count, place.whole, z_gradient);
      }
    }
    const int64_t number = place.NumberOf(p, place.chunk);
#pragma unroll
    for (int j = 0; j < kNumbers; ++j) {
      if (j >= place.count) break;
      if (output == 0) p.bias_parts[number + j] = bias_sums[j];
#pragma unroll
      for (int c = 0; c < kEpilogueOutputs; ++c) {
        if (output + c >= p.weights.outputs) break;
        p.projection_parts[(number + j) * p.weights.outputs + output + c] =
            projection_sums[j][c];
      }
    }
    output += kEpilogueOutputs;
  } while (output < p.weights.outputs);
}

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_EPILOGUE_CUH_
