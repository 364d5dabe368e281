// Any processor: the compiler's own vectors of four floats.

#include "encoder_kernels.h"
#include "tile_kernels.h"

namespace bvkeras {
namespace cpu {
namespace {

#include "numbers.h"

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

 private:
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

#include "tile_kernels_impl.h"
#include "encoder_kernels_impl.h"

}  // namespace

const TileKernels& PortableKernels() {
  static constexpr TileKernels kKernels =
      MakeTileKernels<PortableVector>("portable");
  return kKernels;
}

const EncoderKernels& PortableEncoderKernels() {
  static constexpr EncoderKernels kKernels =
      MakeEncoderKernels<PortableVector>("portable");
  return kKernels;
}

}  // namespace cpu
}  // namespace bvkeras
