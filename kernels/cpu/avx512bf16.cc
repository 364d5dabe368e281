// AVX-512 with the dot products of bfloat16, VDPBF16PS, and of 8 bits, VPDPBUSD.

#include <immintrin.h>

#include "encoder_kernels.h"
#include "tile_kernels.h"

namespace bvkeras {
namespace cpu {
namespace {

#include "numbers.h"
#include "avx512_vector.h"

struct Avx512Bf16Vector : Avx512Vector {
  static constexpr bool kHasBFloat16Dot = true;
  using Pairs = __m512i;

  static Pairs LoadPairs(const void* p) { return _mm512_loadu_si512(p); }
  static Pairs Set1Pair(const void* p) {
    int bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    return _mm512_set1_epi32(bits);
  }
  static Vec Dot(Vec sum, Pairs a, Pairs b) {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
  }

  // Every processor with VDPBF16PS has VPDPBUSD.
  static constexpr Int8Kind kInt8 = Int8Kind::kUnsignedRows;
  static Ints AddQuads(Ints sum, Ints x, Ints w) {
    return _mm512_dpbusd_epi32(sum, x, w);
  }

  static void StoreBFloat16(void* p, Vec a) {
    const __m256bh rounded = _mm512_cvtneps_pbh(a);
    __builtin_memcpy(p, &rounded, sizeof rounded);
  }

  // Two rows' numbers side by side: even's in the low half of each lane.
  static void StorePairs(void* p, Vec even, Vec odd) {
    const __m512i low =
        _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(even));
    const __m512i high =
        _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(odd));
    _mm512_storeu_si512(p, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
  }

  // 32 numbers of two rows as pairs: of each 8, the first 4 go to `low` and
  // the last 4 to `high`.
  static void LoadRowPairs(const void* even, const void* odd, Pairs* low,
                           Pairs* high) {
    const __m512i a = _mm512_loadu_si512(even);
    const __m512i b = _mm512_loadu_si512(odd);
    *low = _mm512_unpacklo_epi16(a, b);
    *high = _mm512_unpackhi_epi16(a, b);
  }

  // int8 numbers in their order instead: low has the first 16 of each row.
  static void LoadInt8RowPairs(const void* even, const void* odd, Pairs* low,
                               Pairs* high) {
    *low = Int8RowPair(even, odd);
    *high = Int8RowPair(static_cast<const char*>(even) + kLanes,
                        static_cast<const char*>(odd) + kLanes);
  }

  // 32 int8 numbers as bfloat16, which is exact: the upper halves of floats.
  static void WidenInt8(const void* source, void* target) {
    const __m512i low = (__m512i)LoadInt8(source);
    const __m512i high =
        (__m512i)LoadInt8(static_cast<const char*>(source) + kLanes);
    alignas(64) static constexpr int16_t kUpper[] = {
        1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
        33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
    _mm512_storeu_si512(target,
                        _mm512_permutex2var_epi16(
                            low, _mm512_load_si512(kUpper), high));
  }

  // Puts 32 sums in the order of the features again.
  static void Unshuffle(float* sums) {
    const __m512 low = Load(sums);
    const __m512 high = Load(sums + 16);
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5,
                                            6, 7, 20, 21, 22, 23);
    const __m512i second = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12,
                                             13, 14, 15, 28, 29, 30, 31);
    Store(sums, _mm512_permutex2var_ps(low, first, high));
    Store(sums + 16, _mm512_permutex2var_ps(low, second, high));
  }

 private:
  static Pairs Int8RowPair(const void* even, const void* odd) {
    return _mm512_mask_blend_epi16(
        0xaaaaaaaa, _mm512_srli_epi32((__m512i)LoadInt8(even), 16),
        (__m512i)LoadInt8(odd));
  }
};

#include "tile_kernels_impl.h"
#include "encoder_kernels_impl.h"

}  // namespace

const TileKernels& Avx512Bf16Kernels() {
  static constexpr TileKernels kKernels =
      MakeTileKernels<Avx512Bf16Vector>("avx512bf16");
  return kKernels;
}

const EncoderKernels& Avx512Bf16EncoderKernels() {
  static constexpr EncoderKernels kKernels =
      MakeEncoderKernels<Avx512Bf16Vector>("avx512bf16");
  return kKernels;
}

}  // namespace cpu
}  // namespace bvkeras
