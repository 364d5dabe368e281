// What the processor can do at most, for benchmarks/pooling/peaks.py: each
// function runs on so many threads and gives the best of a few tries.
//
//     FloatPeak      multiply-adds of float32 in registers, FLOP/s
//     BFloat16Peak   the bfloat16 dot product likewise; 0 if there is none
//     ReadBandwidth  bytes a second, read from memory beyond the caches

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

constexpr int kTries = 5;
constexpr int64_t kRounds = 4000000;
// Sums that do not wait for each other: more than latency times units.
constexpr int kSums = 12;

double BestRate(int threads, double work_a_thread,
                const std::function<void(int)>& task) {
  double best = 0;
  for (int i = 0; i < kTries; ++i) {
    const auto began = std::chrono::steady_clock::now();
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(task, t);
    task(0);
    for (std::thread& other : others) other.join();
    const std::chrono::duration<double> taken =
        std::chrono::steady_clock::now() - began;
    best = std::max(best, threads * work_a_thread / taken.count());
  }
  return best;
}

// Keeps the compiler from leaving out what computes `value`, and from knowing
// what it is.
template <class T>
void Use(T& value) {
#if defined(__x86_64__)
  asm volatile("" : "+x"(value));
#else
  asm volatile("" : "+w"(value));
#endif
}

typedef float Four __attribute__((vector_size(16)));

void FourFloats(int) {
  Four sums[kSums] = {}, a = {1, 1, 1, 1}, b = a;
  Use(a);
  Use(b);
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < kSums; ++k) sums[k] += a * b;
  }
  for (Four& sum : sums) Use(sum);
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) void EightFloats(int) {
  __m256 sums[kSums], a = _mm256_set1_ps(1), b = a;
  for (__m256& sum : sums) sum = _mm256_setzero_ps();
  asm volatile("" : "+x"(a), "+x"(b));
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < kSums; ++k) sums[k] = _mm256_fmadd_ps(a, b, sums[k]);
  }
  for (__m256& sum : sums) asm volatile("" : "+x"(sum));
}

__attribute__((target("avx512f"))) void SixteenFloats(int) {
  __m512 sums[kSums], a = _mm512_set1_ps(1), b = a;
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  asm volatile("" : "+v"(a), "+v"(b));
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < kSums; ++k) sums[k] = _mm512_fmadd_ps(a, b, sums[k]);
  }
  for (__m512& sum : sums) asm volatile("" : "+v"(sum));
}

__attribute__((target("avx512f,avx512bf16"))) void Pairs(int) {
  __m512 sums[kSums];
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  __m512i a = _mm512_set1_epi16(0x3f80);
  asm volatile("" : "+v"(a));
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < kSums; ++k) {
      sums[k] = _mm512_dpbf16_ps(sums[k], (__m512bh)a, (__m512bh)a);
    }
  }
  for (__m512& sum : sums) asm volatile("" : "+v"(sum));
}
#endif

}  // namespace

extern "C" double FloatPeak(int threads) {
  const double rounds = 2.0 * kSums * kRounds;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    return BestRate(threads, 16 * rounds, SixteenFloats);
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return BestRate(threads, 8 * rounds, EightFloats);
  }
#endif
  return BestRate(threads, 4 * rounds, FourFloats);
}

extern "C" double BFloat16Peak(int threads) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16")) {
    return BestRate(threads, 2.0 * 32 * kSums * kRounds, Pairs);
  }
#endif
  return 0;
}

extern "C" double ReadBandwidth(int threads) {
  constexpr int64_t kBytesAThread = 256 << 20;
  constexpr int64_t kBlock = 4096;
  std::vector<std::vector<char>> memory(threads);
  for (auto& part : memory) part.assign(kBytesAThread, 1);
  return BestRate(threads, kBytesAThread, [&](int thread) {
    const char* const begin = memory[thread].data();
    typedef int64_t Two __attribute__((vector_size(16)));
    Two sums[4] = {};
    for (int64_t block = 0; block < kBytesAThread; block += kBlock) {
      for (int64_t i = 0; i < kBlock; i += 64) {
        for (int k = 0; k < 4; ++k) {
          Two part;
          std::memcpy(&part, begin + block + i + 16 * k, sizeof part);
          sums[k] ^= part;
        }
      }
    }
    for (Two& sum : sums) Use(sum);
  });
}
