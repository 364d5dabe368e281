// AVX2 with FMA and F16C: processors from 2013 on.

#include <immintrin.h>

#include "encoder_kernels.h"
#include "tile_kernels.h"

namespace bvkeras {
namespace cpu {
namespace {

#include "numbers.h"

struct Avx2Vector {
  using Vec = __m256;
  static constexpr int kLanes = 8;
  // 6 x 2 sums, 2 vectors of W and one of H fill 15 of 16 registers.
  static constexpr int kForwardRows = 6;
  static constexpr int kForwardVectors = 2;
  static constexpr int kOuterUnits = 4;
  static constexpr int kOuterVectors = 3;
  static constexpr int kOuterPairUnits = 4;
  static constexpr bool kHasBFloat16Dot = false;
  // Fewer rows than registers hold: more are slower.
  static constexpr int kInt8Rows = 4;
  static constexpr int kInt8Step = 32;
  static constexpr Int8Kind kInt8 = Int8Kind::kUnsignedWeights;

  static Vec Set1(float x) { return _mm256_set1_ps(x); }
  static Vec Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, Vec x) { _mm256_storeu_ps(p, x); }
  static Vec Add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  static Vec Sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
  static Vec Mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
  static Vec Reciprocal(Vec a) { return _mm256_div_ps(Set1(1.0f), a); }
  static Vec Min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
  static Vec Max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
  static Vec Abs(Vec a) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
  }
  static Vec Fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  static float Sum(Vec a) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(a),
                             _mm256_extractf128_ps(a, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    half = _mm_add_ss(half, _mm_movehdup_ps(half));
    return _mm_cvtss_f32(half);
  }
  static Vec RoundToInteger(Vec a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Vec Scale(Vec a, Vec exponent) {
    const __m256i bits = _mm256_slli_epi32(
        _mm256_add_epi32(_mm256_cvtps_epi32(exponent), _mm256_set1_epi32(127)),
        23);
    return Mul(a, _mm256_castsi256_ps(bits));
  }
  static Vec WhereNegative(Vec x, Vec yes, Vec no) {
    return _mm256_blendv_ps(no, yes, x);
  }
  static void Prefetch(const void* p) {
    _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
  }

  static Vec LoadBFloat16(const void* p) {
    const __m128i bits = _mm_loadu_si128(static_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static Vec LoadFloat16(const void* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  static Vec LoadInt8(const void* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(
        _mm_loadl_epi64(static_cast<const __m128i*>(p))));
  }
  static void StoreFloat16(void* p, Vec a) {
    _mm_storeu_si128(static_cast<__m128i*>(p),
                     _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
  }
  static void StoreBFloat16(void* p, Vec a) {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i odd =
        _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(
        bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    const __m256i result =
        _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    const __m256i packed = _mm256_permute4x64_epi64(
        _mm256_packus_epi32(result, result), 0x08);
    _mm_storeu_si128(static_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
  }

  using Ints = __m256i;
  static Ints ZeroInts() { return _mm256_setzero_si256(); }
  static Ints LoadInts(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  static void StoreInts(void* p, Ints a) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), a);
  }
  static Vec ToFloats(Ints a) { return _mm256_cvtepi32_ps(a); }
  static Ints SubInts(Ints a, Ints b) { return _mm256_sub_epi32(a, b); }
  static Ints Set1Int(int32_t a) { return _mm256_set1_epi32(a); }
  static Ints Set1Quad(const void* numbers) {
    return _mm256_set1_epi32(LoadScalar<int>(numbers));
  }
  static Ints AddQuads(Ints sum, Ints x, Ints w) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(w, x),
                                                   _mm256_set1_epi16(1)));
  }
  // Adds kInt8Step numbers to the sum; whether two side by side are beyond 129.
  static bool AddNumbers(const void* numbers, Ints* sum) {
    const __m256i pairs =
        _mm256_maddubs_epi16(_mm256_set1_epi8(1), LoadInts(numbers));
    *sum = _mm256_add_epi32(*sum,
                            _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    const __m256i far = _mm256_cmpgt_epi16(_mm256_abs_epi16(pairs),
                                           _mm256_set1_epi16(129));
    return !_mm256_testz_si256(far, far);
  }
  // Rounded to the nearest, even.
  static void StoreInt8(void* p, Vec a) {
    const __m256i bits = _mm256_cvtps_epi32(a);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(bits),
                                          _mm256_extracti128_si256(bits, 1));
    _mm_storel_epi64(static_cast<__m128i*>(p), _mm_packs_epi16(words, words));
  }
};

#include "tile_kernels_impl.h"
#include "encoder_kernels_impl.h"

}  // namespace

const TileKernels& Avx2Kernels() {
  static constexpr TileKernels kKernels = MakeTileKernels<Avx2Vector>("avx2");
  return kKernels;
}

const EncoderKernels& Avx2EncoderKernels() {
  static constexpr EncoderKernels kKernels =
      MakeEncoderKernels<Avx2Vector>("avx2");
  return kKernels;
}

}  // namespace cpu
}  // namespace bvkeras
