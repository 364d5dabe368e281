// The TensorFlow operations around encoder.h, on the CPU:
//
//     BvkerasPackEncoderLayer -> one layer's weights, packed: uint8 [bytes]
//     BvkerasEncodeLayers     -> states after the steps asked for
//
// Packed weights are for this process: they fit the instruction set in use,
// and an operation that gets others says so.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "encoder.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tf_arguments.h"
#include "tf_threads.h"

// The instruction set in use; empty where the one asked for is not there.
extern "C" __attribute__((visibility("default"))) const char*
bvkeras_cpu_variant() {
  std::string error;
  const char* name = bvkeras::cpu::Variant(&error);
  return name == nullptr ? "" : name;
}

namespace bvkeras {
namespace {

using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// What both operations are told of a layer.
class EncoderOp : public OpKernel {
 public:
  explicit EncoderOp(OpKernelConstruction* context) : OpKernel(context) {
    int64_t heads;
    OP_REQUIRES_OK(context, context->GetAttr("heads", &heads));
    sizes_.heads = heads;
    DataType type;
    OP_REQUIRES_OK(context, context->GetAttr("precision", &type));
    precision_ = FromTensorFlow(type);
  }

 protected:
  // Whether this processor can run what is asked for.
  static absl::Status CheckVariant() {
    std::string unusable;
    cpu::Variant(&unusable);
    if (!unusable.empty()) return absl::InvalidArgumentError(unusable);
    return absl::OkStatus();
  }

  absl::Status CheckSizes(const EncoderSizes& sizes) const {
    const std::string wrong = Check(sizes, precision_);
    if (!wrong.empty()) return absl::InvalidArgumentError(wrong);
    return absl::OkStatus();
  }

  EncoderSizes sizes_;
  DType precision_;
};

class PackOp : public EncoderOp {
 public:
  explicit PackOp(OpKernelConstruction* context) : EncoderOp(context) {
    OP_REQUIRES_OK(context, context->GetAttr("epsilons", &epsilons_));
    OP_REQUIRES(context, epsilons_.size() == 2,
                absl::InvalidArgumentError(
                    "epsilons: expected two, of attention's LayerNorm and of "
                    "the layer's"));
  }

  void Compute(OpKernelContext* context) override {
    OP_REQUIRES_OK(context, CheckVariant());
    EncoderSizes sizes = sizes_;
    const Tensor* widening;
    OP_REQUIRES_OK(context, context->input("intermediate_kernel", &widening));
    OP_REQUIRES_OK(context, RequireRank("intermediate_kernel", *widening, 2,
                                        "[hidden, inner]"));
    sizes.hidden = widening->dim_size(0);
    sizes.inner = widening->dim_size(1);
    OP_REQUIRES_OK(context, CheckSizes(sizes));
    EncoderWeights weights;
    weights.attention_epsilon = epsilons_[0];
    weights.output_epsilon = epsilons_[1];
    const int64_t hidden = sizes.hidden, inner = sizes.inner;
    const struct {
      const char* name;
      const float** place;
      TensorShape shape;
    } inputs[] = {
        {"query_key_value_kernel", &weights.query_key_value_kernel,
         {hidden, 3 * hidden}},
        {"query_key_value_bias", &weights.query_key_value_bias, {3 * hidden}},
        {"attention_output_kernel", &weights.attention_output_kernel,
         {hidden, hidden}},
        {"attention_output_bias", &weights.attention_output_bias, {hidden}},
        {"attention_gamma", &weights.attention_gamma, {hidden}},
        {"attention_beta", &weights.attention_beta, {hidden}},
        {"intermediate_kernel", &weights.intermediate_kernel, {hidden, inner}},
        {"intermediate_bias", &weights.intermediate_bias, {inner}},
        {"output_kernel", &weights.output_kernel, {inner, hidden}},
        {"output_bias", &weights.output_bias, {hidden}},
        {"output_gamma", &weights.output_gamma, {hidden}},
        {"output_beta", &weights.output_beta, {hidden}},
    };
    for (const auto& input : inputs) {
      const Tensor* tensor;
      OP_REQUIRES_OK(context, context->input(input.name, &tensor));
      OP_REQUIRES_OK(context,
                     RequireShape(input.name, *tensor, input.shape));
      *input.place = Floats(*tensor);
    }
    Tensor* packed;
    const int64_t bytes = cpu::PackedLayerBytes(sizes, precision_);
    OP_REQUIRES_OK(context, context->allocate_output(0, {bytes}, &packed));
    cpu::PackLayer(sizes, precision_, weights, packed->data());
  }

 private:
  std::vector<float> epsilons_;
};

class EncodeOp : public EncoderOp {
 public:
  explicit EncodeOp(OpKernelConstruction* context) : EncoderOp(context) {
    int64_t inner;
    OP_REQUIRES_OK(context, context->GetAttr("inner", &inner));
    sizes_.inner = inner;
    OP_REQUIRES_OK(context, context->GetAttr("approximate", &approximate_));
    OP_REQUIRES_OK(context, context->GetAttr("steps", &steps_));
    OP_REQUIRES_OK(context, context->GetAttr("wanted", &wanted_));
    DataType type;
    OP_REQUIRES_OK(context, context->GetAttr("output_type", &type));
    output_dtype_ = FromTensorFlow(type);
    int64_t layers;
    OP_REQUIRES_OK(context, context->GetAttr("L", &layers));
    for (const int64_t layer : steps_) {
      OP_REQUIRES(context, layer >= 0 && layer < layers,
                  absl::InvalidArgumentError(absl::StrCat(
                      "steps: received ", layer, ", there are ", layers,
                      " layers")));
    }
    int64_t last = -1;
    for (const int64_t step : wanted_) {
      OP_REQUIRES(context,
                  step > last && step < static_cast<int64_t>(steps_.size()),
                  absl::InvalidArgumentError(absl::StrCat(
                      "wanted: received ", step, " after ", last,
                      ", expected rising numbers below ", steps_.size())));
      last = step;
    }
    int64_t outputs;
    OP_REQUIRES_OK(context, context->GetAttr("M", &outputs));
    OP_REQUIRES(context, outputs == static_cast<int64_t>(wanted_.size()),
                absl::InvalidArgumentError(
                    absl::StrCat("wanted: received ", wanted_.size(),
                                 " steps for ", outputs, " outputs")));
  }

  void Compute(OpKernelContext* context) override {
    OP_REQUIRES_OK(context, CheckVariant());
    const Tensor *states, *mask;
    OP_REQUIRES_OK(context, context->input("states", &states));
    OP_REQUIRES_OK(context, RequireRank("states", *states, 3,
                                        "[batch, tokens, hidden]"));
    OP_REQUIRES_OK(context, context->input("mask", &mask));
    OP_REQUIRES_OK(
        context, RequireShape("mask", *mask, TensorShape({states->dim_size(0),
                                                          states->dim_size(1)})));
    EncoderProblem problem;
    problem.sizes = sizes_;
    problem.sizes.hidden = states->dim_size(2);
    OP_REQUIRES_OK(context, CheckSizes(problem.sizes));
    problem.precision = precision_;
    problem.approximate = approximate_;
    problem.batch = states->dim_size(0);
    problem.tokens = states->dim_size(1);
    problem.states = Floats(*states);
    problem.mask = static_cast<const bool*>(mask->data());
    problem.output_dtype = output_dtype_;

    OpInputList packed;
    OP_REQUIRES_OK(context, context->input_list("packed", &packed));
    for (int i = 0; i < packed.size(); ++i) {
      const std::string wrong = cpu::CheckPackedLayer(
          problem.sizes, precision_, packed[i].data(), packed[i].NumElements());
      OP_REQUIRES(context, wrong.empty(), absl::InvalidArgumentError(wrong));
    }
    // After the last state that is wanted there is nothing to do.
    const int64_t steps = wanted_.empty() ? 0 : wanted_.back() + 1;
    std::vector<const void*> layers(steps);
    for (int64_t i = 0; i < steps; ++i) layers[i] = packed[steps_[i]].data();
    std::vector<void*> outputs(steps, nullptr);
    for (size_t i = 0; i < wanted_.size(); ++i) {
      Tensor* output;
      OP_REQUIRES_OK(context,
                     context->allocate_output(i, states->shape(), &output));
      outputs[wanted_[i]] = output->data();
    }
    problem.steps = steps;
    problem.packed = layers.data();
    problem.outputs = outputs.data();
    cpu::EncodeLayers(problem, ThreadsOf(context), OnThreadsOf(context));
  }

 private:
  bool approximate_;
  std::vector<int64_t> steps_, wanted_;
  DType output_dtype_;
};

REGISTER_OP("BvkerasPackEncoderLayer")
    .Input("query_key_value_kernel: float")
    .Input("query_key_value_bias: float")
    .Input("attention_output_kernel: float")
    .Input("attention_output_bias: float")
    .Input("attention_gamma: float")
    .Input("attention_beta: float")
    .Input("intermediate_kernel: float")
    .Input("intermediate_bias: float")
    .Input("output_kernel: float")
    .Input("output_bias: float")
    .Input("output_gamma: float")
    .Input("output_beta: float")
    .Output("packed: uint8")
    .Attr("heads: int >= 1")
    .Attr("epsilons: list(float)")
    .Attr("precision: {float, bfloat16, int8} = DT_FLOAT")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->Vector(context->UnknownDim()));
      return absl::OkStatus();
    });
REGISTER_KERNEL_BUILDER(
    Name("BvkerasPackEncoderLayer").Device(tensorflow::DEVICE_CPU), PackOp);

REGISTER_OP("BvkerasEncodeLayers")
    .Input("states: float")
    .Input("mask: bool")
    .Input("packed: L * uint8")
    .Output("outputs: M * output_type")
    .Attr("L: int >= 0")
    .Attr("M: int >= 0")
    .Attr("heads: int >= 1")
    .Attr("inner: int >= 1")
    .Attr("precision: {float, bfloat16, int8} = DT_FLOAT")
    .Attr("approximate: bool")
    .Attr("steps: list(int)")
    .Attr("wanted: list(int)")
    .Attr("output_type: {float, bfloat16, half} = DT_FLOAT")
    .SetShapeFn([](InferenceContext* context) {
      ShapeHandle states, mask;
      TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 3, &states));
      TF_RETURN_IF_ERROR(context->WithRank(context->input(1), 2, &mask));
      for (int i = 0; i < context->num_outputs(); ++i) {
        context->set_output(i, states);
      }
      return absl::OkStatus();
    });
REGISTER_KERNEL_BUILDER(
    Name("BvkerasEncodeLayers").Device(tensorflow::DEVICE_CPU), EncodeOp);

}  // namespace
}  // namespace bvkeras
