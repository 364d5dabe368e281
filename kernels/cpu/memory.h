// Memory of the CPU's drivers.

#ifndef BVKERAS_KERNELS_CPU_MEMORY_H_
#define BVKERAS_KERNELS_CPU_MEMORY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace bvkeras {
namespace cpu {

inline int64_t DivideUp(int64_t value, int64_t by) {
  return (value + by - 1) / by;
}
inline int64_t RoundUp(int64_t value, int64_t by) {
  return DivideUp(value, by) * by;
}

// Memory that starts at a cache line; not zeroed.
class Buffer {
 public:
  explicit Buffer(size_t bytes)
      : bytes_(bytes),
        memory_(::operator new(std::max<size_t>(bytes, 1), kAlignment)) {}
  ~Buffer() { ::operator delete(memory_, kAlignment); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  size_t bytes() const { return bytes_; }
  void* get() const { return memory_; }
  float* floats() const { return static_cast<float*>(memory_); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  size_t bytes_;
  void* memory_;
};

// A thread's memory, kept from call to call: fresh pages would cost more than
// what is done in them. Each use has its own.
enum Use { kChunkScratch, kPassSums, kEncoderRows, kAttention, kProduct, kUses };

inline void* ThreadMemory(Use use, size_t bytes) {
  thread_local std::unique_ptr<Buffer> buffers[kUses];
  std::unique_ptr<Buffer>& buffer = buffers[use];
  // None yet, or none any more where there was not enough memory.
  if (buffer == nullptr || buffer->bytes() < bytes) {
    buffer.reset();
    buffer = std::make_unique<Buffer>(bytes);
  }
  return buffer->get();
}

}  // namespace cpu
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CPU_MEMORY_H_
