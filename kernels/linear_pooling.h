// Linear pooling of hidden states: the contract that every implementation
// keeps, on the CPU and on a GPU. Plain C++17: no TensorFlow, no CUDA.
//
//     Z[b,t,l,a] = sum_e H[b,t,l,e] W[e,a] + b[a]
//     Y          = GELU(Z)
//     P[b,t,c]   = mask[b,t] * sum_{l,a} Y[b,t,l,a] V[(t,)l,a,c]
//
// With G the gradient of P: dY = G V^T; with dY that of Y: dZ = dY GELU'(Z),
// dW = H^T dZ, db = sum dZ, dV = Y^T G and dH = dZ W^T. Sums accumulate in
// float32. Their order depends on the shapes and the mask alone, so two runs
// give the same bits, whatever the number of threads.
//
// H is [batch, tokens, layers, features] in one block, or one block
// [batch, tokens, features] for each layer. Padded tokens are not read: what
// stands there, NaN included, reaches nothing, and results there are zero.
//
// Types. W, b, V and every gradient but dH are float32. W is rounded to the
// type of bfloat16 and float16 hidden states, and to bfloat16 for int8 ones.
// An int8 hidden state is q * scale, with one scale a token and layer; the
// scale multiplies the sum, not the terms. Y has a type of its own. P and G
// are float32.
//
// Between forward and backward an implementation keeps Z in a stash, or
// nothing: then the backward pass computes Z again. What a stash holds is
// the implementation's business; only its size is asked for. Z too large for
// its type is kept as the largest number of that type: GELU' is 1 or 0 there.
//
// Nothing to do is not an error: no batch, no tokens, and no real token give
// zeros of the right shape, or nothing where the shape holds none. Pointers to
// arrays without a number may be null.

#ifndef BVKERAS_KERNELS_LINEAR_POOLING_H_
#define BVKERAS_KERNELS_LINEAR_POOLING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace bvkeras {

// Raised whenever an operation's arguments, results or numerics change:
// bvkeras/ops/library.py refuses a library with another number.
constexpr int kContractVersion = 7;

enum class DType : int { kFloat32 = 0, kBFloat16, kFloat16, kInt8 };

// Size of one number in bytes.
constexpr size_t SizeOf(DType dtype) {
  return dtype == DType::kFloat32 ? 4 : dtype == DType::kInt8 ? 1 : 2;
}

// What lies between forward and backward: Z in one of three types, or nothing.
enum class Stash : int { kNone = 0, kFloat32, kBFloat16, kFloat16 };

constexpr size_t SizeOf(Stash stash) {
  return stash == Stash::kNone ? 0 : stash == Stash::kFloat32 ? 4 : 2;
}

// Everything a pass reads but the gradients and the stash. Row-major arrays;
// no alignment is asked for beyond that of the number itself.
struct Problem {
  int64_t batch = 0;
  int64_t tokens = 0;
  int64_t layers = 0;
  int64_t features = 0;
  int64_t units = 0;
  // 0: the operation gives Y. Otherwise it gives P.
  int64_t outputs = 0;

  DType dtype = DType::kFloat32;
  // Whether hidden_states and scales hold one pointer, or one for each layer.
  bool stacked = true;
  const void* const* hidden_states = nullptr;
  // Of int8 hidden states; [batch, tokens, layers], or [batch, tokens] for
  // each layer. Otherwise null.
  const float* const* scales = nullptr;

  // At most one of the two; neither: every token is real.
  const bool* mask = nullptr;        // [batch, tokens]
  const int64_t* lengths = nullptr;  // [batch], each in [0, tokens]

  const float* kernel = nullptr;  // W [features, units]
  const float* bias = nullptr;    // b [units], or null for none
  bool approximate = false;       // GELU by tanh, not by erf

  // V: [layers, units, outputs], or, for each position,
  // [positions, layers, units, outputs] with positions >= tokens.
  const float* projection = nullptr;
  int64_t positions = 0;  // 0: shared by all tokens

  // Type of Y and of its gradient.
  DType pooled_dtype = DType::kFloat32;

  Stash stash = Stash::kNone;
};

// One line that names the first thing wrong with a problem's sizes and types,
// or an empty string. Pointers are not looked at, and neither are the values
// of mask and lengths.
std::string Check(const Problem& problem);

// Runs task(0) ... task(tasks - 1), in any order and on any threads, and
// returns when all have ended. `cost` is a task's estimated time in cycles.
using ParallelFor = std::function<void(
    int64_t tasks, int64_t cost, const std::function<void(int64_t)>& task)>;

namespace cpu {

// Bytes of the stash, which depend on the number of real tokens.
size_t StashBytes(const Problem& problem);

// Writes Y [batch, tokens, layers, units] of pooled_dtype, or P
// [batch, tokens, outputs] of float32; and the stash unless it is kNone.
void Forward(const Problem& problem, void* output, void* stash,
             const ParallelFor& parallel_for);

// Writes dW [features, units], db [units] and dV, given the gradient of the
// forward pass's output, in that output's type, and its stash (null: none was
// kept). dV has the shape of V; it is null where outputs is 0.
void Backward(const Problem& problem, const void* output_gradient,
              const void* stash, float* kernel_gradient, float* bias_gradient,
              float* projection_gradient, const ParallelFor& parallel_for);

// Writes dH, in the type and layout of H: one pointer, or one for each layer.
// Not for int8.
void BackwardHiddenStates(const Problem& problem, const void* output_gradient,
                          const void* stash, void* const* gradient,
                          const ParallelFor& parallel_for);

// The instruction sets compiled in, best first, separated by ", ": of
// avx512bf16, avx512, avx2, portable.
const char* CompiledVariants();

// The one in use: the best that this processor has, or what the environment
// variable BVKERAS_CPU_VARIANT names. Sets `error` to one line where that is
// unknown, not compiled in, or not there in this processor.
const char* Variant(std::string* error);

}  // namespace cpu
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_LINEAR_POOLING_H_
