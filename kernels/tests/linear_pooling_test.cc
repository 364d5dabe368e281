// The CPU kernels against a float64 reference, every variant that was
// compiled in and that this processor has. Built under AddressSanitizer and
// UBSan by tests/ops/test_kernels_sanitized.py:
//
//     cmake -S . -B build/kernel_tests -D BVKERAS_KERNEL_TESTS=ON
//     cmake --build build/kernel_tests
//     build/kernel_tests/linear_pooling_test
//     build/kernel_tests/linear_pooling_test_avx512
//
// The second has AVX-512's variants, emulated (emulated_avx512/immintrin.h).
//
// Arrays begin one number after an aligned address. Each pass runs with its
// tasks in order, in reverse and on threads, and must give the same bits.

#include <cstdio>
#include <string>
#include <thread>

#include "cpu_runs.h"
#include "linear_pooling.h"
#include "trial.h"

namespace bvkeras {
namespace {

void Test(const char* variant, const Case& c, unsigned seed) {
  Trial trial(c, seed);
  const Results results = trial.Run(InOrder);
  Compare(variant, c, trial, results);
  for (const ParallelFor& other : {ParallelFor(InReverse),
                                   ParallelFor(OnThreads)}) {
    const Results again = trial.Run(other);
    for (size_t i = 0; i < results.arrays.size(); ++i) {
      if (!results.arrays[i].SameBits(again.arrays[i])) {
        Fail("another order of tasks gives other bits", variant, c);
      }
    }
  }
}

void TestCheck() {
  Problem good;
  good.layers = good.features = good.units = 1;
  const auto refuses = [&](auto change) {
    Problem bad = good;
    change(&bad);
    const std::string line = Check(bad);
    if (line.empty() || line.find('\n') != std::string::npos) {
      ++failures;
      std::printf("Check let a wrong problem pass: '%s'\n", line.c_str());
    }
  };
  if (!Check(good).empty()) {
    ++failures;
    std::printf("Check refused: %s\n", Check(good).c_str());
  }
  refuses([](Problem* p) { p->batch = -1; });
  refuses([](Problem* p) { p->tokens = -1; });
  refuses([](Problem* p) { p->layers = 0; });
  refuses([](Problem* p) { p->features = 0; });
  refuses([](Problem* p) { p->units = 0; });
  refuses([](Problem* p) { p->outputs = -1; });
  refuses([](Problem* p) { p->pooled_dtype = DType::kInt8; });
  refuses([](Problem* p) { p->positions = 1, p->tokens = 2; });
}

// Sizes in turn with every choice of the rest: primes, one above and one
// below powers of two, none, one, and more rows than a tile and a chunk hold.
void TestVariant(const char* variant) {
  static const int64_t sizes[][6] = {
      {1, 1, 1, 1, 1, 1},    {2, 3, 1, 5, 1, 2},   {3, 1, 2, 7, 3, 2},
      {0, 5, 2, 7, 3, 2},    {3, 0, 2, 7, 3, 2},   {2, 17, 5, 11, 7, 3},
      {1, 31, 3, 33, 17, 5}, {2, 9, 2, 31, 15, 1}, {1, 7, 2, 65, 16, 2},
      {1, 3, 2, 63, 65, 3},  {1, 2, 1, 384, 5, 1}, {1, 2, 1, 768, 2, 1},
      {1, 2, 1, 1024, 3, 2}, {9, 61, 2, 5, 3, 2},  {2, 13, 3, 129, 33, 2},
  };
  const Stash own[] = {Stash::kFloat32, Stash::kBFloat16, Stash::kFloat16,
                       Stash::kBFloat16};
  unsigned number = 0;
  for (int dtype = 0; dtype < 4; ++dtype) {
    for (int layout = 0; layout < 2; ++layout) {
      for (int operation = 0; operation < 3; ++operation) {
        for (int keep = 0; keep < 2; ++keep) {
          for (int turn = 0; turn < 5; ++turn, ++number) {
            const int64_t* s = sizes[number % 15];
            Test(variant,
                 {s[0], s[1], s[2], s[3], s[4], operation ? s[5] : 0,
                  DType(dtype), layout == 0, operation == 2,
                  (number / 2) % 2 == 0, Valid(number % 3),
                  keep ? own[dtype] : Stash::kNone, DType(number % 3),
                  number % 7 != 0},
                 number);
          }
        }
      }
    }
  }
  Test(variant,
       {3, 41, 3, 67, 19, 3, DType::kFloat32, true, true, false, Valid::kMask,
        Stash::kBFloat16, DType::kFloat32, true},
       number);
  for (const Stash stash : {Stash::kFloat16, Stash::kNone}) {
    for (const int64_t outputs : {0, 2}) {
      for (const bool approximate : {false, true}) {
        Test(variant,
             {2, 13, 3, 129, 33, outputs, DType::kFloat16, true, false,
              approximate, Valid::kMask, stash, DType::kFloat32, true, true},
             number);
      }
    }
  }
}

// Nothing to do, as the first that a thread does: what it keeps from call to
// call is not there yet.
void TestNothingToDo(const char* variant) {
  static const struct {
    int64_t batch, tokens;
    Valid valid;
  } kinds[] = {{0, 5, Valid::kAll},
               {0, 5, Valid::kMask},
               {3, 0, Valid::kLengths},
               {3, 5, Valid::kEmptyMask},
               {3, 5, Valid::kZeroLengths}};
  unsigned number = 0;
  for (const auto& kind : kinds) {
    for (int dtype = 0; dtype < 4; ++dtype) {
      for (int operation = 0; operation < 3; ++operation) {
        for (const Stash stash : {Stash::kBFloat16, Stash::kNone}) {
          const Case c = {kind.batch,         kind.tokens,     2, 7, 3,
                          operation ? 2 : 0,  DType(dtype),    number % 2 == 0,
                          operation == 2,     number % 3 == 0, kind.valid,
                          stash,              DType(number % 3), true};
          std::thread([&] { Test(variant, c, number); }).join();
          ++number;
        }
      }
    }
  }
}

}  // namespace
}  // namespace bvkeras

int main() {
  bvkeras::TestCheck();
  return bvkeras::OnEveryVariant([](const char* variant) {
    bvkeras::TestNothingToDo(variant);
    bvkeras::TestVariant(variant);
  });
}
