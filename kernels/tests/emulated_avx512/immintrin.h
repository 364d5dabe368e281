// The instructions that kernels/cpu/avx512*.cc use, in plain C++ and by Intel's
// description: with this folder in front of the compiler's own, those files run
// on any processor. Slower, and not a bit different but for two things: a
// product and sum is rounded twice, and a reciprocal has other last bits.

#ifndef BVKERAS_KERNELS_TESTS_EMULATED_AVX512_IMMINTRIN_H_
#define BVKERAS_KERNELS_TESTS_EMULATED_AVX512_IMMINTRIN_H_

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "../../linear_pooling.h"

typedef float __m512 __attribute__((vector_size(64), may_alias));
typedef long long __m512i __attribute__((vector_size(64), may_alias));
typedef long long __m256i __attribute__((vector_size(32), may_alias));
typedef long long __m128i __attribute__((vector_size(16), may_alias));
typedef short __m512bh __attribute__((vector_size(64), may_alias));
typedef short __m256bh __attribute__((vector_size(32), may_alias));
typedef uint16_t __mmask16;
typedef uint32_t __mmask32;

#define _MM_FROUND_TO_NEAREST_INT 0
#define _MM_HINT_T1 2
#define _CMP_UNORD_Q 3

namespace emulated {

using bvkeras::DType;
#include "../../cpu/numbers.h"

typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(64)));
typedef uint16_t HalfHalves __attribute__((vector_size(32)));
typedef int16_t Shorts __attribute__((vector_size(64)));
typedef int8_t Bytes __attribute__((vector_size(16)));
typedef int8_t AllBytes __attribute__((vector_size(64)));
typedef uint8_t UnsignedBytes __attribute__((vector_size(64)));
typedef double Doubles __attribute__((vector_size(128)));

template <class To, class From>
inline To As(From from) {
  static_assert(sizeof(To) == sizeof(From), "the same bits");
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

template <class T>
inline T LoadFrom(const void* p) {
  T value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

template <class T>
inline void StoreTo(void* p, T value) {
  __builtin_memcpy(p, &value, sizeof value);
}

inline __m512 MultiplyAdd(__m512 a, __m512 b, __m512 c) {
  return __builtin_convertvector(__builtin_convertvector(a, Doubles) *
                                         __builtin_convertvector(b, Doubles) +
                                     __builtin_convertvector(c, Doubles),
                                 __m512);
}

// The bfloat16 instructions take subnormal numbers for zero, and give none.
inline __m512 WithoutSubnormals(__m512 a) {
  const Words bits = As<Words>(a);
  return As<__m512>((bits & 0x7f800000) == 0 ? bits & 0x80000000 : bits);
}

}  // namespace emulated

inline __m512 _mm512_set1_ps(float x) {
  return __m512{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
}
inline __m512i _mm512_set1_epi32(int x) {
  return emulated::As<__m512i>(
      emulated::Ints{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x});
}
inline __m512i _mm512_setr_epi32(int a, int b, int c, int d, int e, int f,
                                 int g, int h, int i, int j, int k, int l,
                                 int m, int n, int o, int p) {
  return emulated::As<__m512i>(
      emulated::Ints{a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p});
}

inline __m512 _mm512_loadu_ps(const void* p) {
  return emulated::LoadFrom<__m512>(p);
}
inline void _mm512_storeu_ps(void* p, __m512 a) { emulated::StoreTo(p, a); }
inline __m512i _mm512_loadu_si512(const void* p) {
  return emulated::LoadFrom<__m512i>(p);
}
inline __m512i _mm512_load_si512(const void* p) {
  return *static_cast<const __m512i*>(p);
}
inline void _mm512_storeu_si512(void* p, __m512i a) { emulated::StoreTo(p, a); }
inline __m256i _mm256_loadu_si256(const void* p) {
  return emulated::LoadFrom<__m256i>(p);
}
inline void _mm256_storeu_si256(void* p, __m256i a) { emulated::StoreTo(p, a); }
inline __m128i _mm_loadu_si128(const void* p) {
  return emulated::LoadFrom<__m128i>(p);
}
inline void _mm_prefetch(const char*, int) {}

inline __m512 _mm512_castsi512_ps(__m512i a) {
  return emulated::As<__m512>(a);
}
inline __m512i _mm512_castps_si512(__m512 a) {
  return emulated::As<__m512i>(a);
}

inline __m512 _mm512_add_ps(__m512 a, __m512 b) { return a + b; }
inline __m512 _mm512_sub_ps(__m512 a, __m512 b) { return a - b; }
inline __m512 _mm512_mul_ps(__m512 a, __m512 b) { return a * b; }
// The second where one is NaN.
inline __m512 _mm512_min_ps(__m512 a, __m512 b) { return a < b ? a : b; }
inline __m512 _mm512_max_ps(__m512 a, __m512 b) { return a > b ? a : b; }
inline __m512 _mm512_abs_ps(__m512 a) {
  return emulated::As<__m512>(emulated::As<emulated::Words>(a) & 0x7fffffff);
}
inline __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) {
  return emulated::MultiplyAdd(a, b, c);
}
inline __m512 _mm512_fnmadd_ps(__m512 a, __m512 b, __m512 c) {
  return emulated::MultiplyAdd(-a, b, c);
}
// Right to 14 bits, and no more.
inline __m512 _mm512_rcp14_ps(__m512 a) {
  const auto bits = emulated::As<emulated::Words>(1.0f / a);
  return emulated::As<__m512>(bits & 0xfffffe00);
}
inline float _mm512_reduce_add_ps(__m512 a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) a[i] += a[i + half];
  }
  return a[0];
}
inline __m512 _mm512_roundscale_ps(__m512 a, int) {
  for (int i = 0; i < 16; ++i) a[i] = std::nearbyint(a[i]);
  return a;
}
inline __m512 _mm512_scalef_ps(__m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) {
    a[i] = std::ldexp(a[i], static_cast<int>(std::floor(b[i])));
  }
  return a;
}

inline __mmask16 _mm512_movepi32_mask(__m512i a) {
  const auto lanes = emulated::As<emulated::Ints>(a);
  __mmask16 mask = 0;
  for (int i = 0; i < 16; ++i) mask |= (lanes[i] < 0) << i;
  return mask;
}
inline __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int) {
  __mmask16 mask = 0;
  for (int i = 0; i < 16; ++i) mask |= std::isunordered(a[i], b[i]) << i;
  return mask;
}
inline __m512 _mm512_mask_blend_ps(__mmask16 mask, __m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) a[i] = mask >> i & 1 ? b[i] : a[i];
  return a;
}
inline __m512i _mm512_mask_blend_epi32(__mmask16 mask, __m512i a, __m512i b) {
  return emulated::As<__m512i>(_mm512_mask_blend_ps(
      mask, emulated::As<__m512>(a), emulated::As<__m512>(b)));
}
inline __m512i _mm512_mask_blend_epi16(__mmask32 mask, __m512i a, __m512i b) {
  auto result = emulated::As<emulated::Halves>(a);
  const auto others = emulated::As<emulated::Halves>(b);
  for (int i = 0; i < 32; ++i) {
    result[i] = mask >> i & 1 ? others[i] : result[i];
  }
  return emulated::As<__m512i>(result);
}

inline __m512i _mm512_and_si512(__m512i a, __m512i b) { return a & b; }
inline __m512i _mm512_or_si512(__m512i a, __m512i b) { return a | b; }
inline __m512i _mm512_add_epi32(__m512i a, __m512i b) {
  return emulated::As<__m512i>(emulated::As<emulated::Words>(a) +
                               emulated::As<emulated::Words>(b));
}
inline __m512i _mm512_slli_epi32(__m512i a, int bits) {
  return emulated::As<__m512i>(emulated::As<emulated::Words>(a) << bits);
}
inline __m512i _mm512_srli_epi32(__m512i a, int bits) {
  return emulated::As<__m512i>(emulated::As<emulated::Words>(a) >> bits);
}

inline __m512i _mm512_cvtepu16_epi32(__m256i a) {
  return emulated::As<__m512i>(__builtin_convertvector(
      emulated::As<emulated::HalfHalves>(a), emulated::Words));
}
inline __m256i _mm512_cvtepi32_epi16(__m512i a) {
  return emulated::As<__m256i>(__builtin_convertvector(
      emulated::As<emulated::Words>(a), emulated::HalfHalves));
}
inline __m512i _mm512_cvtepi8_epi32(__m128i a) {
  return emulated::As<__m512i>(__builtin_convertvector(
      emulated::As<emulated::Bytes>(a), emulated::Ints));
}
inline __m512 _mm512_cvtepi32_ps(__m512i a) {
  return __builtin_convertvector(emulated::As<emulated::Ints>(a), __m512);
}
inline __m512 _mm512_cvtph_ps(__m256i a) {
  const auto halves = emulated::As<emulated::HalfHalves>(a);
  __m512 floats;
  for (int i = 0; i < 16; ++i) floats[i] = emulated::Float16ToFloat(halves[i]);
  return floats;
}
inline __m256i _mm512_cvtps_ph(__m512 a, int) {
  emulated::HalfHalves halves;
  for (int i = 0; i < 16; ++i) halves[i] = emulated::FloatToFloat16(a[i]);
  return emulated::As<__m256i>(halves);
}

inline __m512i _mm512_setzero_si512() { return __m512i{}; }
inline __m512i _mm512_set1_epi16(short x) {
  return emulated::As<__m512i>(emulated::Shorts{} + x);
}
inline __m512i _mm512_set1_epi8(signed char x) {
  return emulated::As<__m512i>(emulated::AllBytes{} + x);
}
inline __m512i _mm512_sub_epi32(__m512i a, __m512i b) {
  return emulated::As<__m512i>(emulated::As<emulated::Words>(a) -
                               emulated::As<emulated::Words>(b));
}
inline __m512i _mm512_abs_epi16(__m512i a) {
  const auto shorts = emulated::As<emulated::Shorts>(a);
  return emulated::As<__m512i>(shorts < 0 ? -shorts : shorts);
}
inline __mmask32 _mm512_cmpgt_epi16_mask(__m512i a, __m512i b) {
  const auto more = emulated::As<emulated::Shorts>(a) >
                    emulated::As<emulated::Shorts>(b);
  __mmask32 mask = 0;
  for (int i = 0; i < 32; ++i) mask |= __mmask32{more[i] != 0} << i;
  return mask;
}
// Of a's unsigned and b's signed bytes, two products each, cut to 16 bits.
inline __m512i _mm512_maddubs_epi16(__m512i a, __m512i b) {
  const auto x = emulated::As<emulated::UnsignedBytes>(a);
  const auto y = emulated::As<emulated::AllBytes>(b);
  emulated::Shorts result;
  for (int i = 0; i < 32; ++i) {
    const int sum = x[2 * i] * y[2 * i] + x[2 * i + 1] * y[2 * i + 1];
    result[i] = sum < -32768 ? -32768 : sum > 32767 ? 32767 : sum;
  }
  return emulated::As<__m512i>(result);
}
inline __m512i _mm512_madd_epi16(__m512i a, __m512i b) {
  const auto x = emulated::As<emulated::Shorts>(a);
  const auto y = emulated::As<emulated::Shorts>(b);
  emulated::Ints result;
  for (int i = 0; i < 16; ++i) {
    result[i] = x[2 * i] * y[2 * i] + x[2 * i + 1] * y[2 * i + 1];
  }
  return emulated::As<__m512i>(result);
}
// Of a's unsigned and b's signed bytes, four products each.
inline __m512i _mm512_dpbusd_epi32(__m512i sum, __m512i a, __m512i b) {
  const auto x = emulated::As<emulated::UnsignedBytes>(a);
  const auto y = emulated::As<emulated::AllBytes>(b);
  auto result = emulated::As<emulated::Ints>(sum);
  for (int i = 0; i < 64; ++i) result[i / 4] += x[i] * y[i];
  return emulated::As<__m512i>(result);
}
inline __m512i _mm512_cvtps_epi32(__m512 a) {
  emulated::Ints result;
  for (int i = 0; i < 16; ++i) {
    result[i] = static_cast<int>(std::nearbyint(a[i]));
  }
  return emulated::As<__m512i>(result);
}
// The lower bytes.
inline __m128i _mm512_cvtepi32_epi8(__m512i a) {
  return emulated::As<__m128i>(__builtin_convertvector(
      emulated::As<emulated::Ints>(a), emulated::Bytes));
}
inline void _mm_storeu_si128(void* p, __m128i a) { emulated::StoreTo(p, a); }

// Of a and b one after the other.
inline __m512 _mm512_permutex2var_ps(__m512 a, __m512i index, __m512 b) {
  const auto from = emulated::As<emulated::Words>(index);
  __m512 result;
  for (int i = 0; i < 16; ++i) {
    result[i] = from[i] & 16 ? b[from[i] & 15] : a[from[i] & 15];
  }
  return result;
}
inline __m512i _mm512_permutex2var_epi16(__m512i a, __m512i index, __m512i b) {
  const auto from = emulated::As<emulated::Halves>(index);
  const auto first = emulated::As<emulated::Halves>(a);
  const auto second = emulated::As<emulated::Halves>(b);
  emulated::Halves result;
  for (int i = 0; i < 32; ++i) {
    result[i] = from[i] & 32 ? second[from[i] & 31] : first[from[i] & 31];
  }
  return emulated::As<__m512i>(result);
}
// Of each 128 bits the first or the last half, a's and b's numbers in turn.
inline __m512i _mm512_unpacklo_epi16(__m512i a, __m512i b) {
  const auto even = emulated::As<emulated::Halves>(a);
  const auto odd = emulated::As<emulated::Halves>(b);
  emulated::Halves result;
  for (int i = 0; i < 32; ++i) {
    const int at = i / 8 * 8 + i % 8 / 2;
    result[i] = i % 2 == 0 ? even[at] : odd[at];
  }
  return emulated::As<__m512i>(result);
}
inline __m512i _mm512_unpackhi_epi16(__m512i a, __m512i b) {
  const auto even = emulated::As<emulated::Halves>(a);
  const auto odd = emulated::As<emulated::Halves>(b);
  emulated::Halves result;
  for (int i = 0; i < 32; ++i) {
    const int at = i / 8 * 8 + 4 + i % 8 / 2;
    result[i] = i % 2 == 0 ? even[at] : odd[at];
  }
  return emulated::As<__m512i>(result);
}

inline __m256bh _mm512_cvtneps_pbh(__m512 a) {
  a = emulated::WithoutSubnormals(a);
  emulated::HalfHalves halves;
  for (int i = 0; i < 16; ++i) halves[i] = emulated::FloatToBFloat16(a[i]);
  return emulated::As<__m256bh>(halves);
}
// Of each lane the upper pair first, then the lower.
inline __m512 _mm512_dpbf16_ps(__m512 sum, __m512bh a, __m512bh b) {
  const auto add = [&](int shift) {
    const auto part = [&](__m512bh pairs) {
      const auto words = emulated::As<emulated::Words>(pairs) << shift;
      return emulated::WithoutSubnormals(
          emulated::As<__m512>(words & 0xffff0000));
    };
    sum = emulated::WithoutSubnormals(
        emulated::MultiplyAdd(part(a), part(b), sum));
  };
  add(0);
  add(16);
  return sum;
}

#endif  // BVKERAS_KERNELS_TESTS_EMULATED_AVX512_IMMINTRIN_H_
