// What one instruction set offers to the driver of encoder.h: the parts of a
// layer, each over a range of rows, texts or panels of weights. Plain data
// only, as in tile_kernels.h.

#ifndef BVKERAS_KERNELS_CPU_ENCODER_KERNELS_H_
#define BVKERAS_KERNELS_CPU_ENCODER_KERNELS_H_

#include "../encoder.h"

namespace bvkeras {
namespace cpu {

// Real tokens of some texts, one after the other, and the memory that holds
// what a layer makes of them. Strides are those of EncoderStrides.
struct EncoderRows {
  int64_t rows;
  float* states;    // [rows, hidden stride]
  void* operands;   // states in the products' type; states themselves, or apart
  float* projected;  // [rows, projected stride]: Q, K and V
  void* attended;   // [rows, hidden operand stride], in the products' type
  float* sums;      // [rows, hidden stride]
  void* inner;      // [rows, inner operand stride], in the products' type
};

// In numbers of the array's own type.
struct EncoderStrides {
  int64_t hidden;
  int64_t projected;
  int64_t hidden_operand;
  int64_t inner_operand;
  int64_t operand_bytes;  // of one number
  bool separate_operands;
};

struct EncoderPass {
  EncoderSizes sizes;
  DType precision;
  bool approximate;
  EncoderStrides strides;
  const void* packed;  // the layer's
};

// Rows [first_row, last_row) times panels [first_panel, last_panel).
struct EncoderPart {
  void* scratch;  // of product_bytes, for this part alone
  int64_t first_row;
  int64_t last_row;
  int64_t first_panel;
  int64_t last_panel;
};

using EncoderProduct = void (*)(const EncoderPass&, const EncoderRows&,
                                const EncoderPart&);

struct EncoderKernels {
  const char* name;
  size_t (*packed_bytes)(const EncoderSizes& sizes, DType precision);
  void (*pack)(const EncoderSizes& sizes, DType precision,
               const EncoderWeights& weights, void* packed);
  EncoderStrides (*strides)(const EncoderSizes& sizes, DType precision);
  // Panels that a product with so many columns has.
  int64_t (*panels)(int64_t columns);

  // Rows' states are there: makes their operands of them.
  void (*prepare)(const EncoderPass&, const EncoderRows&, int64_t first_row,
                  int64_t last_row);
  size_t (*product_bytes)(const EncoderSizes& sizes, DType precision);
  EncoderProduct project;
  // One text's heads [first_head, last_head); scratch of attention_bytes.
  size_t (*attention_bytes)(const EncoderSizes& sizes, int64_t tokens);
  void (*attend)(const EncoderPass&, const EncoderRows&, int64_t first_row,
                 int64_t tokens, int64_t first_head, int64_t last_head,
                 void* scratch);
  EncoderProduct add_attention;
  EncoderProduct widen;
  EncoderProduct add_inner;
  // The LayerNorm of the sums to the states and their operands; after
  // attention, or after the layer.
  void (*normalise)(const EncoderPass&, const EncoderRows&, bool after_layer,
                    int64_t first_row, int64_t last_row);
  // A row of states as numbers of a type.
  void (*write)(const float* states, int64_t count, DType dtype, void* target);
};

const EncoderKernels& Avx512Bf16EncoderKernels();
const EncoderKernels& Avx512EncoderKernels();
const EncoderKernels& Avx2EncoderKernels();
const EncoderKernels& PortableEncoderKernels();

}  // namespace cpu
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_CPU_ENCODER_KERNELS_H_
