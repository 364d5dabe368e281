// The contract of linear_pooling.h on a GPU: its three passes, put on a
// stream. Plain C++, so that callers need no CUDA header.
//
// A Problem's arrays lie in the device's memory; only the arrays of pointers
// (hidden_states, scales, and the gradients of BackwardHiddenStates) lie in
// the host's. Nothing is read back: lengths beyond [0, tokens] are taken as
// the nearest bound.

#ifndef BVKERAS_KERNELS_CUDA_LAUNCHERS_H_
#define BVKERAS_KERNELS_CUDA_LAUNCHERS_H_

#include <cstddef>
#include <string>

#include "linear_pooling.h"

namespace bvkeras {
namespace cuda {

enum class Pass {
  kForward,
  kBackward,
  kBackwardHiddenStates,
  kForwardOfProducts,
  kBackwardOfProducts
};

// One line that names the first thing that Check() allows and a GPU does not,
// or an empty string: more than 64 layers, or sizes beyond 32 bits.
std::string CheckLimits(const Problem& problem);

// Bytes of the stash: as if every token were real, since a mask's count is
// known to the device alone.
size_t StashBytes(const Problem& problem);

// Bytes of the device's memory, aligned to 256, that a pass works in. Its
// content need not be kept.
size_t WorkspaceBytes(const Problem& problem, Pass pass);

// The passes; see cpu:: in linear_pooling.h for what they write. `stream` is
// a cudaStream_t. They return what CUDA says is wrong, or null.
const char* Forward(const Problem& problem, void* output, void* stash,
                    void* workspace, void* stream);
const char* Backward(const Problem& problem, const void* output_gradient,
                     const void* stash, float* kernel_gradient,
                     float* bias_gradient, float* projection_gradient,
                     void* workspace, void* stream);
const char* BackwardHiddenStates(const Problem& problem,
                                 const void* output_gradient,
                                 const void* stash, void* const* gradient,
                                 void* workspace, void* stream);

// What follows the products H W, for who has them from elsewhere: forward as
// Forward without a stash; backward dZ times the scales, which is the
// products' gradient, db and dV. Products lie as hidden states do, with units
// in place of features, in the type that H is multiplied in (for int8,
// bfloat16) and without scales; so does their gradient, zero at padded
// tokens. H and W are not read.
const char* ForwardOfProducts(const Problem& problem,
                              const void* const* products, void* output,
                              void* workspace, void* stream);
const char* BackwardOfProducts(const Problem& problem,
                               const void* const* products,
                               const void* output_gradient,
                               void* const* product_gradients,
                               float* bias_gradient,
                               float* projection_gradient, void* workspace,
                               void* stream);

// What the driver here can run, and what these kernels were built with, as
// CUDA numbers them: 13000 for 13.0. 0: there is no driver.
int DriverVersion();
int BuildVersion();

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_LAUNCHERS_H_
