// The CUDA kernels on the emulated GPU, against a float64 reference and under
// several orders of their threads, which must give the same bits:
//
//     cuda_emulation_test FIRST STEP COUNT SEED...
//
// runs COUNT cases, number FIRST and every STEP-th after it, under each seed
// of host_emulation/emulation.h: with products of the kernels' own, and with
// products from elsewhere (cuda/epilogue.cuh). Where STEP has no factor in
// common with 48, the cases go through all types, forms and operations. There
// are three sets of 1200, and after the last of a set comes its first: from
// number 1200 on they have no real token; from 2400 on H is float16 and Z far
// beyond what that holds.
// tests/cuda/ builds and calls it, also under sanitizers. ThreadSanitizer
// tells no more than 7,000 threads of a launch apart: what has more is left
// out there. With BVKERAS_ON_DEVICE (tools/gpu_check) it runs by way of
// gpu_check/on_device.h instead, so on a GPU too, where a seed says nothing
// but that it runs once more.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "cuda/hidden_states_gradient.cuh"
#include "cuda/launchers.h"
#include "cuda/plan.h"
#include "linear_pooling.h"
#include "trial.h"
#if defined(BVKERAS_ON_DEVICE)
#include "gpu_check/on_device.h"
#else
#include "emulation.h"
#endif

namespace bvkeras {
namespace {

// batch, tokens, layers, features, units, outputs: primes, one above and one
// below powers of two, none, one; features that fill 16 bytes and that do
// not; more tokens than a tile holds, and more tiles than there are chunks;
// units of one block and of two; as many layers as there may be.
constexpr int64_t kSizes[][6] = {
    {1, 1, 1, 1, 1, 1},     {2, 3, 1, 5, 1, 2},    {3, 1, 2, 7, 3, 2},
    {0, 5, 2, 7, 3, 2},     {3, 0, 2, 7, 3, 2},    {2, 17, 13, 11, 7, 3},
    {1, 31, 3, 33, 17, 5},  {2, 9, 2, 31, 15, 1},  {3, 7, 2, 65, 16, 2},
    {2, 13, 3, 63, 65, 7},  {1, 2, 1, 384, 5, 1},  {2, 9, 3, 768, 64, 2},
    {1, 5, 2, 1024, 19, 2}, {9, 61, 2, 5, 3, 2},   {2, 13, 3, 129, 33, 2},
    {3, 20, 13, 48, 128, 2}, {2, 11, 2, 32, 129, 2}, {1, 3, 64, 16, 8, 1},
    {7, 5, 25, 64, 64, 2},  {2, 40, 5, 256, 40, 2}, {13, 4, 3, 16, 16, 3},
    {1, 70, 1, 80, 144, 2}, {30, 3, 9, 32, 16, 1}, {2, 150, 64, 8, 3, 2},
    {5, 230, 13, 16, 17, 1},
};
constexpr unsigned kSizeCount = sizeof(kSizes) / sizeof(kSizes[0]);

constexpr unsigned kCases = kSizeCount * 48;

// Each choice in turn; together with the sizes, whose number has no factor in
// common with that of the choices, all combinations come.
Case MakeCase(unsigned number) {
  if (number >= 2 * kCases) {
    Case c = MakeCase(number % kCases / 4 * 4 + 2);
    c.far = true;
    // Y as it is, and not beyond what its own type holds.
    c.pooled_dtype = DType::kFloat32;
    return c;
  }
  if (number >= kCases) {
    Case c = MakeCase(number - kCases);
    c.valid = number % 2 ? Valid::kEmptyMask : Valid::kZeroLengths;
    return c;
  }
  constexpr Stash own[] = {Stash::kFloat32, Stash::kBFloat16, Stash::kFloat16,
                           Stash::kBFloat16};
  const unsigned dtype = number % 4;
  const unsigned layout = number / 4 % 2;
  const unsigned operation = number / 8 % 3;
  const unsigned keep = number / 24 % 2;
  const int64_t* s = kSizes[number % kSizeCount];
  Stash stash = keep ? own[dtype] : Stash::kNone;
  // float32 in half the size, which only float32 has.
  if (keep && dtype == 0 && number % 5 == 0) stash = Stash::kBFloat16;
  return {s[0],
          s[1],
          s[2],
          s[3],
          s[4],
          operation ? s[5] : 0,
          DType(dtype),
          layout == 0,
          operation == 2,
          number / 3 % 2 == 0,
          Valid(number / 2 % 3),
          stash,
          DType(number % 3),
          number % 7 != 0};
}

// Whether a launch has more threads than ThreadSanitizer tells apart.
bool TooManyThreads(const Case& c, bool of_products) {
#if defined(BVKERAS_EMULATION_TSAN)
  constexpr int64_t kMost = 7000;
#else
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
#endif
  Problem problem;
  problem.batch = c.batch;
  problem.tokens = c.tokens;
  problem.layers = c.layers;
  problem.features = c.features;
  problem.units = c.units;
  problem.outputs = c.outputs;
  problem.positions = c.per_position ? c.tokens + 2 : 0;
  problem.dtype = c.dtype;
  const cuda::Plan plan(problem);
  if (of_products) {
    return std::max(plan.epilogue_chunks * plan.column_blocks *
                        cuda::kEpilogueThreads,
                    plan.projection_size) > kMost;
  }
  const int64_t hidden_blocks =
      cuda::DivideUp(c.features, cuda::kHiddenFeatures);
  const int64_t launches[] = {
      plan.tiles * std::max(plan.unit_blocks, hidden_blocks) *
          cuda::kTileThreads,
      plan.feature_blocks * plan.splits * plan.unit_blocks *
          cuda::kWeightsThreads,
      plan.padded_features * plan.padded_units, plan.projection_size};
  return *std::max_element(std::begin(launches), std::end(launches)) > kMost;
}

#if defined(BVKERAS_ON_DEVICE)

PassesOfProducts MakePasses() {
  return {on_device::ForwardOfProducts, on_device::BackwardOfProducts};
}

void UseSeed(const char* seed) {
  setenv("BVKERAS_EMULATION_SEED", seed, 1);
}

#else

PassesOfProducts MakePasses() {
  // NaN until written, as a GPU's memory may be.
  const auto workspace = [](const Problem& problem, cuda::Pass pass) {
    return std::vector<uint64_t>(cuda::WorkspaceBytes(problem, pass) / 8,
                                 ~uint64_t{0});
  };
  PassesOfProducts passes;
  passes.forward = [=](const Problem& problem, const void* const* products,
                       void* output) {
    auto memory = workspace(problem, cuda::Pass::kForwardOfProducts);
    cuda::ForwardOfProducts(problem, products, output, memory.data(), nullptr);
  };
  passes.backward = [=](const Problem& problem, const void* const* products,
                        const void* output_gradient, void* const* gradients,
                        float* bias_gradient, float* projection_gradient) {
    auto memory = workspace(problem, cuda::Pass::kBackwardOfProducts);
    cuda::BackwardOfProducts(problem, products, output_gradient, gradients,
                             bias_gradient, projection_gradient,
                             memory.data(), nullptr);
  };
  return passes;
}

void UseSeed(const char* seed) {
  setenv("BVKERAS_EMULATION_SEED", seed, 1);
  emulation::SetSeed(std::atoi(seed));
}

#endif

// Returns whether the case was tested at all.
bool Test(unsigned number, bool of_products, char** seeds, int seed_count) {
  const Case c = MakeCase(number);
  if (TooManyThreads(c, of_products)) return false;
  Trial trial(c, number, number / 3 % 2);
  std::unique_ptr<Results> first;
  for (int i = 0; i < seed_count; ++i) {
    UseSeed(seeds[i]);
    const std::string name = "case " + std::to_string(number) +
                             (of_products ? " of products seed " : " seed ") +
                             seeds[i];
    Results results =
        of_products ? trial.RunOfProducts(MakePasses()) : trial.Run(nullptr);
    if (first == nullptr) {
      Compare(name.c_str(), c, trial, results, of_products);
      first = std::make_unique<Results>(std::move(results));
      continue;
    }
    for (size_t j = 0; j < results.arrays.size(); ++j) {
      if (!results.arrays[j].SameBits(first->arrays[j])) {
        Fail("another order of threads gives other bits", name.c_str(), c);
      }
    }
  }
  return true;
}

}  // namespace
}  // namespace bvkeras

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: %s FIRST STEP COUNT SEED...\n", argv[0]);
    return 2;
  }
  const unsigned first = std::atoi(argv[1]);
  const unsigned step = std::atoi(argv[2]);
  const unsigned set = first / bvkeras::kCases * bvkeras::kCases;
  const int count = std::atoi(argv[3]);
  int tested = 0, of_products = 0;
  for (int i = 0; i < count; ++i) {
    const unsigned number = set + (first + i * step) % bvkeras::kCases;
    tested += bvkeras::Test(number, false, argv + 4, argc - 4);
    of_products += bvkeras::Test(number, true, argv + 4, argc - 4);
  }
  std::printf("%d cases tested, %d of products, %d failures\n", tested,
              of_products, bvkeras::failures);
  return bvkeras::failures != 0 || tested + of_products == 0;
}
