// The product of two tiles in shared memory, added to sums that the block's
// threads hold: on tensor cores where both are 16 bits wide and the GPU has
// them for that type, and with float32's own multiply-add otherwise.
//
// float32 goes the second way on every GPU: TF32 keeps 10 bits of 23, which
// the error rule does not allow, and three TF32 products for one cost what
// they gain at the widths this op is for. So do bfloat16 and int8 before
// sm_80, whose products of bfloat16 are exact in float32 as well.

#ifndef BVKERAS_KERNELS_CUDA_PRODUCT_CUH_
#define BVKERAS_KERNELS_CUDA_PRODUCT_CUH_

#include <mma.h>

#include <type_traits>

#include "types.cuh"

namespace bvkeras {
namespace cuda {

#if BVKERAS_EMULATED_ARCH == 750 || \
    (defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800)
template <typename T>
constexpr bool kOnTensorCores = std::is_same_v<T, __half>;
#else
template <typename T>
constexpr bool kOnTensorCores = !std::is_same_v<T, float>;
#endif

// How an operand's tile lies: A is kM x depth, B is depth x kN.
enum class Order { kRowMajor, kColumnMajor };

// Warps share out the kM x kN sums in blocks of 16 x 16.
template <typename T, int kM, int kN, int kWarps, Order kOrderA,
          Order kOrderB>
class TensorCoreProduct {
 public:
  __device__ TensorCoreProduct() {
#pragma unroll
    for (int i = 0; i < kRowBlocks; ++i) {
#pragma unroll
      for (int j = 0; j < kColumnBlocks; ++j) {
        nvcuda::wmma::fill_fragment(sums_[i][j], 0.0f);
      }
    }
  }

  template <int kDepth>
  __device__ void Add(const T* a, int stride_a, const T* b, int stride_b) {
    static_assert(kDepth % kBlock == 0);
#pragma unroll
    for (int k = 0; k < kDepth; k += kBlock) {
      FragmentA a_block[kRowBlocks];
#pragma unroll
      for (int i = 0; i < kRowBlocks; ++i) {
        const int row = FirstRow() + i * kBlock;
        const T* at = kOrderA == Order::kRowMajor ? a + row * stride_a + k
                                                  : a + k * stride_a + row;
        nvcuda::wmma::load_matrix_sync(a_block[i], at, stride_a);
      }
#pragma unroll
      for (int j = 0; j < kColumnBlocks; ++j) {
        const int column = FirstColumn() + j * kBlock;
        const T* at = kOrderB == Order::kRowMajor ? b + k * stride_b + column
                                                  : b + column * stride_b + k;
        FragmentB b_block;
        nvcuda::wmma::load_matrix_sync(b_block, at, stride_b);
#pragma unroll
        for (int i = 0; i < kRowBlocks; ++i) {
          nvcuda::wmma::mma_sync(sums_[i][j], a_block[i], b_block,
                                 sums_[i][j]);
        }
      }
    }
  }

  // `stride` is a multiple of 4, and `target` of 32 bytes.
  __device__ void Store(float* target, int stride) const {
#pragma unroll
    for (int i = 0; i < kRowBlocks; ++i) {
#pragma unroll
      for (int j = 0; j < kColumnBlocks; ++j) {
        nvcuda::wmma::store_matrix_sync(
            target + (FirstRow() + i * kBlock) * stride + FirstColumn() +
                j * kBlock,
            sums_[i][j], stride, nvcuda::wmma::mem_row_major);
      }
    }
  }

 private:
  static constexpr int kBlock = 16;
  static constexpr int kWarpColumns = kN >= 64 ? 2 : 1;
  static constexpr int kWarpRows = kWarps / kWarpColumns;
  static constexpr int kRowBlocks = kM / kWarpRows / kBlock;
  static constexpr int kColumnBlocks = kN / kWarpColumns / kBlock;
  static_assert(kRowBlocks * kWarpRows * kBlock == kM);
  static_assert(kColumnBlocks * kWarpColumns * kBlock == kN);

  template <Order order>
  using Layout =
      std::conditional_t<order == Order::kRowMajor, nvcuda::wmma::row_major,
                         nvcuda::wmma::col_major>;
  using FragmentA =
      nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, kBlock, kBlock, kBlock, T,
                             Layout<kOrderA>>;
  using FragmentB =
      nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, kBlock, kBlock, kBlock, T,
                             Layout<kOrderB>>;
  using Sum = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, kBlock, kBlock,
                                     kBlock, float>;

  __device__ static int FirstRow() {
    return threadIdx.x / 32 / kWarpColumns * (kRowBlocks * kBlock);
  }
  __device__ static int FirstColumn() {
    return threadIdx.x / 32 % kWarpColumns * (kColumnBlocks * kBlock);
  }

  Sum sums_[kRowBlocks][kColumnBlocks];
};

// A thread's sums lie apart, so that neighbours read neighbouring columns.
// What is added at a time is summed up by itself first: one long sum would
// round more than TensorFlow's, which add in blocks too.
template <typename T, int kM, int kN, int kWarps, Order kOrderA,
          Order kOrderB>
class PlainProduct {
 public:
  __device__ PlainProduct() {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) sums_[i][j] = 0.0f;
    }
  }

  template <int kDepth>
  __device__ void Add(const T* a, int stride_a, const T* b, int stride_b) {
    float block[kRows][kColumns];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) block[i][j] = 0.0f;
    }
    // Two steps at a time: more take more registers than there are.
#pragma unroll 2
    for (int k = 0; k < kDepth; ++k) {
      float a_column[kRows], b_row[kColumns];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        a_column[i] = ToFloat(kOrderA == Order::kRowMajor
                                  ? a[Row(i) * stride_a + k]
                                  : a[k * stride_a + Row(i)]);
      }
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        b_row[j] = ToFloat(kOrderB == Order::kRowMajor
                               ? b[k * stride_b + Column(j)]
                               : b[Column(j) * stride_b + k]);
      }
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
#pragma unroll
        for (int j = 0; j < kColumns; ++j) {
          block[i][j] = fmaf(a_column[i], b_row[j], block[i][j]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) sums_[i][j] += block[i][j];
    }
  }

  __device__ void Store(float* target, int stride) const {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        target[Row(i) * stride + Column(j)] = sums_[i][j];
      }
    }
  }

 private:
  static constexpr int kColumns = kN == 16 ? 2 : kN == 64 ? 4 : 8;
  static constexpr int kThreadColumns = kN / kColumns;
  static constexpr int kThreadRows = kWarps * 32 / kThreadColumns;
  static constexpr int kRows = kM / kThreadRows;
  static_assert(kRows * kThreadRows == kM);

  __device__ static int Row(int i) {
    return threadIdx.x / kThreadColumns + i * kThreadRows;
  }
  __device__ static int Column(int j) {
    return threadIdx.x % kThreadColumns + j * kThreadColumns;
  }

  float sums_[kRows][kColumns];
};

template <typename T, int kM, int kN, int kWarps, Order kOrderA,
          Order kOrderB>
using Product =
    std::conditional_t<kOnTensorCores<T>,
                       TensorCoreProduct<T, kM, kN, kWarps, kOrderA, kOrderB>,
                       PlainProduct<T, kM, kN, kWarps, kOrderA, kOrderB>>;

}  // namespace cuda
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CUDA_PRODUCT_CUH_
