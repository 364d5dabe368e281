// crc32c.h: known values, and both ways against a bit at a time.

#include "crc32c.h"

#include <cstdio>
#include <random>
#include <vector>

namespace bvkeras {
namespace {

int failures = 0;

void Expect(bool condition, const char* what, size_t size) {
  if (condition) return;
  ++failures;
  std::printf("FAILED: %s, %zu bytes\n", what, size);
}

uint32_t BitByBit(const uint8_t* data, size_t size) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0u);
    }
  }
  return ~crc;
}

void Test() {
  // RFC 3720, B.4, and the usual check.
  Expect(ExtendCrc32c(0, "123456789", 9) == 0xE3069283u, "check value", 9);
  const std::vector<uint8_t> zeros(32, 0);
  Expect(ExtendCrc32c(0, zeros.data(), 32) == 0x8A9136AAu, "zeros", 32);
  std::mt19937 random(1);
  for (size_t size = 0; size < 200; ++size) {
    // Exactly as many bytes as are read, at every alignment.
    std::vector<uint8_t> bytes(size);
    for (uint8_t& byte : bytes) byte = random() & 0xFF;
    const uint32_t expected = BitByBit(bytes.data(), size);
    Expect(ExtendCrc32c(0, bytes.data(), size) == expected, "whole", size);
    Expect(~crc32c_internal::ExtendByTables(~0u, bytes.data(), size) ==
               expected,
           "by tables", size);
    const size_t part = size == 0 ? 0 : random() % size;
    const uint32_t first = ExtendCrc32c(0, bytes.data(), part);
    Expect(ExtendCrc32c(first, bytes.data() + part, size - part) == expected,
           "in two parts", size);
  }
}

}  // namespace
}  // namespace bvkeras

int main() {
  bvkeras::Test();
  std::printf("%d failures\n", bvkeras::failures);
  return bvkeras::failures != 0;
}
