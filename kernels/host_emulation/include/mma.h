// nvcuda::wmma for 16 x 16 x 16 with sums in float32.

#ifndef BVKERAS_KERNELS_HOST_EMULATION_MMA_H_
#define BVKERAS_KERNELS_HOST_EMULATION_MMA_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "cuda_runtime.h"
#include "emulation.h"

namespace nvcuda {
namespace wmma {

struct row_major {};
struct col_major {};
struct matrix_a {};
struct matrix_b {};
struct accumulator {};
enum layout_t { mem_row_major, mem_col_major };

template <typename Use, int kM, int kN, int kK, typename T,
          typename Layout = void>
struct fragment {
  static_assert(kM == 16 && kN == 16 && kK == 16);
  T x[::emulation::kLaneNumbers];
};

template <typename Use>
constexpr ::emulation::Matrix kMatrix =
    std::is_same_v<Use, matrix_a>   ? ::emulation::Matrix::kA
    : std::is_same_v<Use, matrix_b> ? ::emulation::Matrix::kB
                                    : ::emulation::Matrix::kAccumulator;

inline void CheckMatrix(const void* memory, unsigned stride,
                        size_t number_bytes) {
  if (reinterpret_cast<uintptr_t>(memory) % 32 != 0 ||
      stride * number_bytes % 16 != 0) {
    ::emulation::Fail("takes a matrix that is not aligned");
  }
}

template <typename Fragment, typename T>
void fill_fragment(Fragment& to, T value) {
  for (auto& number : to.x) number = value;
}

template <typename Use, typename T, typename Layout>
void load_matrix_sync(fragment<Use, 16, 16, 16, T, Layout>& to, const T* from,
                      unsigned stride) {
  CheckMatrix(from, stride, sizeof(T));
  for (int i = 0; i < ::emulation::kLaneNumbers; ++i) {
    const int place = ::emulation::Place(kMatrix<Use>, threadIdx.x % 32, i);
    const int row = place / 16, column = place % 16;
    to.x[i] = std::is_same_v<Layout, row_major> ? from[row * stride + column]
                                                : from[column * stride + row];
  }
}

template <typename T>
void store_matrix_sync(
    T* to, const fragment<accumulator, 16, 16, 16, T>& from, unsigned stride,
    layout_t layout) {
  CheckMatrix(to, stride, sizeof(T));
  for (int i = 0; i < ::emulation::kLaneNumbers; ++i) {
    const int place =
        ::emulation::Place(kMatrix<accumulator>, threadIdx.x % 32, i);
    const int row = place / 16, column = place % 16;
    to[layout == mem_row_major ? row * stride + column
                               : column * stride + row] = from.x[i];
  }
}

inline float AsFloat(__half value) { return __half2float(value); }
inline float AsFloat(__nv_bfloat16 value) { return __bfloat162float(value); }

template <typename T, typename LayoutA, typename LayoutB>
void mma_sync(fragment<accumulator, 16, 16, 16, float>& d,
              const fragment<matrix_a, 16, 16, 16, T, LayoutA>& a,
              const fragment<matrix_b, 16, 16, 16, T, LayoutB>& b,
              const fragment<accumulator, 16, 16, 16, float>& c) {
  float a_numbers[::emulation::kLaneNumbers];
  float b_numbers[::emulation::kLaneNumbers];
  for (int i = 0; i < ::emulation::kLaneNumbers; ++i) {
    a_numbers[i] = AsFloat(a.x[i]);
    b_numbers[i] = AsFloat(b.x[i]);
  }
  ::emulation::Multiply(a_numbers, b_numbers, c.x, d.x);
}

}  // namespace wmma
}  // namespace nvcuda

#endif  // BVKERAS_KERNELS_HOST_EMULATION_MMA_H_
