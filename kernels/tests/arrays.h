// What the kernels' tests share: arrays, heap blocks of their exact size so
// that a byte read or written beyond them is seen; their numbers' types; GELU.

#ifndef BVKERAS_KERNELS_TESTS_ARRAYS_H_
#define BVKERAS_KERNELS_TESTS_ARRAYS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>

#include "linear_pooling.h"

namespace bvkeras {
namespace {

int failures = 0;

// Narrow types, by way of the bits.
float FromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

uint32_t ToBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

float FromBFloat16(uint16_t bits) { return FromBits(uint32_t{bits} << 16); }

uint16_t ToBFloat16(float value) {
  const uint32_t bits = ToBits(value);
  if (std::isnan(value)) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float FromFloat16(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  const float sign = bits >> 15 ? -1.0f : 1.0f;
  if (exponent == 31) {
    return fraction ? std::numeric_limits<float>::quiet_NaN()
                    : sign * std::numeric_limits<float>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(float(fraction), -24);
  return sign * std::ldexp(float(1024 + fraction), exponent - 25);
}

uint16_t ToFloat16(float value) {
  if (std::isnan(value)) return 0x7e00;
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const float size = std::fabs(value);
  int exponent;
  std::frexp(size, &exponent);
  // The spacing of numbers near it; nearbyint rounds half to even.
  const int spacing = std::max(exponent - 11, -24);
  const float units = std::nearbyint(std::ldexp(size, -spacing));
  if (units == 0) return sign;
  const float rounded = std::ldexp(units, spacing);
  if (rounded > 65504.0f) return sign | 0x7c00;
  std::frexp(rounded, &exponent);
  if (exponent < -13) return sign | uint16_t(std::ldexp(rounded, 24));
  const auto fraction = uint16_t(std::ldexp(rounded, 11 - exponent)) - 1024;
  return sign | uint16_t((exponent + 14) << 10) | uint16_t(fraction);
}

// An array of exactly its size that begins so many numbers, 0 or 1, after a
// boundary of 16 bytes; nowhere, where it has none.
class Array {
 public:
  Array(DType dtype, int64_t size, int64_t offset)
      : dtype_(dtype),
        size_(size),
        offset_(offset),
        memory_(new char[(size + offset) * SizeOf(dtype)]) {}

  void* data() { return size_ == 0 ? nullptr : first(); }
  const void* data() const { return size_ == 0 ? nullptr : first(); }
  float* floats() { return static_cast<float*>(data()); }
  int64_t size() const { return size_; }

  double operator[](int64_t index) const {
    const char* at = static_cast<const char*>(data()) + index * SizeOf(dtype_);
    if (dtype_ == DType::kInt8) return static_cast<int8_t>(*at);
    if (dtype_ == DType::kFloat32) {
      float value;
      std::memcpy(&value, at, sizeof value);
      return value;
    }
    uint16_t bits;
    std::memcpy(&bits, at, sizeof bits);
    return dtype_ == DType::kBFloat16 ? FromBFloat16(bits) : FromFloat16(bits);
  }

  void Set(int64_t index, float value) {
    char* at = static_cast<char*>(data()) + index * SizeOf(dtype_);
    if (dtype_ == DType::kInt8) {
      *at = static_cast<char>(static_cast<int8_t>(std::nearbyint(value)));
    } else if (dtype_ == DType::kFloat32) {
      std::memcpy(at, &value, sizeof value);
    } else {
      const uint16_t bits = dtype_ == DType::kBFloat16 ? ToBFloat16(value)
                                                       : ToFloat16(value);
      std::memcpy(at, &bits, sizeof bits);
    }
  }

  void FillWithNaN() {
    std::memset(first(), 0xff, size_ * SizeOf(dtype_));
  }

  bool SameBits(const Array& other) const {
    return std::memcmp(first(), other.first(), size_ * SizeOf(dtype_)) == 0;
  }

 private:
  char* first() const { return memory_.get() + offset_ * SizeOf(dtype_); }

  DType dtype_;
  int64_t size_;
  int64_t offset_;
  std::unique_ptr<char[]> memory_;
};

double Gelu(double z, bool approximate) {
  if (approximate) {
    const double inner = std::sqrt(2 / M_PI) * (z + 0.044715 * z * z * z);
    return 0.5 * z * (1 + std::tanh(inner));
  }
  return 0.5 * z * (1 + std::erf(z / std::sqrt(2.0)));
}

}  // namespace
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_TESTS_ARRAYS_H_
