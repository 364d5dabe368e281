// The passes of cuda/launchers.h on arrays in the host's memory, for checks:
// on_device.cc copies them to the device and the results back. Those of
// linear_pooling.h's contract are there under its own names, in cpu::.

#ifndef BVKERAS_KERNELS_GPU_CHECK_ON_DEVICE_H_
#define BVKERAS_KERNELS_GPU_CHECK_ON_DEVICE_H_

#include "linear_pooling.h"

namespace bvkeras {
namespace on_device {

// As cuda::'s. They throw std::runtime_error with what CUDA says is wrong, or
// where something was written beyond an array.
void ForwardOfProducts(const Problem& problem, const void* const* products,
                       void* output);
void BackwardOfProducts(const Problem& problem, const void* const* products,
                        const void* output_gradient,
                        void* const* product_gradients, float* bias_gradient,
                        float* projection_gradient);

}  // namespace on_device
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_GPU_CHECK_ON_DEVICE_H_
