// Prints, for each kernel with its types, how many threads a block has and
// how many bytes of shared memory: for the gates in tests/cuda/.

#include <cstdio>

#include "cuda/epilogue.cuh"
#include "cuda/hidden_states_gradient.cuh"
#include "cuda/weights_gradient.cuh"

namespace bvkeras {
namespace cuda {
namespace {

void Print(const char* kernel, const char* type, int units, int threads,
           int bytes) {
  std::printf("%s,%s,%d,%d,%d\n", kernel, type, units, threads, bytes);
}

template <typename Stored, int kUnits>
void PrintUnits(const char* type) {
  using Multiplier = TileProduct<Stored, kUnits>;
  Print("ForwardKernel", type, kUnits, kTileThreads,
        TileRows::kBytes + Multiplier::kBytes);
  Print("GradientKernel", type, kUnits, kTileThreads,
        TileRows::kBytes + Multiplier::kBytes);
  Print("WeightsGradientKernel", type, kUnits, kWeightsThreads,
        WeightsTile<Stored, kUnits>::kBytes);
}

template <typename Stored>
void PrintType(const char* type) {
  PrintUnits<Stored, 16>(type);
  PrintUnits<Stored, 64>(type);
  PrintUnits<Stored, 128>(type);
  Print("HiddenStatesGradientKernel", type, 0, kTileThreads,
        TileRows::kBytes + HiddenStatesTile<Operand<Stored>>::kBytes);
  Print("EpilogueKernel", type, 0, kEpilogueThreads, 0);
  Print("EpilogueGradientKernel", type, 0, kEpilogueThreads, 0);
}

}  // namespace
}  // namespace cuda
}  // namespace bvkeras

int main() {
  bvkeras::cuda::PrintType<float>("float");
  bvkeras::cuda::PrintType<__half>("__half");
  bvkeras::cuda::PrintType<__nv_bfloat16>("__nv_bfloat16");
  bvkeras::cuda::PrintType<int8_t>("signed char");
}
