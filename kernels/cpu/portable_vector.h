// The compiler's own vectors of four floats; included by a variant's file
// inside its own anonymous namespace.

struct PortableVector {
  typedef float Vec __attribute__((vector_size(16)));
  typedef int32_t Bits __attribute__((vector_size(16)));
  static constexpr int kLanes = 4;
  static constexpr int kForwardRows = 4;
  static constexpr int kForwardVectors = 2;
  static constexpr int kOuterUnits = 4;
  static constexpr int kOuterVectors = 2;
  static constexpr int kOuterPairUnits = 4;
  static constexpr bool kHasBFloat16Dot = false;
  static constexpr int kInt8Rows = 4;
  static constexpr int kInt8Step = 16;
  static constexpr Int8Kind kInt8 = Int8Kind::kSigned;

  static Vec Set1(float x) { return Vec{x, x, x, x}; }
  static Vec Load(const float* p) {
    Vec a;
    __builtin_memcpy(&a, p, sizeof a);
    return a;
  }
  static void Store(float* p, Vec a) { __builtin_memcpy(p, &a, sizeof a); }
  static Vec Add(Vec a, Vec b) { return a + b; }
  static Vec Sub(Vec a, Vec b) { return a - b; }
  static Vec Mul(Vec a, Vec b) { return a * b; }
  static Vec Reciprocal(Vec a) { return 1.0f / a; }
  // As the x86 instructions: the second where one is NaN.
  static Vec Min(Vec a, Vec b) { return a < b ? a : b; }
  static Vec Max(Vec a, Vec b) { return a > b ? a : b; }
  static Vec Abs(Vec a) { return FromBits(ToBits(a) & 0x7fffffff); }
  static Vec Fma(Vec a, Vec b, Vec c) { return a * b + c; }
  static float Sum(Vec a) { return (a[0] + a[2]) + (a[1] + a[3]); }
  static Vec RoundToInteger(Vec a) {
    // Of the magnitudes met here, below 2^22, this leaves the integer.
    const Vec magic = Set1(0x1.8p23f);
    return (a + magic) - magic;
  }
  static Vec Scale(Vec a, Vec exponent) {
    const Bits n = __builtin_convertvector(exponent, Bits);
    return a * FromBits((n + 127) << 23);
  }
  static Vec WhereNegative(Vec x, Vec yes, Vec no) {
    return ToBits(x) < 0 ? yes : no;
  }
  static void Prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

  static Vec LoadBFloat16(const void* p) {
    return LoadEach<uint16_t>(p, BFloat16ToFloat);
  }
  static Vec LoadFloat16(const void* p) {
    return LoadEach<uint16_t>(p, Float16ToFloat);
  }
  static Vec LoadInt8(const void* p) {
    return LoadEach<int8_t>(p, [](int8_t x) { return static_cast<float>(x); });
  }
  static void StoreBFloat16(void* p, Vec a) {
    StoreEach(p, a, FloatToBFloat16);
  }
  static void StoreFloat16(void* p, Vec a) {
    StoreEach(p, a, FloatToFloat16);
  }

  using Ints = Bits;
  // Bytes of a lane as 16 bits: 0 and 2, 1 and 3.
  typedef int16_t Words __attribute__((vector_size(16)));
  struct Quad {
    Words even;
    Words odd;
  };
  static Ints ZeroInts() { return Ints{0, 0, 0, 0}; }
  static Ints LoadInts(const void* p) {
    Ints a;
    __builtin_memcpy(&a, p, sizeof a);
    return a;
  }
  static void StoreInts(void* p, Ints a) { __builtin_memcpy(p, &a, sizeof a); }
  static Ints SubInts(Ints a, Ints b) { return a - b; }
  static Vec ToFloats(Ints a) { return __builtin_convertvector(a, Vec); }
  static Quad Set1Quad(const void* numbers) {
    const int32_t bits = LoadScalar<int32_t>(numbers);
    return ToQuad(Ints{bits, bits, bits, bits});
  }
  // Two products are within 16 bits.
  static Ints AddQuads(Ints sum, Quad x, Ints w) {
    const Quad weights = ToQuad(w);
    const Ints pairs = (Ints)(x.even * weights.even + x.odd * weights.odd);
    return sum + ((Bits)((Unsigned)pairs << 16) >> 16) + (pairs >> 16);
  }
  // Rounded to the nearest, even.
  static void StoreInt8(void* p, Vec a) {
    const Vec whole = RoundToInteger(a);
    const int8_t numbers[kLanes] = {
        static_cast<int8_t>(whole[0]), static_cast<int8_t>(whole[1]),
        static_cast<int8_t>(whole[2]), static_cast<int8_t>(whole[3])};
    __builtin_memcpy(p, numbers, sizeof numbers);
  }

 private:
  typedef uint32_t Unsigned __attribute__((vector_size(16)));
  typedef uint16_t UnsignedWords __attribute__((vector_size(16)));

  static Quad ToQuad(Ints bytes) {
    const Words words = (Words)bytes;
    return {(Words)((UnsignedWords)words << 8) >> 8, words >> 8};
  }
  static Bits ToBits(Vec a) {
    Bits bits;
    __builtin_memcpy(&bits, &a, sizeof bits);
    return bits;
  }
  static Vec FromBits(Bits bits) {
    Vec a;
    __builtin_memcpy(&a, &bits, sizeof a);
    return a;
  }
  template <typename T, typename F>
  static Vec LoadEach(const void* p, F convert) {
    T numbers[kLanes];
    __builtin_memcpy(numbers, p, sizeof numbers);
    return Vec{convert(numbers[0]), convert(numbers[1]), convert(numbers[2]),
               convert(numbers[3])};
  }
  template <typename F>
  static void StoreEach(void* p, Vec a, F convert) {
    const uint16_t numbers[kLanes] = {convert(a[0]), convert(a[1]),
                                      convert(a[2]), convert(a[3])};
    __builtin_memcpy(p, numbers, sizeof numbers);
  }
};
