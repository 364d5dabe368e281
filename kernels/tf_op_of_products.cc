// What follows the products H W, as TensorFlow operations on the CPU: plain
// loops, in float64. They are for GPUs (cuda/epilogue.cuh), and for many units
// only; here they run where TensorFlow puts them on the CPU all the same, and
// in tests. tf_op.cc registers their names.

#include <cmath>
#include <vector>

#include "tensorflow/core/framework/op_kernel.h"
#include "tf_arguments.h"

namespace bvkeras {
namespace {

double Load(const void* array, DType type, int64_t index) {
  switch (type) {
    case DType::kBFloat16:
      return static_cast<const Eigen::bfloat16*>(array)[index];
    case DType::kFloat16:
      return static_cast<const Eigen::half*>(array)[index];
    default:
      return static_cast<const float*>(array)[index];
  }
}

void Store(void* array, DType type, int64_t index, double number) {
  const auto value = static_cast<float>(number);
  switch (type) {
    case DType::kBFloat16:
      static_cast<Eigen::bfloat16*>(array)[index] = Eigen::bfloat16(value);
      break;
    case DType::kFloat16:
      static_cast<Eigen::half*>(array)[index] = Eigen::half(value);
      break;
    default:
      static_cast<float*>(array)[index] = value;
  }
}

// GELU and its derivative.
struct GeluValue {
  GeluValue(double z, bool approximate) {
    if (approximate) {
      const double factor = std::sqrt(2 / M_PI);
      const double tanh = std::tanh(factor * (z + 0.044715 * z * z * z));
      const double inner = factor * (1 + 3 * 0.044715 * z * z);
      value = 0.5 * z * (1 + tanh);
      slope = 0.5 * (1 + tanh) + 0.5 * z * (1 - tanh * tanh) * inner;
    } else {
      const double phi = 0.5 * std::erfc(-z * M_SQRT1_2);
      value = z * phi;
      slope = phi + z * std::exp(-z * z / 2) / std::sqrt(2 * M_PI);
    }
  }
  double value, slope;
};

// Walks the products of a problem, token by token.
class Walk {
 public:
  Walk(const Problem& problem, const std::vector<const void*>& products)
      : problem_(problem), products_(products) {}

  bool IsReal(int64_t token) const {
    if (problem_.mask != nullptr) return problem_.mask[token];
    return problem_.lengths == nullptr ||
           token % problem_.tokens < problem_.lengths[token / problem_.tokens];
  }
  int64_t tokens() const { return problem_.batch * problem_.tokens; }
  DType type() const {
    return problem_.dtype == DType::kInt8 ? DType::kBFloat16 : problem_.dtype;
  }
  int64_t BlockOf(int64_t layer) const { return problem_.stacked ? 0 : layer; }
  int64_t RowOf(int64_t token, int64_t layer) const {
    return problem_.stacked ? token * problem_.layers + layer : token;
  }
  double ScaleOf(int64_t token, int64_t layer) const {
    if (problem_.scales == nullptr) return 1;
    return problem_.scales[BlockOf(layer)][RowOf(token, layer)];
  }
  GeluValue GeluOf(int64_t token, int64_t layer, int64_t unit) const {
    const double product = CutToFinite(
        Load(products_[BlockOf(layer)], type(),
             RowOf(token, layer) * problem_.units + unit));
    const double bias = problem_.bias == nullptr ? 0 : problem_.bias[unit];
    return GeluValue(product * ScaleOf(token, layer) + bias,
                     problem_.approximate);
  }
  int64_t PooledIndex(int64_t token, int64_t layer, int64_t unit) const {
    return (token * problem_.layers + layer) * problem_.units + unit;
  }
  // Of the first output.
  int64_t ProjectionIndex(int64_t token, int64_t layer, int64_t unit) const {
    const int64_t position =
        problem_.positions > 0 ? token % problem_.tokens : 0;
    return PooledIndex(position, layer, unit) * problem_.outputs;
  }

 private:
  // A product too large for its type is infinite, and its gradient would be
  // NaN; see cuda/types.cuh.
  double CutToFinite(double z) const {
    if (type() == DType::kFloat32) return z;
    const double most = type() == DType::kFloat16 ? 65504 : 0x1.fep127;
    return z > most ? most : z < -most ? -most : z;
  }

  const Problem& problem_;
  const std::vector<const void*>& products_;
};

template <bool kProjection>
class ForwardOfProductsOp : public PoolingOp<kProjection> {
 public:
  using PoolingOp<kProjection>::PoolingOp;

  void Compute(OpKernelContext* context) override {
    Arguments arguments;
    OP_REQUIRES_OK(context, this->Read(context, &arguments));
    const Problem& problem = arguments.problem;
    OP_REQUIRES_OK(context, this->CheckLengths(problem));
    std::vector<const void*> products;
    OP_REQUIRES_OK(context, this->ReadProducts(context, problem, &products));
    Tensor* output;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, arguments.OutputShape(), &output));
    const Walk walk(problem, products);
    std::vector<double> sums(problem.outputs);
    for (int64_t token = 0; token < walk.tokens(); ++token) {
      const bool real = walk.IsReal(token);
      std::fill(sums.begin(), sums.end(), 0.0);
      for (int64_t l = 0; l < problem.layers; ++l) {
        for (int64_t a = 0; a < problem.units; ++a) {
          const double y = real ? walk.GeluOf(token, l, a).value : 0;
          if constexpr (!kProjection) {
            Store(output->data(), problem.pooled_dtype,
                  walk.PooledIndex(token, l, a), y);
          } else if (real) {
            const float* v =
                problem.projection + walk.ProjectionIndex(token, l, a);
            for (size_t c = 0; c < sums.size(); ++c) sums[c] += y * v[c];
          }
        }
      }
      for (size_t c = 0; c < sums.size(); ++c) {
        Floats(output)[token * sums.size() + c] = sums[c];
      }
    }
  }
};

template <bool kProjection>
class BackwardOfProductsOp : public PoolingOp<kProjection> {
 public:
  using PoolingOp<kProjection>::PoolingOp;

  void Compute(OpKernelContext* context) override {
    Arguments arguments;
    OP_REQUIRES_OK(context, this->Read(context, &arguments));
    const Problem& problem = arguments.problem;
    OP_REQUIRES_OK(context, this->CheckLengths(problem));
    std::vector<const void*> products;
    OP_REQUIRES_OK(context, this->ReadProducts(context, problem, &products));
    const void* output_gradient;
    OP_REQUIRES_OK(context, this->ReadOutputGradient(context, arguments,
                                                     &output_gradient));
    ProductsGradients gradients;
    OP_REQUIRES_OK(context,
                   AllocateProductsGradients(context, problem, &gradients));
    const Walk walk(problem, products);
    std::vector<double> by_bias(problem.units);
    std::vector<double> by_projection(
        std::max<int64_t>(1, problem.positions) * problem.layers *
        problem.units * problem.outputs);
    for (int64_t token = 0; token < walk.tokens(); ++token) {
      const bool real = walk.IsReal(token);
      for (int64_t l = 0; l < problem.layers; ++l) {
        for (int64_t a = 0; a < problem.units; ++a) {
          double gradient = 0;
          if (real) {
            const GeluValue gelu = walk.GeluOf(token, l, a);
            if constexpr (kProjection) {
              const int64_t start = walk.ProjectionIndex(token, l, a);
              const float* g = static_cast<const float*>(output_gradient) +
                               token * problem.outputs;
              for (int64_t c = 0; c < problem.outputs; ++c) {
                gradient += problem.projection[start + c] * double{g[c]};
                by_projection[start + c] += gelu.value * g[c];
              }
            } else {
              gradient = Load(output_gradient, problem.pooled_dtype,
                              walk.PooledIndex(token, l, a));
            }
            gradient *= gelu.slope;
            by_bias[a] += gradient;
            gradient *= walk.ScaleOf(token, l);
          }
          Store(gradients.products[walk.BlockOf(l)], walk.type(),
                walk.RowOf(token, l) * problem.units + a, gradient);
        }
      }
    }
    std::copy(by_bias.begin(), by_bias.end(), gradients.bias);
    std::copy(by_projection.begin(), by_projection.end(),
              gradients.projection);
  }
};

REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingOfProducts").Device(tensorflow::DEVICE_CPU),
    ForwardOfProductsOp<false>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingOfProductsGrad").Device(tensorflow::DEVICE_CPU),
    BackwardOfProductsOp<false>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingProjectionOfProducts")
        .Device(tensorflow::DEVICE_CPU),
    ForwardOfProductsOp<true>);
REGISTER_KERNEL_BUILDER(
    Name("BvkerasLinearPoolingProjectionOfProductsGrad")
        .Device(tensorflow::DEVICE_CPU),
    BackwardOfProductsOp<true>);

}  // namespace
}  // namespace bvkeras
