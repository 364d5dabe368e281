// The CPU's side of linear_pooling.h, carried out by the emulated GPU, so that
// the tests of one run on the other: python.cc and tests/ are linked with this
// instead of cpu/. "Threads" and "tasks" mean nothing here; the environment
// variable BVKERAS_EMULATION_SEED says in which order the GPU's threads run.

#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>

#include "cuda/launchers.h"
#include "emulation.h"

namespace bvkeras {
namespace {

// As a GPU's allocator gives it: aligned to 256 bytes; NaN until written.
class DeviceMemory {
 public:
  explicit DeviceMemory(size_t bytes)
      : memory_(::operator new(bytes, std::align_val_t{256})) {
    __builtin_memset(memory_, 0xff, bytes);
  }
  ~DeviceMemory() { ::operator delete(memory_, std::align_val_t{256}); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  void* get() const { return memory_; }

 private:
  void* memory_;
};

void Require(const char* error) {
  if (error != nullptr) throw std::runtime_error(error);
}

void UseSeed() {
  const char* seed = std::getenv("BVKERAS_EMULATION_SEED");
  emulation::SetSeed(seed == nullptr ? 0 : std::atoi(seed));
}

}  // namespace

std::string Check(const Problem& problem) {
  return cuda::CheckLimits(problem);
}

namespace cpu {

size_t StashBytes(const Problem& problem) { return cuda::StashBytes(problem); }

void Forward(const Problem& problem, void* output, void* stash,
             const ParallelFor&) {
  UseSeed();
  const DeviceMemory workspace(
      cuda::WorkspaceBytes(problem, cuda::Pass::kForward));
  Require(cuda::Forward(problem, output, stash, workspace.get(), nullptr));
}

void Backward(const Problem& problem, const void* output_gradient,
              const void* stash, float* kernel_gradient, float* bias_gradient,
              float* projection_gradient, const ParallelFor&) {
  UseSeed();
  const DeviceMemory workspace(
      cuda::WorkspaceBytes(problem, cuda::Pass::kBackward));
  Require(cuda::Backward(problem, output_gradient, stash, kernel_gradient,
                         bias_gradient, projection_gradient, workspace.get(),
                         nullptr));
}

void BackwardHiddenStates(const Problem& problem, const void* output_gradient,
                          const void* stash, void* const* gradient,
                          const ParallelFor&) {
  UseSeed();
  const DeviceMemory workspace(
      cuda::WorkspaceBytes(problem, cuda::Pass::kBackwardHiddenStates));
  Require(cuda::BackwardHiddenStates(problem, output_gradient, stash,
                                     gradient, workspace.get(), nullptr));
}

const char* CompiledVariants() { return "emulated"; }

const char* Variant(std::string* error) {
  error->clear();
  return "emulated";
}

}  // namespace cpu
}  // namespace bvkeras
