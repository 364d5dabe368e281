// The passes over a chunk, written once for every instruction set.
//
// A variant's file defines a struct of vector operations and includes this
// header inside its own anonymous namespace, so that nothing compiled for one
// processor can be linked into the code of another. No STL for the same
// reason.
//
// A chunk is cut into tiles of whole tokens whose rows (one a token and layer)
// stay in the second-level cache. There are two products. The forward one
// multiplies a few rows with W at a time: a number of H is broadcast, the
// units are the lanes, the sums stay in registers over all features. The
// backward one adds up dW^T: a number of dZ is broadcast, the features are
// the lanes, the sums stay in registers over all rows of the tile.
//
// Rows are read where they lie if their type is that of the product, or int8
// for bfloat16's, and their length fills whole vectors. Otherwise a tile's rows
// are copied first, converted, and padded with zeros.

// Where the backward product reads columns of H: from the rows, from the rows
// with a copy kept, or from that copy.
enum class Source { kRows, kRowsToBlock, kBlock };

#include "gelu.h"
#include "typed_vectors.h"
#include "float_core.h"
#include "bfloat16_core.h"
#include "int8_core.h"
#include "products.h"
#include "tile_layout.h"
#include "packing.h"
#include "tile_rows.h"
#include "tile_outputs.h"
#include "engine.h"
