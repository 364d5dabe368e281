// Any processor: the compiler's own vectors of four floats.

#include "encoder_kernels.h"
#include "tile_kernels.h"

namespace bvkeras {
namespace cpu {
namespace {

#include "numbers.h"

#include "portable_vector.h"
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
