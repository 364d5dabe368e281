// The passes of cuda/launchers.h for Python's ctypes, without TensorFlow:
// tools/gpu_check/library.py has the same structure.

#include <cstdint>
#include <exception>
#include <string>
#include <utility>

#include "cuda/launchers.h"
#include "gpu_check/on_device.h"

extern "C" {

// A pass, everything it reads and everything it writes; what a pass does not
// name may be null. `gradients` are those of H or of the products.
struct Call {
  int64_t batch, tokens, layers, features, units, outputs, positions;
  int32_t dtype, pooled_dtype, stash_type, stacked, approximate, pass;
  const void* const* hidden_states;
  const float* const* scales;
  const bool* mask;
  const int64_t* lengths;
  const float* kernel;
  const float* bias;
  const float* projection;
  const void* const* products;
  const void* output_gradient;
  void* output;
  void* stash;
  float* kernel_gradient;
  float* bias_gradient;
  float* projection_gradient;
  void* const* gradients;
  void* workspace;
  void* stream;
};

}  // extern "C"

namespace {

using bvkeras::cuda::Pass;

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
  problem.stash = bvkeras::Stash(call.stash_type);
  problem.stacked = call.stacked != 0;
  problem.approximate = call.approximate != 0;
  problem.hidden_states = call.hidden_states;
  problem.scales = call.scales;
  problem.mask = call.mask;
  problem.lengths = call.lengths;
  problem.kernel = call.kernel;
  problem.bias = call.bias;
  problem.projection = call.projection;
  return problem;
}

const char* Run(const bvkeras::Problem& problem, const Call& c) {
  namespace cuda = bvkeras::cuda;
  switch (Pass(c.pass)) {
    case Pass::kForward:
      return cuda::Forward(problem, c.output, c.stash, c.workspace, c.stream);
    case Pass::kBackward:
      return cuda::Backward(problem, c.output_gradient, c.stash,
                            c.kernel_gradient, c.bias_gradient,
                            c.projection_gradient, c.workspace, c.stream);
    case Pass::kBackwardHiddenStates:
      return cuda::BackwardHiddenStates(problem, c.output_gradient, c.stash,
                                        c.gradients, c.workspace, c.stream);
    case Pass::kForwardOfProducts:
      return cuda::ForwardOfProducts(problem, c.products, c.output,
                                     c.workspace, c.stream);
    case Pass::kBackwardOfProducts:
      return cuda::BackwardOfProducts(
          problem, c.products, c.output_gradient, c.gradients,
          c.bias_gradient, c.projection_gradient, c.workspace, c.stream);
  }
  return "unknown pass";
}

void RunCopied(const bvkeras::Problem& problem, const Call& c) {
  namespace cpu = bvkeras::cpu;
  namespace on_device = bvkeras::on_device;
  switch (Pass(c.pass)) {
    case Pass::kForward:
      return cpu::Forward(problem, c.output, c.stash, nullptr);
    case Pass::kBackward:
      return cpu::Backward(problem, c.output_gradient, c.stash,
                           c.kernel_gradient, c.bias_gradient,
                           c.projection_gradient, nullptr);
    case Pass::kBackwardHiddenStates:
      return cpu::BackwardHiddenStates(problem, c.output_gradient, c.stash,
                                       c.gradients, nullptr);
    case Pass::kForwardOfProducts:
      return on_device::ForwardOfProducts(problem, c.products, c.output);
    case Pass::kBackwardOfProducts:
      return on_device::BackwardOfProducts(
          problem, c.products, c.output_gradient, c.gradients,
          c.bias_gradient, c.projection_gradient);
  }
}

thread_local std::string message;

const char* Line(std::string line) {
  message = std::move(line);
  return message.empty() ? nullptr : message.c_str();
}

}  // namespace

#define BVKERAS_EXPORT extern "C" __attribute__((visibility("default")))

BVKERAS_EXPORT int64_t StashBytes(const Call* call) {
  return bvkeras::cuda::StashBytes(ProblemOf(*call));
}

BVKERAS_EXPORT int64_t WorkspaceBytes(const Call* call) {
  return bvkeras::cuda::WorkspaceBytes(ProblemOf(*call), Pass(call->pass));
}

// Arrays lie in the device's memory; null, or what is wrong.
BVKERAS_EXPORT const char* RunOnDeviceArrays(const Call* call) {
  const auto problem = ProblemOf(*call);
  std::string wrong = bvkeras::cuda::CheckLimits(problem);
  if (!wrong.empty()) return Line(std::move(wrong));
  return Run(problem, *call);
}

// Arrays lie in the host's memory and are copied; null, or what is wrong.
BVKERAS_EXPORT const char* RunOnHostArrays(const Call* call) {
  const auto problem = ProblemOf(*call);
  std::string wrong = bvkeras::cuda::CheckLimits(problem);
  if (!wrong.empty()) return Line(std::move(wrong));
  try {
    RunCopied(problem, *call);
  } catch (const std::exception& error) {
    return Line(error.what());
  }
  return nullptr;
}

BVKERAS_EXPORT int DriverVersion() { return bvkeras::cuda::DriverVersion(); }

BVKERAS_EXPORT int BuildVersion() { return bvkeras::cuda::BuildVersion(); }
