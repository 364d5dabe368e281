// What the tests of the CPU's kernels share: orders of tasks, and the variants.

#ifndef BVKERAS_KERNELS_TESTS_CPU_RUNS_H_
#define BVKERAS_KERNELS_TESTS_CPU_RUNS_H_

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "arrays.h"
#include "linear_pooling.h"

// What AddressSanitizer asks: whatever is taken from the heap holds NaN, as a
// number of any type, so that what was never written is seen in the results.
extern "C" __attribute__((visibility("default"))) const char*
__asan_default_options() {
  return "malloc_fill_byte=255:max_malloc_fill_size=1073741824";
}

namespace bvkeras {
namespace {

using Task = std::function<void(int64_t)>;

void InOrder(int64_t tasks, int64_t, const Task& task) {
  for (int64_t i = 0; i < tasks; ++i) task(i);
}

void InReverse(int64_t tasks, int64_t, const Task& task) {
  for (int64_t i = tasks; i-- > 0;) task(i);
}

void OnThreads(int64_t tasks, int64_t, const Task& task) {
  std::atomic<int64_t> next{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int64_t at; (at = next++) < tasks;) task(at);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Runs the tests for every variant that was compiled in and that this processor
// has; gives what main returns.
int OnEveryVariant(const std::function<void(const char* variant)>& test) {
  int tested = 0;
  for (const char* variant : {
           "avx512bf16",
           "avx512",
#ifndef BVKERAS_EMULATED_AVX512
           "avx2",
           "portable",
#endif
       }) {
    setenv("BVKERAS_CPU_VARIANT", variant, 1);
    std::string error;
    cpu::Variant(&error);
    if (!error.empty()) {
      std::printf("left out: %s\n", error.c_str());
      continue;
    }
    test(variant);
    ++tested;
  }
  std::printf("%d variants tested, %d failures\n", tested, failures);
  return failures != 0 || tested == 0;
}

}  // namespace
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_TESTS_CPU_RUNS_H_
