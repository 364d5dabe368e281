// The TensorFlow operations around linear_pooling.h: its two forward passes,
// and two backward passes for each. That of the hidden states is an operation
// of its own, so that nobody pays for it who does not ask.
//
//     BvkerasLinearPooling[Projection]                  -> Y or P, stash
//     BvkerasLinearPooling[Projection]Grad              -> dW, db (, dV)
//     BvkerasLinearPooling[Projection]HiddenStatesGrad  -> dH
//
//     BvkerasLinearPooling[Projection]OfProducts        -> Y or P
//     BvkerasLinearPooling[Projection]OfProductsGrad
//         -> gradient of the products, db (, dV)
//
// The last two are for GPUs and many units: they do what follows the products
// H W, which TensorFlow's matmul makes, and read neither H nor W.
//
// Every pass takes the same arguments first:
//
//     hidden_states  stacked: one [batch, tokens, layers, features];
//                    otherwise N times [batch, tokens, features]
//     scales         of int8 hidden states, N of them: [batch, tokens, layers]
//                    or [batch, tokens]; otherwise none
//     valid          bool [batch, tokens]: the mask; int64 [batch]: lengths;
//                    bool []: every token is real
//     kernel, bias   [features, units], [units] or [0] for none
//     projection     [layers, units, outputs], or [positions, ...] of those
//     products       H W in the form of H, of the type H is multiplied in
//     kept           what is kept of them for Python's gradient; not read
//
// Gradients are registered in bvkeras/ops/native.py. Work is shared out over
// TensorFlow's intra-op threads; tf_op_cuda.cc has the same on a GPU.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "linear_pooling.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tf_arguments.h"
#include "tf_threads.h"

namespace bvkeras {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// The arguments, and whether this processor can run what is asked for.
template <bool kProjection>
class CpuOp : public PoolingOp<kProjection> {
 public:
  using PoolingOp<kProjection>::PoolingOp;

 protected:
  absl::Status ReadOnHost(OpKernelContext* context,
                          Arguments* arguments) const {
    TF_RETURN_IF_ERROR(this->Read(context, arguments));
    TF_RETURN_IF_ERROR(this->CheckLengths(arguments->problem));
    std::string unusable;
    cpu::Variant(&unusable);
    if (!unusable.empty()) return absl::InvalidArgumentError(unusable);
    return absl::OkStatus();
  }
};

template <bool kProjection>
class ForwardOp : public CpuOp<kProjection> {
 public:
  using CpuOp<kProjection>::CpuOp;

  void Compute(OpKernelContext* context) override {
    Arguments arguments;
    OP_REQUIRES_OK(context, this->ReadOnHost(context, &arguments));
    const Problem& problem = arguments.problem;
    void *output, *stash;
    OP_REQUIRES_OK(context,
                   AllocateOutputs(context, arguments,
                                   cpu::StashBytes(problem), &output, &stash));
    cpu::Forward(problem, output, stash, OnThreadsOf(context));
  }
};

template <bool kProjection>
class WeightsGradientOp : public CpuOp<kProjection> {
 public:
  using CpuOp<kProjection>::CpuOp;

  void Compute(OpKernelContext* context) override {
    Arguments arguments;
    OP_REQUIRES_OK(context, this->ReadOnHost(context, &arguments));
    const Problem& problem = arguments.problem;
    const void *output_gradient, *stash;
    OP_REQUIRES_OK(context, this->ReadForwardPass(
                                context, arguments, cpu::StashBytes(problem),
                                &output_gradient, &stash));
    WeightsGradients gradients;
    OP_REQUIRES_OK(context, AllocateGradients(context, problem, &gradients));
    cpu::Backward(problem, output_gradient, stash, gradients.kernel,
                  gradients.bias, gradients.projection, OnThreadsOf(context));
  }
};

template <bool kProjection>
class HiddenStatesGradientOp : public CpuOp<kProjection> {
 public:
  using CpuOp<kProjection>::CpuOp;

  void Compute(OpKernelContext* context) override {
    Arguments arguments;
    OP_REQUIRES_OK(context, this->ReadOnHost(context, &arguments));
    const Problem& problem = arguments.problem;
    const void *output_gradient, *stash;
    OP_REQUIRES_OK(context, this->ReadForwardPass(
                                context, arguments, cpu::StashBytes(problem),
                                &output_gradient, &stash));
    std::vector<void*> pointers;
    OP_REQUIRES_OK(context, AllocateHiddenStatesGradients(context, problem,
                                                          &pointers));
    cpu::BackwardHiddenStates(problem, output_gradient, stash,
                              pointers.data(), OnThreadsOf(context));
  }
};

// Sizes as far as a graph knows them.
struct Sizes {
  DimensionHandle batch, tokens, layers, features, units, outputs;
  ShapeHandle projection;
};

absl::Status InferSizes(InferenceContext* context, bool projection,
                        Sizes* sizes) {
  bool stacked;
  TF_RETURN_IF_ERROR(context->GetAttr("stacked", &stacked));
  std::vector<ShapeHandle> shapes;
  TF_RETURN_IF_ERROR(context->input("hidden_states", &shapes));
  ShapeHandle shape = shapes[0];
  TF_RETURN_IF_ERROR(context->WithRank(shape, stacked ? 4 : 3, &shape));
  for (const ShapeHandle& other : shapes) {
    TF_RETURN_IF_ERROR(context->Merge(shape, other, &shape));
  }
  sizes->batch = context->Dim(shape, 0);
  sizes->tokens = context->Dim(shape, 1);
  sizes->layers = stacked
                      ? context->Dim(shape, 2)
                      : context->MakeDim(static_cast<int64_t>(shapes.size()));
  sizes->features = context->Dim(shape, stacked ? 3 : 2);

  std::vector<ShapeHandle> weights;
  TF_RETURN_IF_ERROR(context->input("kernel", &weights));
  TF_RETURN_IF_ERROR(context->WithRank(weights[0], 2, &shape));
  TF_RETURN_IF_ERROR(context->Merge(context->Dim(shape, 0), sizes->features,
                                    &sizes->features));
  sizes->units = context->Dim(shape, 1);
  if (!projection) return absl::OkStatus();

  TF_RETURN_IF_ERROR(context->input("projection", &weights));
  sizes->projection = weights[0];
  TF_RETURN_IF_ERROR(
      context->WithRankAtLeast(weights[0], 3, &sizes->projection));
  TF_RETURN_IF_ERROR(
      context->WithRankAtMost(sizes->projection, 4, &sizes->projection));
  sizes->outputs = context->RankKnown(sizes->projection)
                       ? context->Dim(sizes->projection, -1)
                       : context->UnknownDim();
  return absl::OkStatus();
}

template <bool kProjection>
absl::Status InferOutput(InferenceContext* context) {
  Sizes sizes;
  TF_RETURN_IF_ERROR(InferSizes(context, kProjection, &sizes));
  context->set_output(
      0, kProjection
             ? context->MakeShape({sizes.batch, sizes.tokens, sizes.outputs})
             : context->MakeShape(
                   {sizes.batch, sizes.tokens, sizes.layers, sizes.units}));
  return absl::OkStatus();
}

template <bool kProjection>
absl::Status InferForward(InferenceContext* context) {
  TF_RETURN_IF_ERROR(InferOutput<kProjection>(context));
  context->set_output(1, context->Vector(context->UnknownDim()));
  return absl::OkStatus();
}

template <bool kProjection>
absl::Status InferWeightsGradient(InferenceContext* context) {
  Sizes sizes;
  TF_RETURN_IF_ERROR(InferSizes(context, kProjection, &sizes));
  context->set_output(0, context->MakeShape({sizes.features, sizes.units}));
  context->set_output(1, context->MakeShape({sizes.units}));
  if (kProjection) context->set_output(2, sizes.projection);
  return absl::OkStatus();
}

absl::Status InferHiddenStatesGradient(InferenceContext* context) {
  std::vector<ShapeHandle> shapes;
  TF_RETURN_IF_ERROR(context->input("hidden_states", &shapes));
  return context->set_output("hidden_states_gradient", shapes);
}

template <bool kProjection>
absl::Status InferProductsGradient(InferenceContext* context) {
  Sizes sizes;
  TF_RETURN_IF_ERROR(InferSizes(context, kProjection, &sizes));
  std::vector<ShapeHandle> shapes;
  TF_RETURN_IF_ERROR(context->input("products", &shapes));
  TF_RETURN_IF_ERROR(context->set_output("product_gradients", shapes));
  TF_RETURN_IF_ERROR(context->set_output(
      "bias_gradient", {context->MakeShape({sizes.units})}));
  if (!kProjection) return absl::OkStatus();
  return context->set_output("projection_gradient", {sizes.projection});
}

#define BVKERAS_ARGUMENTS(types)                              \
  Attr("N: int >= 1")                                         \
      .Attr("M: int >= 0")                                    \
      .Attr("T: " types)                                      \
      .Attr("Tvalid: {bool, int64}")                          \
      .Attr("stacked: bool")                                  \
      .Attr("approximate: bool = false")                      \
      .Attr("stash_type: " BVKERAS_STASH_TYPES " = 'none'")   \
      .Input("hidden_states: N * T")                          \
      .Input("scales: M * float")                             \
      .Input("valid: Tvalid")                                 \
      .Input("kernel: float")                                 \
      .Input("bias: float")

#define BVKERAS_STASH_TYPES "{'none', 'float32', 'bfloat16', 'float16'}"
#define BVKERAS_ALL_TYPES "{float, bfloat16, half, int8}"
#define BVKERAS_DIFFERENTIABLE_TYPES "{float, bfloat16, half}"
#define BVKERAS_POOLED_TYPE "pooled_type: {float, bfloat16, half}"
#define BVKERAS_PRODUCTS                    \
  Attr("Tproduct: {float, bfloat16, half}") \
      .Input("products: N * Tproduct")
#define BVKERAS_KEPT                                   \
  Attr("K: int >= 0")                                  \
      .Attr("Tkept: {float, bfloat16, half} = DT_FLOAT") \
      .Input("kept: K * Tkept")

REGISTER_OP("BvkerasLinearPooling")
    .BVKERAS_ARGUMENTS(BVKERAS_ALL_TYPES)
    .Attr(BVKERAS_POOLED_TYPE)
    .Output("pooled: pooled_type")
    .Output("stash: uint8")
    .SetShapeFn(InferForward<false>);

REGISTER_OP("BvkerasLinearPoolingGrad")
    .BVKERAS_ARGUMENTS(BVKERAS_ALL_TYPES)
    .Attr(BVKERAS_POOLED_TYPE)
    .Input("output_gradient: pooled_type")
    .Input("stash: uint8")
    .Output("kernel_gradient: float")
    .Output("bias_gradient: float")
    .SetShapeFn(InferWeightsGradient<false>);

REGISTER_OP("BvkerasLinearPoolingHiddenStatesGrad")
    .BVKERAS_ARGUMENTS(BVKERAS_DIFFERENTIABLE_TYPES)
    .Attr(BVKERAS_POOLED_TYPE)
    .Input("output_gradient: pooled_type")
    .Input("stash: uint8")
    .Output("hidden_states_gradient: N * T")
    .SetShapeFn(InferHiddenStatesGradient);

REGISTER_OP("BvkerasLinearPoolingProjection")
    .BVKERAS_ARGUMENTS(BVKERAS_ALL_TYPES)
    .Input("projection: float")
    .Output("projected: float")
    .Output("stash: uint8")
    .SetShapeFn(InferForward<true>);

REGISTER_OP("BvkerasLinearPoolingProjectionGrad")
    .BVKERAS_ARGUMENTS(BVKERAS_ALL_TYPES)
    .Input("projection: float")
    .Input("output_gradient: float")
    .Input("stash: uint8")
    .Output("kernel_gradient: float")
    .Output("bias_gradient: float")
    .Output("projection_gradient: float")
    .SetShapeFn(InferWeightsGradient<true>);

REGISTER_OP("BvkerasLinearPoolingProjectionHiddenStatesGrad")
    .BVKERAS_ARGUMENTS(BVKERAS_DIFFERENTIABLE_TYPES)
    .Input("projection: float")
    .Input("output_gradient: float")
    .Input("stash: uint8")
    .Output("hidden_states_gradient: N * T")
    .SetShapeFn(InferHiddenStatesGradient);

REGISTER_OP("BvkerasLinearPoolingOfProducts")
    .BVKERAS_ARGUMENTS(BVKERAS_ALL_TYPES)
    .Attr(BVKERAS_POOLED_TYPE)
    .BVKERAS_PRODUCTS
    .BVKERAS_KEPT
    .Output("pooled: pooled_type")
    .SetShapeFn(InferOutput<false>);

REGISTER_OP("BvkerasLinearPoolingOfProductsGrad")
    .BVKERAS_ARGUMENTS(BVKERAS_ALL_TYPES)
    .Attr(BVKERAS_POOLED_TYPE)
    .BVKERAS_PRODUCTS
    .Input("output_gradient: pooled_type")
    .Output("product_gradients: N * Tproduct")
    .Output("bias_gradient: float")
    .SetShapeFn(InferProductsGradient<false>);

REGISTER_OP("BvkerasLinearPoolingProjectionOfProducts")
    .BVKERAS_ARGUMENTS(BVKERAS_ALL_TYPES)
    .Input("projection: float")
    .BVKERAS_PRODUCTS
    .BVKERAS_KEPT
    .Output("projected: float")
    .SetShapeFn(InferOutput<true>);

REGISTER_OP("BvkerasLinearPoolingProjectionOfProductsGrad")
    .BVKERAS_ARGUMENTS(BVKERAS_ALL_TYPES)
    .Input("projection: float")
    .BVKERAS_PRODUCTS
    .Input("output_gradient: float")
    .Output("product_gradients: N * Tproduct")
    .Output("bias_gradient: float")
    .Output("projection_gradient: float")
    .SetShapeFn(InferProductsGradient<true>);

REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPooling").Device(tensorflow::DEVICE_CPU),
    ForwardOp<false>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingGrad").Device(tensorflow::DEVICE_CPU),
    WeightsGradientOp<false>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingHiddenStatesGrad")
        .Device(tensorflow::DEVICE_CPU),
    HiddenStatesGradientOp<false>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingProjection").Device(tensorflow::DEVICE_CPU),
    ForwardOp<true>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingProjectionGrad")
        .Device(tensorflow::DEVICE_CPU),
    WeightsGradientOp<true>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingProjectionHiddenStatesGrad")
        .Device(tensorflow::DEVICE_CPU),
    HiddenStatesGradientOp<true>);

}  // namespace
}  // namespace bvkeras
