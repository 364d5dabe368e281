// Asynchronous copies, each thread's own: they take place when they begin or
// when they are waited for, by the seed.

#ifndef BVKERAS_KERNELS_HOST_EMULATION_CUDA_PIPELINE_H_
#define BVKERAS_KERNELS_HOST_EMULATION_CUDA_PIPELINE_H_

#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "emulation.h"

namespace emulation {

struct Copy {
  void* target;
  const void* source;
  size_t bytes;
};

// Groups of copies; the last one is not closed yet.
using Copies = std::deque<std::vector<Copy>>;

inline Copies& OwnCopies() {
  void*& copies = PendingCopies();
  if (copies == nullptr) copies = new Copies(1);
  return *static_cast<Copies*>(copies);
}

inline void Carry(const Copy& copy) {
  // Numbers, not bytes, so that a sanitizer sees what the GPU would do.
  for (size_t i = 0; i < copy.bytes / 8; ++i) {
    static_cast<uint64_t*>(copy.target)[i] =
        static_cast<const uint64_t*>(copy.source)[i];
  }
}

}  // namespace emulation

inline void __pipeline_memcpy_async(void* target, const void* source,
                                    size_t bytes) {
  const auto misaligned = [&](const void* address) {
    return reinterpret_cast<uintptr_t>(address) % bytes != 0;
  };
  if (bytes != 16 || misaligned(target) || misaligned(source)) {
    ::emulation::Fail("copies what is not 16 aligned bytes");
  }
  if (::emulation::CopiesAtOnce()) {
    ::emulation::Carry({target, source, bytes});
  } else {
    ::emulation::OwnCopies().back().push_back({target, source, bytes});
  }
}

inline void __pipeline_commit() { ::emulation::OwnCopies().emplace_back(); }

inline void __pipeline_wait_prior(size_t groups) {
  auto& copies = ::emulation::OwnCopies();
  while (copies.size() > groups + 1) {
    for (const auto& copy : copies.front()) ::emulation::Carry(copy);
    copies.pop_front();
  }
  if (copies.size() == 1 && copies.front().empty()) {
    void*& pending = ::emulation::PendingCopies();
    delete &copies;
    pending = nullptr;
  }
}

#endif  // BVKERAS_KERNELS_HOST_EMULATION_CUDA_PIPELINE_H_
