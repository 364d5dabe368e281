// The operations of tf_op.cc on a GPU: they put the launches of
// cuda/launchers.h on TensorFlow's own stream. Built where nvcc is there.
//
// No symbol of CUDA's is used here: those that launchers need are linked into
// the library, since TensorFlow exports stubs of the same names.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cuda/launchers.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tf_arguments.h"
#include "xla/stream_executor/stream.h"

// For Python, which asks before it chooses: the versions of launchers.h.
extern "C" __attribute__((visibility("default"))) int
bvkeras_cuda_driver_version() {
  return bvkeras::cuda::DriverVersion();
}
extern "C" __attribute__((visibility("default"))) int
bvkeras_cuda_build_version() {
  return bvkeras::cuda::BuildVersion();
}

namespace bvkeras {
namespace {

absl::Status StatusOf(const char* error) {
  if (error == nullptr) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("linear pooling on a GPU: ", error));
}

// A driver runs what was built with any CUDA of its own major version.
absl::Status CheckDriver() {
  const int driver = cuda::DriverVersion(), build = cuda::BuildVersion();
  if (driver / 1000 >= build / 1000) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the native library was built with CUDA ", build / 1000, ".",
      build % 1000 / 10, ", but the GPU's driver runs up to CUDA ",
      driver / 1000, ".", driver % 1000 / 10,
      "; update it, or use implementation='reference'"));
}

// The arguments, a workspace, and the stream.
template <bool kProjection>
class CudaOp : public PoolingOp<kProjection> {
 public:
  explicit CudaOp(OpKernelConstruction* context)
      : PoolingOp<kProjection>(context) {
    OP_REQUIRES_OK(context, CheckDriver());
  }

 protected:
  absl::Status ReadOnDevice(OpKernelContext* context,
                            Arguments* arguments) const {
    TF_RETURN_IF_ERROR(this->Read(context, arguments));
    const std::string wrong = cuda::CheckLimits(arguments->problem);
    if (!wrong.empty()) return absl::InvalidArgumentError(wrong);
    return absl::OkStatus();
  }

  static absl::Status AllocateWorkspace(OpKernelContext* context,
                                        const Problem& problem,
                                        cuda::Pass pass, Tensor* workspace) {
    const auto bytes =
        static_cast<int64_t>(cuda::WorkspaceBytes(problem, pass));
    return context->allocate_temp(tensorflow::DT_UINT8, TensorShape({bytes}),
                                  workspace);
  }

  static void* StreamOf(OpKernelContext* context) {
    return context->op_device_context()
        ->stream()
        ->platform_specific_handle()
        .stream;
  }
};

template <bool kProjection>
class CudaForwardOp : public CudaOp<kProjection> {
 public:
  using CudaOp<kProjection>::CudaOp;

  void Compute(OpKernelContext* context) override {
    Arguments arguments;
    OP_REQUIRES_OK(context, this->ReadOnDevice(context, &arguments));
    const Problem& problem = arguments.problem;
    void *output, *stash;
    OP_REQUIRES_OK(
        context, AllocateOutputs(context, arguments, cuda::StashBytes(problem),
                                 &output, &stash));
    Tensor workspace;
    OP_REQUIRES_OK(context,
                   this->AllocateWorkspace(context, problem,
                                           cuda::Pass::kForward, &workspace));
    OP_REQUIRES_OK(context, StatusOf(cuda::Forward(
                                problem, output, stash, workspace.data(),
                                this->StreamOf(context))));
  }
};

template <bool kProjection>
class CudaWeightsGradientOp : public CudaOp<kProjection> {
 public:
  using CudaOp<kProjection>::CudaOp;

  void Compute(OpKernelContext* context) override {
    Arguments arguments;
    OP_REQUIRES_OK(context, this->ReadOnDevice(context, &arguments));
    const Problem& problem = arguments.problem;
    const void *output_gradient, *stash;
    OP_REQUIRES_OK(context, this->ReadForwardPass(
                                context, arguments, cuda::StashBytes(problem),
                                &output_gradient, &stash));
    WeightsGradients gradients;
    OP_REQUIRES_OK(context, AllocateGradients(context, problem, &gradients));
    Tensor workspace;
    OP_REQUIRES_OK(context,
                   this->AllocateWorkspace(context, problem,
                                           cuda::Pass::kBackward, &workspace));
    OP_REQUIRES_OK(context,
                   StatusOf(cuda::Backward(
                       problem, output_gradient, stash, gradients.kernel,
                       gradients.bias, gradients.projection, workspace.data(),
                       this->StreamOf(context))));
  }
};

template <bool kProjection>
class CudaHiddenStatesGradientOp : public CudaOp<kProjection> {
 public:
  using CudaOp<kProjection>::CudaOp;

  void Compute(OpKernelContext* context) override {
    Arguments arguments;
    OP_REQUIRES_OK(context, this->ReadOnDevice(context, &arguments));
    const Problem& problem = arguments.problem;
    const void *output_gradient, *stash;
    OP_REQUIRES_OK(context, this->ReadForwardPass(
                                context, arguments, cuda::StashBytes(problem),
                                &output_gradient, &stash));
    std::vector<void*> pointers;
    OP_REQUIRES_OK(context, AllocateHiddenStatesGradients(context, problem,
                                                          &pointers));
    Tensor workspace;
    OP_REQUIRES_OK(context, this->AllocateWorkspace(
                                context, problem,
                                cuda::Pass::kBackwardHiddenStates,
                                &workspace));
    OP_REQUIRES_OK(context, StatusOf(cuda::BackwardHiddenStates(
                                problem, output_gradient, stash,
                                pointers.data(), workspace.data(),
                                this->StreamOf(context))));
  }
};

template <bool kProjection>
class CudaForwardOfProductsOp : public CudaOp<kProjection> {
 public:
  using CudaOp<kProjection>::CudaOp;

  void Compute(OpKernelContext* context) override {
    Arguments arguments;
    OP_REQUIRES_OK(context, this->ReadOnDevice(context, &arguments));
    const Problem& problem = arguments.problem;
    std::vector<const void*> products;
    OP_REQUIRES_OK(context, this->ReadProducts(context, problem, &products));
    Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, arguments.OutputShape(), &output));
    Tensor workspace;
    OP_REQUIRES_OK(context, this->AllocateWorkspace(
                                context, problem,
                                cuda::Pass::kForwardOfProducts, &workspace));
    OP_REQUIRES_OK(context, StatusOf(cuda::ForwardOfProducts(
                                problem, products.data(), output->data(),
                                workspace.data(), this->StreamOf(context))));
  }
};

template <bool kProjection>
class CudaBackwardOfProductsOp : public CudaOp<kProjection> {
 public:
  using CudaOp<kProjection>::CudaOp;

  void Compute(OpKernelContext* context) override {
    Arguments arguments;
    OP_REQUIRES_OK(context, this->ReadOnDevice(context, &arguments));
    const Problem& problem = arguments.problem;
    std::vector<const void*> products;
    OP_REQUIRES_OK(context, this->ReadProducts(context, problem, &products));
    const void* output_gradient;
    OP_REQUIRES_OK(context, this->ReadOutputGradient(context, arguments,
                                                     &output_gradient));
    ProductsGradients gradients;
    OP_REQUIRES_OK(context,
                   AllocateProductsGradients(context, problem, &gradients));
    Tensor workspace;
    OP_REQUIRES_OK(context, this->AllocateWorkspace(
                                context, problem,
                                cuda::Pass::kBackwardOfProducts, &workspace));
    OP_REQUIRES_OK(context, StatusOf(cuda::BackwardOfProducts(
                                problem, products.data(), output_gradient,
                                gradients.products.data(), gradients.bias,
                                gradients.projection, workspace.data(),
                                this->StreamOf(context))));
  }
};

REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPooling").Device(tensorflow::DEVICE_GPU),
    CudaForwardOp<false>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingGrad").Device(tensorflow::DEVICE_GPU),
    CudaWeightsGradientOp<false>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingHiddenStatesGrad")
        .Device(tensorflow::DEVICE_GPU),
    CudaHiddenStatesGradientOp<false>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingProjection").Device(tensorflow::DEVICE_GPU),
    CudaForwardOp<true>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingProjectionGrad")
        .Device(tensorflow::DEVICE_GPU),
    CudaWeightsGradientOp<true>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingProjectionHiddenStatesGrad")
        .Device(tensorflow::DEVICE_GPU),
    CudaHiddenStatesGradientOp<true>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingOfProducts").Device(tensorflow::DEVICE_GPU),
    CudaForwardOfProductsOp<false>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingOfProductsGrad").Device(tensorflow::DEVICE_GPU),
    CudaBackwardOfProductsOp<false>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingProjectionOfProducts")
        .Device(tensorflow::DEVICE_GPU),
    CudaForwardOfProductsOp<true>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingProjectionOfProductsGrad")
        .Device(tensorflow::DEVICE_GPU),
    CudaBackwardOfProductsOp<true>);

}  // namespace
}  // namespace bvkeras
