// AVX-512 vectors of 16 floats; included by a variant's file inside its own
// anonymous namespace.

struct Avx512Vector {
  using Vec = __m512;
  static constexpr int kLanes = 16;
  // 8 x 3 sums, 3 vectors of W and one of H fill 28 of 32 registers.
  static constexpr int kForwardRows = 8;
  static constexpr int kForwardVectors = 3;
  static constexpr int kOuterUnits = 8;
  static constexpr int kOuterVectors = 3;
  static constexpr int kOuterPairUnits = 8;
  static constexpr bool kHasBFloat16Dot = false;
  static constexpr int kInt8Rows = 8;
  static constexpr int kInt8Step = 64;
  static constexpr Int8Kind kInt8 = Int8Kind::kUnsignedWeights;

  static Vec Set1(float x) { return _mm512_set1_ps(x); }
  static Vec Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, Vec x) { _mm512_storeu_ps(p, x); }
  static Vec Add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static Vec Sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
  static Vec Mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  // Of finite numbers.
  static Vec Reciprocal(Vec a) {
    const Vec r = _mm512_rcp14_ps(a);
    return Mul(r, _mm512_fnmadd_ps(a, r, Set1(2.0f)));
  }
  static Vec Min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
  static Vec Max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
  static Vec Abs(Vec a) { return _mm512_abs_ps(a); }
  static Vec Fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  static float Sum(Vec a) { return _mm512_reduce_add_ps(a); }
  static Vec RoundToInteger(Vec a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT);
  }
  static Vec Scale(Vec a, Vec exponent) {
    return _mm512_scalef_ps(a, exponent);
  }
  static Vec WhereNegative(Vec x, Vec yes, Vec no) {
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(x)),
                                no, yes);
  }
  static void Prefetch(const void* p) {
    _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
  }

  static Vec LoadBFloat16(const void* p) {
    const __m256i bits = _mm256_loadu_si256(static_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static Vec LoadFloat16(const void* p) {
    return _mm512_cvtph_ps(
        _mm256_loadu_si256(static_cast<const __m256i*>(p)));
  }
  static Vec LoadInt8(const void* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(
        _mm_loadu_si128(static_cast<const __m128i*>(p))));
  }
  static void StoreFloat16(void* p, Vec a) {
    _mm256_storeu_si256(static_cast<__m256i*>(p),
                        _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
  }
  static void StoreBFloat16(void* p, Vec a) {
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i odd =
        _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(
        bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __m512i quiet =
        _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    const __m512i result = _mm512_mask_blend_epi32(nan, rounded, quiet);
    _mm256_storeu_si256(static_cast<__m256i*>(p),
                        _mm512_cvtepi32_epi16(_mm512_srli_epi32(result, 16)));
  }

  using Ints = __m512i;
  static Ints ZeroInts() { return _mm512_setzero_si512(); }
  static Ints LoadInts(const void* p) { return _mm512_loadu_si512(p); }
  static void StoreInts(void* p, Ints a) { _mm512_storeu_si512(p, a); }
  static Ints SubInts(Ints a, Ints b) { return _mm512_sub_epi32(a, b); }
  static Vec ToFloats(Ints a) { return _mm512_cvtepi32_ps(a); }
  static Ints Set1Int(int32_t a) { return _mm512_set1_epi32(a); }
  static Ints Set1Quad(const void* numbers) {
    return _mm512_set1_epi32(LoadScalar<int>(numbers));
  }
  static Ints AddQuads(Ints sum, Ints x, Ints w) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(w, x),
                                                   _mm512_set1_epi16(1)));
  }
  // Adds kInt8Step numbers to the sum; whether two side by side are beyond 129.
  static bool AddNumbers(const void* numbers, Ints* sum) {
    const __m512i pairs =
        _mm512_maddubs_epi16(_mm512_set1_epi8(1), LoadInts(numbers));
    *sum = _mm512_add_epi32(*sum,
                            _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
    return _mm512_cmpgt_epi16_mask(_mm512_abs_epi16(pairs),
                                   _mm512_set1_epi16(129)) != 0;
  }
  // Rounded to the nearest, even.
  static void StoreInt8(void* p, Vec a) {
    _mm_storeu_si128(static_cast<__m128i*>(p),
                     _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
  }
};
