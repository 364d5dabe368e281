// AVX-512 F, BW, DQ and VL, without the bfloat16 dot product.

#include <immintrin.h>

#include "encoder_kernels.h"
#include "tile_kernels.h"

namespace bvkeras {
namespace cpu {
namespace {

#include "numbers.h"
#include "avx512_vector.h"
#include "tile_kernels_impl.h"
#include "encoder_kernels_impl.h"

}  // namespace

const TileKernels& Avx512Kernels() {
  static constexpr TileKernels kKernels =
      MakeTileKernels<Avx512Vector>("avx512");
  return kKernels;
}

const EncoderKernels& Avx512EncoderKernels() {
  static constexpr EncoderKernels kKernels =
      MakeEncoderKernels<Avx512Vector>("avx512");
  return kKernels;
}

}  // namespace cpu
}  // namespace bvkeras
