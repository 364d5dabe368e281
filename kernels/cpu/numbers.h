// The number types of hidden states, one at a time. Included by every
// variant's file inside its own anonymous namespace.

template <typename T>
inline T LoadScalar(const void* source) {
  T value;
  __builtin_memcpy(&value, source, sizeof value);
  return value;
}

// What a product of 8 bits makes unsigned: int8_core.h.
enum class Int8Kind { kSigned, kUnsignedRows, kUnsignedWeights };

inline int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Nearest even, as IEEE 754 rounds; NaN stays NaN.
inline uint16_t FloatToBFloat16(float value) {
  uint32_t bits = LoadScalar<uint32_t>(&value);
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >> 16) | 0x40;
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

inline float BFloat16ToFloat(uint16_t bits) {
  uint32_t wide = uint32_t{bits} << 16;
  return LoadScalar<float>(&wide);
}

inline float Float16ToFloat(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t rest = half & 0x7fffu;
  if (rest < 0x400) {  // zero and subnormal: a multiple of 2^-24
    const float magnitude = static_cast<float>(rest) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  // Infinity and NaN keep their exponent of ones.
  const uint32_t bias = rest >= 0x7c00 ? (255 - 31) << 23 : (127 - 15) << 23;
  const uint32_t bits = sign | ((rest << 13) + bias);
  return LoadScalar<float>(&bits);
}

inline uint16_t FloatToFloat16(float value) {
  const uint32_t bits = LoadScalar<uint32_t>(&value);
  const uint16_t sign = (bits >> 16) & 0x8000;
  const uint32_t rest = bits & 0x7fffffff;
  if (rest > 0x7f800000) return sign | 0x7e00;
  if (rest >= 0x477ff000) return sign | 0x7c00;  // rounds to 2^16 or more
  if (rest < 0x38800000) {  // below 2^-14: a multiple of 2^-24
    const float magnitude = LoadScalar<float>(&rest);
    // Adding 2^-1 leaves the multiple in the last bits, rounded.
    const float shifted = magnitude + 0.5f;
    return sign | (LoadScalar<uint32_t>(&shifted) - 0x3f000000);
  }
  const uint32_t rounded = rest + 0xfff + ((rest >> 13) & 1);
  return sign | ((rounded - ((127 - 15) << 23)) >> 13);
}

inline float Round(float value, DType dtype) {
  if (dtype == DType::kFloat32) return value;
  if (dtype == DType::kFloat16) return Float16ToFloat(FloatToFloat16(value));
  return BFloat16ToFloat(FloatToBFloat16(value));
}
