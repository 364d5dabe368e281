// What the operations' kernels share, on a CPU and on a GPU: attributes, and
// arguments that are checked and made a Problem of. tf_op.cc says what the
// arguments are.

#ifndef BVKERAS_KERNELS_TF_ARGUMENTS_H_
#define BVKERAS_KERNELS_TF_ARGUMENTS_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "linear_pooling.h"
#include "tensorflow/core/framework/op_kernel.h"

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

// Of one product H W.
inline TensorShape ProductShape(const Problem& problem) {
  TensorShape shape({problem.batch, problem.tokens, problem.units});
  if (problem.stacked) shape.InsertDim(2, problem.layers);
  return shape;
}

// What all passes share: attributes, the checks of arguments, and the
// results' places.
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
    return absl::OkStatus();
  }

  static absl::Status ReadOutputGradient(OpKernelContext* context,
                                         const Arguments& arguments,
                                         const void** gradient) {
    const Tensor* tensor;
    TF_RETURN_IF_ERROR(context->input("output_gradient", &tensor));
    *gradient = Data(*tensor);
    return RequireShape("output_gradient", *tensor, arguments.OutputShape());
  }

  // The gradient of the forward pass's output, and its stash.
  absl::Status ReadForwardPass(OpKernelContext* context,
                               const Arguments& arguments,
                               size_t stash_bytes, const void** gradient,
                               const void** stash) const {
    TF_RETURN_IF_ERROR(ReadOutputGradient(context, arguments, gradient));
    const Tensor* tensor;
    TF_RETURN_IF_ERROR(context->input("stash", &tensor));
    TF_RETURN_IF_ERROR(
        RequireShape("stash", *tensor,
                     TensorShape({static_cast<int64_t>(stash_bytes)})));
    *stash = stash_ == Stash::kNone ? nullptr : Data(*tensor);
    return absl::OkStatus();
  }

  // The products H W, of the type that H is multiplied in.
  static absl::Status ReadProducts(OpKernelContext* context,
                                   const Problem& problem,
                                   std::vector<const void*>* products) {
    OpInputList tensors;
    TF_RETURN_IF_ERROR(context->input_list("products", &tensors));
    const DType expected = problem.dtype == DType::kInt8 ? DType::kBFloat16
                                                         : problem.dtype;
    for (const Tensor& tensor : tensors) {
      if (FromTensorFlow(tensor.dtype()) != expected) {
        return absl::InvalidArgumentError(absl::StrCat(
            "products: received ", tensorflow::DataTypeString(tensor.dtype()),
            ", expected the type that hidden_states are multiplied in"));
      }
      TF_RETURN_IF_ERROR(
          RequireShape("products", tensor, ProductShape(problem)));
      products->push_back(Data(tensor));
    }
    return absl::OkStatus();
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
    return absl::OkStatus();
  }

 protected:
  // What lengths hold, where the host can read it.
  static absl::Status CheckLengths(const Problem& problem) {
    if (problem.lengths == nullptr) return absl::OkStatus();
    for (int64_t row = 0; row < problem.batch; ++row) {
      const int64_t length = problem.lengths[row];
      if (length < 0 || length > problem.tokens) {
        return absl::InvalidArgumentError(
            absl::StrCat("lengths: received ", length, " in row ", row,
                         ", expected 0 to ", problem.tokens,
                         ", the tokens of hidden_states"));
      }
    }
    return absl::OkStatus();
  }

 private:
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

// The results of the passes, allocated where the operation runs.
struct WeightsGradients {
  float* kernel;
  float* bias;
  float* projection = nullptr;
};

struct ProductsGradients {
  std::vector<void*> products;  // one, or one for each layer
  float* bias;
  float* projection = nullptr;
};

inline absl::Status AllocateOutputs(OpKernelContext* context,
                                    const Arguments& arguments,
                                    size_t stash_bytes, void** output,
                                    void** stash) {
  Tensor* tensor;
  TF_RETURN_IF_ERROR(
      context->allocate_output(0, arguments.OutputShape(), &tensor));
  *output = tensor->data();
  TF_RETURN_IF_ERROR(context->allocate_output(
      1, TensorShape({static_cast<int64_t>(stash_bytes)}), &tensor));
  *stash = arguments.problem.stash == Stash::kNone ? nullptr : tensor->data();
  return absl::OkStatus();
}

// db at an index of the outputs, and dV after it where there is a V.
inline absl::Status AllocateBiasAndProjection(OpKernelContext* context,
                                              const Problem& problem,
                                              int index, float** bias,
                                              float** projection) {
  Tensor* tensor;
  TF_RETURN_IF_ERROR(context->allocate_output(
      index, TensorShape({problem.units}), &tensor));
  *bias = Floats(tensor);
  if (problem.outputs == 0) return absl::OkStatus();
  TensorShape shape({problem.layers, problem.units, problem.outputs});
  if (problem.positions > 0) shape.InsertDim(0, problem.positions);
  TF_RETURN_IF_ERROR(context->allocate_output(index + 1, shape, &tensor));
  *projection = Floats(tensor);
  return absl::OkStatus();
}

inline absl::Status AllocateGradients(OpKernelContext* context,
                                      const Problem& problem,
                                      WeightsGradients* gradients) {
  Tensor* tensor;
  TF_RETURN_IF_ERROR(context->allocate_output(
      0, TensorShape({problem.features, problem.units}), &tensor));
  gradients->kernel = Floats(tensor);
  return AllocateBiasAndProjection(context, problem, 1, &gradients->bias,
                                   &gradients->projection);
}

inline absl::Status AllocateProductsGradients(OpKernelContext* context,
                                              const Problem& problem,
                                              ProductsGradients* gradients) {
  OpOutputList tensors;
  TF_RETURN_IF_ERROR(context->output_list("product_gradients", &tensors));
  for (int i = 0; i < tensors.size(); ++i) {
    Tensor* tensor;
    TF_RETURN_IF_ERROR(tensors.allocate(i, ProductShape(problem), &tensor));
    gradients->products.push_back(tensor->data());
  }
  return AllocateBiasAndProjection(context, problem, tensors.size(),
                                   &gradients->bias, &gradients->projection);
}

// One pointer, or one for each layer.
inline absl::Status AllocateHiddenStatesGradients(
    OpKernelContext* context, const Problem& problem,
    std::vector<void*>* pointers) {
  TensorShape shape({problem.batch, problem.tokens, problem.features});
  if (problem.stacked) shape.InsertDim(2, problem.layers);
  OpOutputList gradients;
  TF_RETURN_IF_ERROR(
      context->output_list("hidden_states_gradient", &gradients));
  for (int i = 0; i < gradients.size(); ++i) {
    Tensor* gradient;
    TF_RETURN_IF_ERROR(gradients.allocate(i, shape, &gradient));
    pointers->push_back(gradient->data());
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_TF_ARGUMENTS_H_
