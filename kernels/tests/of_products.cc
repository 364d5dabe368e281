// The passes of cuda/launchers.h on products, on the emulated GPU, for Python's
// ctypes: tests/cuda/test_emulated_products.py has the same structure.

#include <cstdint>
#include <vector>

#include "cuda/launchers.h"
#include "emulation.h"

extern "C" {

struct Call {
  int64_t batch, tokens, layers, features, units, outputs, positions;
  int32_t dtype, pooled_dtype, stacked, approximate;
  const void* const* products;
  const float* const* scales;
  const bool* mask;
  const int64_t* lengths;
  const float* bias;
  const float* projection;
  const void* output_gradient;
  uint64_t seed;
};

}  // extern "C"

namespace {

bvkeras::Problem ProblemOf(const Call& call) {
  bvkeras::Problem problem;
  problem.batch = call.batch;
  problem.tokens = call.tokens;
  problem.layers = call.layers;
  problem.features = call.features;
  problem.units = call.units;
  problem.outputs = call.outputs;
  problem.positions = call.positions;
  problem.dtype = bvkeras::DType(call.dtype);
  problem.pooled_dtype = bvkeras::DType(call.pooled_dtype);
  problem.stacked = call.stacked != 0;
  problem.approximate = call.approximate != 0;
  problem.scales = call.scales;
  problem.mask = call.mask;
  problem.lengths = call.lengths;
  problem.bias = call.bias;
  problem.projection = call.projection;
  return problem;
}

std::vector<uint64_t> Workspace(const bvkeras::Problem& problem,
                                bvkeras::cuda::Pass pass) {
  return std::vector<uint64_t>(
      bvkeras::cuda::WorkspaceBytes(problem, pass) / 8, ~uint64_t{0});
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) void forward(const Call* call,
                                                    void* output) {
  emulation::SetSeed(call->seed);
  const auto problem = ProblemOf(*call);
  auto workspace =
      Workspace(problem, bvkeras::cuda::Pass::kForwardOfProducts);
  bvkeras::cuda::ForwardOfProducts(problem, call->products, output,
                                   workspace.data(), nullptr);
}

__attribute__((visibility("default"))) void backward(
    const Call* call, void* const* product_gradients, float* bias_gradient,
    float* projection_gradient) {
  emulation::SetSeed(call->seed);
  const auto problem = ProblemOf(*call);
  auto workspace =
      Workspace(problem, bvkeras::cuda::Pass::kBackwardOfProducts);
  bvkeras::cuda::BackwardOfProducts(problem, call->products,
                                    call->output_gradient, product_gradients,
                                    bias_gradient, projection_gradient,
                                    workspace.data(), nullptr);
}

}  // extern "C"
