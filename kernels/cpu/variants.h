// The instruction sets that were compiled in, and the one in use.

#ifndef BVKERAS_KERNELS_CPU_VARIANTS_H_
#define BVKERAS_KERNELS_CPU_VARIANTS_H_

#include "encoder_kernels.h"
#include "tile_kernels.h"

namespace bvkeras {
namespace cpu {

struct CpuVariant {
  const char* name;
  const TileKernels& (*tile_kernels)();
  const EncoderKernels& (*encoder_kernels)();
  bool (*supported)();
};

// The one that Variant() names; where it names none, what always works.
const CpuVariant& ChosenVariant();

}  // namespace cpu
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CPU_VARIANTS_H_
