// The layers of a BERT encoder at inference: the contract of their native
// implementation. Plain C++17: no TensorFlow.
//
// For each text by itself, X [tokens, hidden] its states:
//
//     Q, K, V = X Wqkv + bqkv                     Q already scaled by 1/sqrt(d)
//     A       = softmax(Q K^T) V                  for each head of d features
//     X'      = LayerNorm(X + A Wo + bo)
//     X"      = LayerNorm(X' + GELU(X' W1 + b1) W2 + b2)
//
// Padded tokens are not read: what stands there, NaN included, reaches
// nothing, and states there are zero. Real tokens may lie anywhere in a row.
// A text's states depend on its own tokens alone: other texts of the batch,
// padding and the number of threads do not change a bit.
//
// Types. States and attention are float32. Precision is that of the products
// with weights: float32, or bfloat16 operands with sums in float32, or int8.
// Where the processor has no product of bfloat16 numbers, float32 takes its
// place: as fast there, and more exact. Outputs are of a type of their own.
//
// In int8, with q(x) = round(127 x / max|x|) over a row's numbers and q(w) over
// a column's weights, halves to even,
//
//     x . w = (sum q(x) q(w)) (max|x| / 127) (max|w| / 127)
//
// The sums are of 32 bits and exact: the same with every instruction set. A
// maximum below 2^-100 counts as none: all are 0. A row with a number that is
// not finite gives NaN, and so does a column.
//
// Weights are packed once, for the instruction set in use. A packed layer says
// what it was packed for, and nothing else reads it.

#ifndef BVKERAS_KERNELS_ENCODER_H_
#define BVKERAS_KERNELS_ENCODER_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "linear_pooling.h"

namespace bvkeras {

struct EncoderSizes {
  int64_t hidden = 0;
  int64_t heads = 0;  // divides hidden
  int64_t inner = 0;
};

// One layer's weights. Row-major, float32.
struct EncoderWeights {
  const float* query_key_value_kernel;   // [hidden, 3 hidden]
  const float* query_key_value_bias;     // [3 hidden]
  const float* attention_output_kernel;  // [hidden, hidden]
  const float* attention_output_bias;    // [hidden]
  const float* attention_gamma;          // [hidden]
  const float* attention_beta;           // [hidden]
  const float* intermediate_kernel;      // [hidden, inner]
  const float* intermediate_bias;        // [inner]
  const float* output_kernel;            // [inner, hidden]
  const float* output_bias;              // [hidden]
  const float* output_gamma;             // [hidden]
  const float* output_beta;              // [hidden]
  float attention_epsilon;
  float output_epsilon;
};

struct EncoderProblem {
  EncoderSizes sizes;
  DType precision = DType::kFloat32;  // or kBFloat16, or kInt8
  bool approximate = false;           // GELU by tanh, not by erf
  int64_t batch = 0;
  int64_t tokens = 0;
  const float* states = nullptr;  // [batch, tokens, hidden]
  const bool* mask = nullptr;     // [batch, tokens]
  // The layers to go through, in order: a packed layer each, which may come
  // more than once, and where the states after it are written, or null.
  int64_t steps = 0;
  const void* const* packed = nullptr;  // [steps]
  void* const* outputs = nullptr;       // [steps], [batch, tokens, hidden]
  DType output_dtype = DType::kFloat32;
};

// One line that names the first thing wrong, or an empty string.
std::string Check(const EncoderSizes& sizes,
                  DType precision = DType::kFloat32);

namespace cpu {

// Bytes of one packed layer, and the packing.
size_t PackedLayerBytes(const EncoderSizes& sizes, DType precision);
void PackLayer(const EncoderSizes& sizes, DType precision,
               const EncoderWeights& weights, void* packed);

// One line on why the packed layer cannot be used for these sizes here, or an
// empty string.
std::string CheckPackedLayer(const EncoderSizes& sizes, DType precision,
                             const void* packed, size_t bytes);

// Writes every output. `threads`: how many parallel_for has, about.
void EncodeLayers(const EncoderProblem& problem, int64_t threads,
                  const ParallelFor& parallel_for);

}  // namespace cpu
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_ENCODER_H_
