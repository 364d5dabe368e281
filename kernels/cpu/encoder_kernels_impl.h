// The parts of an encoder's layer; included after tile_kernels_impl.h, whose
// products they use.

#include "encoder_layout.h"
#include "encoder_engine.h"
