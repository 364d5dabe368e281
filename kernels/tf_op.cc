// The TensorFlow operations around linear_pooling.h: its two forward passes,
// and two backward passes for each. That of the hidden states is an operation
// of its own, so that nobody pays for it who does not ask.
//
//     BvkerasLinearPooling[Projection]                  -> Y or P, stash
//     BvkerasLinearPooling[Projection]Grad              -> dW, db (, dV)
//     BvkerasLinearPooling[Projection]HiddenStatesGrad  -> dH
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
//
// Gradients are registered in bvkeras/ops/native.py. Work is shared out over
// TensorFlow's intra-op threads.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "linear_pooling.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/platform/threadpool.h"

namespace bvkeras {
namespace {

using tensorflow::DataType;
using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::OpOutputList;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

DType FromTensorFlow(DataType type) {
  switch (type) {
    case tensorflow::DT_BFLOAT16:
      return DType::kBFloat16;
    case tensorflow::DT_HALF:
      return DType::kFloat16;
    case tensorflow::DT_INT8:
      return DType::kInt8;
    default:
      return DType::kFloat32;
  }
}

Stash StashFromName(const std::string& name) {
  if (name == "float32") return Stash::kFloat32;
  if (name == "bfloat16") return Stash::kBFloat16;
  if (name == "float16") return Stash::kFloat16;
  return Stash::kNone;
}

absl::Status RequireShape(const char* name, const Tensor& tensor,
                          const TensorShape& expected) {
  if (tensor.shape() == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      name, ": received shape ", tensor.shape().DebugString(), ", expected ",
      expected.DebugString()));
}

absl::Status RequireRank(const char* name, const Tensor& tensor, int rank,
                         const char* expected) {
  if (tensor.dims() == rank) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": received shape ", tensor.shape().DebugString(),
                   ", expected ", expected));
}

const void* Data(const Tensor& tensor) { return tensor.data(); }

const float* Floats(const Tensor& tensor) {
  return static_cast<const float*>(tensor.data());
}

float* Floats(Tensor* tensor) { return static_cast<float*>(tensor->data()); }

// A problem and the arrays of pointers that it points to.
struct Arguments {
  Problem problem;
  std::vector<const void*> hidden_states;
  std::vector<const float*> scales;

  TensorShape OutputShape() const {
    if (problem.outputs > 0) {
      return TensorShape({problem.batch, problem.tokens, problem.outputs});
    }
    return TensorShape(
        {problem.batch, problem.tokens, problem.layers, problem.units});
  }
};

// What the three passes share: attributes, and the checks of arguments.
template <bool kProjection>
class PoolingOp : public OpKernel {
 public:
  explicit PoolingOp(OpKernelConstruction* context) : OpKernel(context) {
    DataType type;
    OP_REQUIRES_OK(context, context->GetAttr("T", &type));
    dtype_ = FromTensorFlow(type);
    OP_REQUIRES_OK(context, context->GetAttr("stacked", &stacked_));
    OP_REQUIRES_OK(context, context->GetAttr("approximate", &approximate_));
    std::string stash;
    OP_REQUIRES_OK(context, context->GetAttr("stash_type", &stash));
    stash_ = StashFromName(stash);
    if constexpr (!kProjection) {
      OP_REQUIRES_OK(context, context->GetAttr("pooled_type", &type));
      pooled_dtype_ = FromTensorFlow(type);
    }
  }

 protected:
  absl::Status Read(OpKernelContext* context, Arguments* arguments) const {
    Problem& problem = arguments->problem;
    problem.dtype = dtype_;
    problem.stacked = stacked_;
    problem.approximate = approximate_;
    problem.pooled_dtype = pooled_dtype_;
    problem.stash = stash_;
    TF_RETURN_IF_ERROR(ReadHiddenStates(context, arguments));
    TF_RETURN_IF_ERROR(ReadValid(context, &problem));
    TF_RETURN_IF_ERROR(ReadWeights(context, &problem));
    const std::string wrong = Check(problem);
    if (!wrong.empty()) return absl::InvalidArgumentError(wrong);
    std::string unusable;
    cpu::Variant(&unusable);
    if (!unusable.empty()) return absl::InvalidArgumentError(unusable);
    return absl::OkStatus();
  }

  // The gradient of the forward pass's output, and its stash.
  absl::Status ReadForwardPass(OpKernelContext* context,
                               const Arguments& arguments,
                               const void** gradient,
                               const void** stash) const {
    const Tensor* tensor;
    TF_RETURN_IF_ERROR(context->input("output_gradient", &tensor));
    TF_RETURN_IF_ERROR(
        RequireShape("output_gradient", *tensor, arguments.OutputShape()));
    *gradient = Data(*tensor);
    TF_RETURN_IF_ERROR(context->input("stash", &tensor));
    const auto bytes =
        static_cast<int64_t>(cpu::StashBytes(arguments.problem));
    TF_RETURN_IF_ERROR(RequireShape("stash", *tensor, TensorShape({bytes})));
    *stash = stash_ == Stash::kNone ? nullptr : Data(*tensor);
    return absl::OkStatus();
  }

  static ParallelFor OnThreadsOf(OpKernelContext* context) {
    const auto& workers =
        *context->device()->tensorflow_cpu_worker_threads();
    return [&workers](int64_t tasks, int64_t cost,
                      const std::function<void(int64_t)>& task) {
      std::atomic<int64_t> next{0};
      const auto work = [&] {
        for (int64_t i = next++; i < tasks; i = next++) task(i);
      };
      constexpr int64_t kLeastCost = 100000;
      const int64_t threads = std::min<int64_t>(tasks, workers.num_threads);
      if (threads < 2 || cost * tasks < kLeastCost ||
          workers.workers->CurrentThreadId() >= 0) {
        work();
        return;
      }
      // This thread waits, as it does for TensorFlow's own products: it is
      // not one of the workers, and one more than there are processors would
      // have to share one.
      absl::BlockingCounter running(threads);
      for (int64_t i = 0; i < threads; ++i) {
        workers.workers->Schedule([&] {
          work();
          running.DecrementCount();
        });
      }
      running.Wait();
    };
  }

 private:
  absl::Status ReadHiddenStates(OpKernelContext* context,
                                Arguments* arguments) const {
    Problem& problem = arguments->problem;
    OpInputList hidden_states, scales;
    TF_RETURN_IF_ERROR(context->input_list("hidden_states", &hidden_states));
    TF_RETURN_IF_ERROR(context->input_list("scales", &scales));
    if (stacked_) {
      if (hidden_states.size() != 1) {
        return absl::InvalidArgumentError(
            absl::StrCat("hidden_states: received ", hidden_states.size(),
                         " stacked tensors, expected 1"));
      }
      TF_RETURN_IF_ERROR(
          RequireRank("hidden_states", hidden_states[0], 4,
                      "[batch, tokens, layers, features]"));
      problem.layers = hidden_states[0].dim_size(2);
      problem.features = hidden_states[0].dim_size(3);
    } else {
      TF_RETURN_IF_ERROR(RequireRank("hidden_states", hidden_states[0], 3,
                                     "[batch, tokens, features]"));
      problem.layers = hidden_states.size();
      problem.features = hidden_states[0].dim_size(2);
    }
    problem.batch = hidden_states[0].dim_size(0);
    problem.tokens = hidden_states[0].dim_size(1);
    for (const Tensor& tensor : hidden_states) {
      TF_RETURN_IF_ERROR(
          RequireShape("hidden_states", tensor, hidden_states[0].shape()));
      arguments->hidden_states.push_back(Data(tensor));
    }
    problem.hidden_states = arguments->hidden_states.data();

    const int expected = dtype_ == DType::kInt8 ? hidden_states.size() : 0;
    if (scales.size() != expected) {
      return absl::InvalidArgumentError(
          absl::StrCat("scales: received ", scales.size(),
                       " tensors, expected ", expected));
    }
    if (expected == 0) return absl::OkStatus();
    TensorShape shape({problem.batch, problem.tokens});
    if (stacked_) shape.AddDim(problem.layers);
    for (const Tensor& tensor : scales) {
      TF_RETURN_IF_ERROR(RequireShape("scales", tensor, shape));
      arguments->scales.push_back(Floats(tensor));
    }
    problem.scales = arguments->scales.data();
    return absl::OkStatus();
  }

  static absl::Status ReadValid(OpKernelContext* context, Problem* problem) {
    const Tensor* valid;
    TF_RETURN_IF_ERROR(context->input("valid", &valid));
    if (valid->dtype() == tensorflow::DT_BOOL) {
      if (valid->dims() == 0) return absl::OkStatus();
      problem->mask = static_cast<const bool*>(valid->data());
      return RequireShape("mask", *valid,
                          TensorShape({problem->batch, problem->tokens}));
    }
    TF_RETURN_IF_ERROR(
        RequireShape("lengths", *valid, TensorShape({problem->batch})));
    problem->lengths = static_cast<const int64_t*>(valid->data());
    for (int64_t row = 0; row < problem->batch; ++row) {
      const int64_t length = problem->lengths[row];
      if (length < 0 || length > problem->tokens) {
        return absl::InvalidArgumentError(
            absl::StrCat("lengths: received ", length, " in row ", row,
                         ", expected 0 to ", problem->tokens,
                         ", the tokens of hidden_states"));
      }
    }
    return absl::OkStatus();
  }

  static absl::Status ReadWeights(OpKernelContext* context,
                                  Problem* problem) {
    const Tensor* tensor;
    TF_RETURN_IF_ERROR(context->input("kernel", &tensor));
    TF_RETURN_IF_ERROR(RequireRank("kernel", *tensor, 2, "[features, units]"));
    problem->units = tensor->dim_size(1);
    TF_RETURN_IF_ERROR(RequireShape(
        "kernel", *tensor, TensorShape({problem->features, problem->units})));
    problem->kernel = Floats(*tensor);

    TF_RETURN_IF_ERROR(context->input("bias", &tensor));
    if (tensor->dims() != 1 || tensor->NumElements() > 0) {
      TF_RETURN_IF_ERROR(
          RequireShape("bias", *tensor, TensorShape({problem->units})));
      problem->bias = Floats(*tensor);
    }

    if constexpr (!kProjection) return absl::OkStatus();
    TF_RETURN_IF_ERROR(context->input("projection", &tensor));
    const bool per_position = tensor->dims() == 4;
    if (!per_position) {
      TF_RETURN_IF_ERROR(RequireRank("projection", *tensor, 3,
                                     "[layers, units, outputs] or"
                                     " [positions, layers, units, outputs]"));
    }
    problem->outputs = tensor->dim_size(tensor->dims() - 1);
    if (problem->outputs < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("projection: received ", problem->outputs,
                       " outputs, expected at least 1"));
    }
    TensorShape shape({problem->layers, problem->units, problem->outputs});
    if (per_position) {
      problem->positions = tensor->dim_size(0);
      const int64_t least = std::max<int64_t>(1, problem->tokens);
      if (problem->positions < least) {
        return absl::InvalidArgumentError(absl::StrCat(
            "projection: received ", problem->positions,
            " positions, expected at least ", least,
            ": as many as hidden_states has tokens, and one"));
      }
      shape.InsertDim(0, problem->positions);
    }
    problem->projection = Floats(*tensor);
    return RequireShape("projection", *tensor, shape);
  }

  DType dtype_;
  bool stacked_;
  bool approximate_;
  DType pooled_dtype_ = DType::kFloat32;
  Stash stash_;
};

template <bool kProjection>
class ForwardOp : public PoolingOp<kProjection> {
 public:
  using PoolingOp<kProjection>::PoolingOp;

  void Compute(OpKernelContext* context) override {
    Arguments arguments;
    OP_REQUIRES_OK(context, this->Read(context, &arguments));
    Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, arguments.OutputShape(), &output));
    const Problem& problem = arguments.problem;
    const auto bytes = static_cast<int64_t>(cpu::StashBytes(problem));
    Tensor* stash;
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({bytes}),
                                                     &stash));
    cpu::Forward(problem, output->data(),
                 problem.stash == Stash::kNone ? nullptr : stash->data(),
                 this->OnThreadsOf(context));
  }
};

template <bool kProjection>
class WeightsGradientOp : public PoolingOp<kProjection> {
 public:
  using PoolingOp<kProjection>::PoolingOp;

  void Compute(OpKernelContext* context) override {
    Arguments arguments;
    OP_REQUIRES_OK(context, this->Read(context, &arguments));
    const Problem& problem = arguments.problem;
    const void *output_gradient, *stash;
    OP_REQUIRES_OK(context,
                   this->ReadForwardPass(context, arguments, &output_gradient,
                                         &stash));
    Tensor *kernel, *bias, *projection = nullptr;
    OP_REQUIRES_OK(
        context, context->allocate_output(
                     0, TensorShape({problem.features, problem.units}),
                     &kernel));
    OP_REQUIRES_OK(context, context->allocate_output(
                                1, TensorShape({problem.units}), &bias));
    if constexpr (kProjection) {
      TensorShape shape({problem.layers, problem.units, problem.outputs});
      if (problem.positions > 0) shape.InsertDim(0, problem.positions);
      OP_REQUIRES_OK(context,
                     context->allocate_output(2, shape, &projection));
    }
    cpu::Backward(problem, output_gradient, stash, Floats(kernel),
                  Floats(bias),
                  projection == nullptr ? nullptr : Floats(projection),
                  this->OnThreadsOf(context));
  }
};

template <bool kProjection>
class HiddenStatesGradientOp : public PoolingOp<kProjection> {
 public:
  using PoolingOp<kProjection>::PoolingOp;

  void Compute(OpKernelContext* context) override {
    Arguments arguments;
    OP_REQUIRES_OK(context, this->Read(context, &arguments));
    const Problem& problem = arguments.problem;
    const void *output_gradient, *stash;
    OP_REQUIRES_OK(context,
                   this->ReadForwardPass(context, arguments, &output_gradient,
                                         &stash));
    TensorShape shape({problem.batch, problem.tokens, problem.features});
    if (problem.stacked) shape.InsertDim(2, problem.layers);
    OpOutputList gradients;
    OP_REQUIRES_OK(context, context->output_list("hidden_states_gradient",
                                                 &gradients));
    std::vector<void*> pointers;
    for (int i = 0; i < gradients.size(); ++i) {
      Tensor* gradient;
      OP_REQUIRES_OK(context, gradients.allocate(i, shape, &gradient));
      pointers.push_back(gradient->data());
    }
    cpu::BackwardHiddenStates(problem, output_gradient, stash,
                              pointers.data(), this->OnThreadsOf(context));
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
absl::Status InferForward(InferenceContext* context) {
  Sizes sizes;
  TF_RETURN_IF_ERROR(InferSizes(context, kProjection, &sizes));
  context->set_output(
      0, kProjection
             ? context->MakeShape({sizes.batch, sizes.tokens, sizes.outputs})
             : context->MakeShape(
                   {sizes.batch, sizes.tokens, sizes.layers, sizes.units}));
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
