// Every array is copied to a block of the device's memory that is as far from
// a boundary of 16 bytes as the host's is, holds NaN until written, and has a
// pattern after it that no pass may change.

#include "gpu_check/on_device.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cuda/launchers.h"
#if defined(BVKERAS_EMULATED)
#include "emulation.h"
#endif

namespace bvkeras {
namespace {

using cuda::Pass;

void Require(const char* error) {
  if (error != nullptr) throw std::runtime_error(error);
}

void Require(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

// In which order the emulated GPU's threads run.
void UseSeed() {
#if defined(BVKERAS_EMULATED)
  const char* seed = std::getenv("BVKERAS_EMULATION_SEED");
  emulation::SetSeed(seed == nullptr ? 0 : std::atoi(seed));
#endif
}

class DeviceArray {
 public:
  DeviceArray(const void* like, size_t bytes)
      : bytes_(bytes), offset_(reinterpret_cast<uintptr_t>(like) % 16) {
    const size_t guarded = offset_ + bytes_ + kGuard;
    Require(cudaMalloc(&memory_, guarded));
    const std::vector<unsigned char> pattern(kGuard, kPattern);
    Require(cudaMemset(memory_, 0xff, guarded));
    Require(cudaMemcpy(data() + bytes_, pattern.data(), kGuard,
                       cudaMemcpyHostToDevice));
  }
  ~DeviceArray() { cudaFree(memory_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  char* data() const { return static_cast<char*>(memory_) + offset_; }

  void CopyFrom(const void* host) {
    Require(cudaMemcpy(data(), host, bytes_, cudaMemcpyHostToDevice));
  }
  void CopyTo(void* host) const {
    Require(cudaMemcpy(host, data(), bytes_, cudaMemcpyDeviceToHost));
  }
  bool overrun() const {
    unsigned char guard[kGuard];
    Require(cudaMemcpy(guard, data() + bytes_, kGuard,
                       cudaMemcpyDeviceToHost));
    return std::any_of(guard, guard + kGuard,
                       [](unsigned char byte) { return byte != kPattern; });
  }

 private:
  static constexpr size_t kGuard = 256;
  static constexpr unsigned char kPattern = 0xa5;
  size_t bytes_;
  size_t offset_;
  void* memory_ = nullptr;
};

// A problem on the device, and the arrays of one pass.
class Copies {
 public:
  explicit Copies(const Problem& host)
      : problem(host),
        blocks(host.stacked ? 1 : host.layers),
        rows(host.batch * host.tokens * host.layers / blocks),
        tokens(host.batch * host.tokens) {
    UseSeed();
    In(&problem.hidden_states, rows * host.features * SizeOf(host.dtype),
       &hidden_states_);
    In(&problem.scales, rows * sizeof(float), &scales_);
    In(&problem.mask, tokens);
    In(&problem.lengths, host.batch * sizeof(int64_t));
    In(&problem.kernel, host.features * host.units * sizeof(float));
    In(&problem.bias, host.units * sizeof(float));
    In(&problem.projection, ProjectionBytes());
  }

  template <typename T>
  void In(const T** array, size_t bytes) {
    if (*array == nullptr) return;
    arrays_.push_back(std::make_unique<DeviceArray>(*array, bytes));
    arrays_.back()->CopyFrom(*array);
    *array = reinterpret_cast<const T*>(arrays_.back()->data());
  }

  // One array, or one for each layer.
  template <typename T>
  void In(const T* const** layers, size_t bytes, std::vector<const T*>* own) {
    if (*layers == nullptr) return;
    own->assign(*layers, *layers + blocks);
    for (const T*& layer : *own) In(&layer, bytes);
    *layers = own->data();
  }

  template <typename T>
  T* Out(T* host, size_t bytes) {
    if (host == nullptr) return nullptr;
    arrays_.push_back(std::make_unique<DeviceArray>(host, bytes));
    results_.push_back({arrays_.back().get(), host});
    return reinterpret_cast<T*>(arrays_.back()->data());
  }

  std::vector<void*> Out(void* const* layers, size_t bytes) {
    std::vector<void*> own(layers, layers + blocks);
    for (void*& layer : own) layer = Out(layer, bytes);
    return own;
  }

  void* Workspace(Pass pass) {
    arrays_.push_back(std::make_unique<DeviceArray>(
        nullptr, cuda::WorkspaceBytes(problem, pass)));
    return arrays_.back()->data();
  }

  // Waits, and copies the results back.
  void Finish(const char* error) {
    Require(error);
    Require(cudaDeviceSynchronize());
    for (const auto& array : arrays_) {
      if (array->overrun()) {
        throw std::runtime_error("something was written beyond an array");
      }
    }
    for (const auto& [array, host] : results_) array->CopyTo(host);
  }

  size_t ProjectionBytes() const {
    return std::max<int64_t>(1, problem.positions) * problem.layers *
           problem.units * problem.outputs * sizeof(float);
  }
  size_t OutputBytes() const {
    return problem.outputs > 0
               ? tokens * problem.outputs * sizeof(float)
               : tokens * problem.layers * problem.units *
                     SizeOf(problem.pooled_dtype);
  }
  size_t ProductBytes() const {
    return rows * problem.units * (problem.dtype == DType::kFloat32 ? 4 : 2);
  }

  Problem problem;
  const int64_t blocks, rows, tokens;

 private:
  std::vector<std::unique_ptr<DeviceArray>> arrays_;
  std::vector<std::pair<DeviceArray*, void*>> results_;
  std::vector<const void*> hidden_states_;
  std::vector<const float*> scales_;
};

}  // namespace

std::string Check(const Problem& problem) {
  return cuda::CheckLimits(problem);
}

namespace cpu {

size_t StashBytes(const Problem& problem) { return cuda::StashBytes(problem); }

void Forward(const Problem& problem, void* output, void* stash,
             const ParallelFor&) {
  Copies copies(problem);
  void* const own = copies.Out(output, copies.OutputBytes());
  void* const kept = copies.Out(stash, StashBytes(problem));
  copies.Finish(cuda::Forward(copies.problem, own, kept,
                              copies.Workspace(Pass::kForward), nullptr));
}

void Backward(const Problem& problem, const void* output_gradient,
              const void* stash, float* kernel_gradient, float* bias_gradient,
              float* projection_gradient, const ParallelFor&) {
  Copies copies(problem);
  copies.In(&output_gradient, copies.OutputBytes());
  copies.In(&stash, StashBytes(problem));
  float* const by_kernel = copies.Out(
      kernel_gradient, problem.features * problem.units * sizeof(float));
  float* const by_bias =
      copies.Out(bias_gradient, problem.units * sizeof(float));
  float* const by_projection =
      copies.Out(projection_gradient, copies.ProjectionBytes());
  copies.Finish(cuda::Backward(copies.problem, output_gradient, stash,
                               by_kernel, by_bias, by_projection,
                               copies.Workspace(Pass::kBackward), nullptr));
}

void BackwardHiddenStates(const Problem& problem, const void* output_gradient,
                          const void* stash, void* const* gradient,
                          const ParallelFor&) {
  Copies copies(problem);
  copies.In(&output_gradient, copies.OutputBytes());
  copies.In(&stash, StashBytes(problem));
  const std::vector<void*> own = copies.Out(
      gradient, copies.rows * problem.features * SizeOf(problem.dtype));
  copies.Finish(cuda::BackwardHiddenStates(
      copies.problem, output_gradient, stash, own.data(),
      copies.Workspace(Pass::kBackwardHiddenStates), nullptr));
}

}  // namespace cpu

namespace on_device {

void ForwardOfProducts(const Problem& problem, const void* const* products,
                       void* output) {
  Copies copies(problem);
  std::vector<const void*> own;
  copies.In(&products, copies.ProductBytes(), &own);
  void* const result = copies.Out(output, copies.OutputBytes());
  copies.Finish(cuda::ForwardOfProducts(
      copies.problem, products, result,
      copies.Workspace(Pass::kForwardOfProducts), nullptr));
}

void BackwardOfProducts(const Problem& problem, const void* const* products,
                        const void* output_gradient,
                        void* const* product_gradients, float* bias_gradient,
                        float* projection_gradient) {
  Copies copies(problem);
  std::vector<const void*> own;
  copies.In(&products, copies.ProductBytes(), &own);
  copies.In(&output_gradient, copies.OutputBytes());
  const std::vector<void*> gradients =
      copies.Out(product_gradients, copies.ProductBytes());
  float* const by_bias =
      copies.Out(bias_gradient, problem.units * sizeof(float));
  float* const by_projection =
      copies.Out(projection_gradient, copies.ProjectionBytes());
  copies.Finish(cuda::BackwardOfProducts(
      copies.problem, products, output_gradient, gradients.data(), by_bias,
      by_projection, copies.Workspace(Pass::kBackwardOfProducts), nullptr));
}

}  // namespace on_device
}  // namespace bvkeras
