// A case of linear_pooling.h: its arrays, the results they should give in
// float64, and how far off a result may be. Shared by the tests of the CPU's
// and of the emulated GPU's kernels. Padded tokens hold NaN.

#ifndef BVKERAS_KERNELS_TESTS_TRIAL_H_
#define BVKERAS_KERNELS_TESTS_TRIAL_H_

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "arrays.h"
#include "linear_pooling.h"

namespace bvkeras {
namespace {

// The last two: no token is real.
enum class Valid { kAll, kMask, kLengths, kEmptyMask, kZeroLengths };

struct Case {
  int64_t batch, tokens, layers, features, units, outputs;
  DType dtype;
  bool stacked;
  bool per_position;
  bool approximate;
  Valid valid;
  Stash stash;
  DType pooled_dtype;
  bool bias;
  // Z far beyond what float16 holds.
  bool far = false;
};

// What float16 holds.
constexpr double kLargestFloat16 = 65504;

double GeluSlope(double z, bool approximate) {
  if (approximate) {
    const double factor = std::sqrt(2 / M_PI);
    const double tanh = std::tanh(factor * (z + 0.044715 * z * z * z));
    return 0.5 * (1 + tanh) + 0.5 * z * (1 - tanh * tanh) * factor *
                                  (1 + 3 * 0.044715 * z * z);
  }
  return 0.5 * (1 + std::erf(z / std::sqrt(2.0))) +
         z * std::exp(-z * z / 2) / std::sqrt(2 * M_PI);
}

struct Results {
  std::vector<Array> arrays;  // output, dW, db, dV, dH of each layer
};

// Passes on the products H W; cuda/launchers.h says what they are.
struct PassesOfProducts {
  std::function<void(const Problem& problem, const void* const* products,
                     void* output)>
      forward;
  std::function<void(const Problem& problem, const void* const* products,
                     const void* output_gradient, void* const* gradients,
                     float* bias_gradient, float* projection_gradient)>
      backward;
};

// A case's arrays, its problem, and the results it should give.
class Trial {
 public:
  Trial(const Case& c, unsigned seed, int64_t offset = 1)
      : case_(c), random_(seed), offset_(offset) {
    const int64_t blocks = c.stacked ? 1 : c.layers;
    const int64_t rows = c.batch * c.tokens;
    const int64_t numbers = rows * c.layers * c.features / blocks;
    for (int64_t token = 0; token < rows; ++token) {
      mask_.push_back(random_() % 3 != 0);
    }
    if (c.valid == Valid::kLengths) {
      for (int64_t b = 0; b < c.batch; ++b) {
        lengths_.push_back(random_() % (c.tokens + 1));
        for (int64_t t = 0; t < c.tokens; ++t) {
          mask_[b * c.tokens + t] = t < lengths_.back();
        }
      }
    } else if (c.valid == Valid::kAll) {
      std::fill(mask_.begin(), mask_.end(), 1);
    } else if (c.valid != Valid::kMask) {
      std::fill(mask_.begin(), mask_.end(), 0);
      if (c.valid == Valid::kZeroLengths) lengths_.assign(c.batch, 0);
    }
    for (int64_t block = 0; block < blocks; ++block) {
      hidden_states_.push_back(
          Random(c.dtype, numbers, c.dtype == DType::kInt8 ? 40 : Size(1)));
      scales_.push_back(
          Random(DType::kFloat32, rows * c.layers / blocks, 1.0f / 40));
    }
    kernel_ = std::make_unique<Array>(
        Random(DType::kFloat32, c.features * c.units,
               Size(1 / std::sqrt(float(c.features)))));
    // The reference computes with what the kernels round it to.
    const DType operand = OperandType();
    for (int64_t i = 0; i < kernel_->size(); ++i) {
      Array one(operand, 1, 0);
      one.Set(0, (*kernel_)[i]);
      kernel_->Set(i, one[0]);
    }
    bias_ = std::make_unique<Array>(Random(DType::kFloat32, c.units, 1));
    positions_ = c.per_position ? c.tokens + 2 : 0;
    projection_ = std::make_unique<Array>(
        Random(DType::kFloat32, ProjectionSize(), 1));
    gradient_ = std::make_unique<Array>(
        Random(c.outputs ? DType::kFloat32 : c.pooled_dtype, OutputSize(), 1));
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (int64_t token = 0; token < rows; ++token) {
      if (mask_[token]) continue;
      for (int64_t l = 0; l < c.layers; ++l) {
        const int64_t row = c.stacked ? token * c.layers + l : token;
        const int64_t block = c.stacked ? 0 : l;
        scales_[block].Set(row, nan);
        if (c.dtype == DType::kInt8) continue;
        for (int64_t e = 0; e < c.features; ++e) {
          hidden_states_[block].Set(row * c.features + e, nan);
        }
      }
      const int64_t width = OutputSize() / std::max<int64_t>(1, rows);
      for (int64_t i = 0; i < width; ++i) gradient_->Set(token * width + i, nan);
    }
    Describe();
  }

  Results Run(const ParallelFor& parallel_for) {
    const Case& c = case_;
    Results results;
    auto& arrays = results.arrays;
    arrays.emplace_back(c.outputs ? DType::kFloat32 : c.pooled_dtype,
                        OutputSize(), offset_);
    // Aligned as an allocator's memory is, and not a byte longer.
    const size_t bytes = cpu::StashBytes(problem_);
    std::unique_ptr<char[]> stash(new char[bytes]);
    void* kept = bytes == 0 ? nullptr : stash.get();
    cpu::Forward(problem_, arrays[0].data(), kept, parallel_for);
    arrays.emplace_back(DType::kFloat32, c.features * c.units, offset_);
    arrays.emplace_back(DType::kFloat32, c.units, offset_);
    arrays.emplace_back(DType::kFloat32, c.outputs ? ProjectionSize() : 0,
                        offset_);
    cpu::Backward(problem_, gradient_->data(), kept, arrays[1].floats(),
                  arrays[2].floats(),
                  c.outputs ? arrays[3].floats() : nullptr, parallel_for);
    if (c.dtype == DType::kInt8) return results;
    std::vector<void*> pointers;
    for (const Array& layer : hidden_states_) {
      arrays.emplace_back(c.dtype, layer.size(), offset_);
    }
    for (size_t i = 4; i < arrays.size(); ++i) {
      pointers.push_back(arrays[i].data());
    }
    cpu::BackwardHiddenStates(problem_, gradient_->data(), kept,
                              pointers.data(), parallel_for);
    return results;
  }

  // The same with products made here, and dW and dH from their gradients.
  Results RunOfProducts(const PassesOfProducts& passes) {
    const Case& c = case_;
    std::vector<Array> products, gradients;
    std::vector<const void*> product_pointers;
    std::vector<void*> gradient_pointers;
    for (const Array& layer : hidden_states_) {
      const int64_t rows = layer.size() / c.features;
      products.emplace_back(OperandType(), rows * c.units, offset_);
      gradients.emplace_back(OperandType(), rows * c.units, offset_);
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t a = 0; a < c.units; ++a) {
          double sum = 0;
          for (int64_t e = 0; e < c.features; ++e) {
            sum += layer[row * c.features + e] * (*kernel_)[e * c.units + a];
          }
          products.back().Set(row * c.units + a, sum);
        }
      }
    }
    for (size_t i = 0; i < products.size(); ++i) {
      gradients[i].FillWithNaN();
      product_pointers.push_back(products[i].data());
      gradient_pointers.push_back(gradients[i].data());
    }
    Results results;
    auto& arrays = results.arrays;
    arrays.emplace_back(c.outputs ? DType::kFloat32 : c.pooled_dtype,
                        OutputSize(), offset_);
    // Nothing may be left as it was.
    arrays[0].FillWithNaN();
    passes.forward(problem_, product_pointers.data(), arrays[0].data());
    arrays.emplace_back(DType::kFloat32, c.features * c.units, 0);
    arrays.emplace_back(DType::kFloat32, c.units, offset_);
    arrays.emplace_back(DType::kFloat32, c.outputs ? ProjectionSize() : 0,
                        offset_);
    arrays[2].FillWithNaN();
    arrays[3].FillWithNaN();
    passes.backward(problem_, product_pointers.data(), gradient_->data(),
                    gradient_pointers.data(), arrays[2].floats(),
                    c.outputs ? arrays[3].floats() : nullptr);
    std::vector<double> kernel_gradient(c.features * c.units);
    for (size_t block = 0; block < gradients.size(); ++block) {
      const Array& layer = hidden_states_[block];
      Array by_layer(OperandType(), layer.size(), 0);
      for (int64_t row = 0; row < layer.size() / c.features; ++row) {
        const bool real = mask_[c.stacked ? row / c.layers : row];
        for (int64_t e = 0; e < c.features; ++e) {
          const int64_t h = row * c.features + e;
          double sum = 0;
          for (int64_t a = 0; a < c.units; ++a) {
            const double gradient = gradients[block][row * c.units + a];
            sum += gradient * (*kernel_)[e * c.units + a];
            // A padded token's gradient must be zero, H is not to be seen.
            kernel_gradient[e * c.units + a] +=
                gradient * (real ? layer[h] : 1e9);
          }
          by_layer.Set(h, sum);
        }
      }
      if (c.dtype != DType::kInt8) arrays.push_back(std::move(by_layer));
    }
    for (int64_t i = 0; i < arrays[1].size(); ++i) {
      arrays[1].Set(i, kernel_gradient[i]);
    }
    return results;
  }

  // The same in float64, padded tokens left out. `rounded`: of products made
  // elsewhere.
  std::vector<std::vector<double>> Exact(bool rounded) const {
    const Case& c = case_;
    std::vector<std::vector<double>> exact;
    exact.emplace_back(OutputSize());
    exact.emplace_back(c.features * c.units);
    exact.emplace_back(c.units);
    exact.emplace_back(c.outputs ? ProjectionSize() : 0);
    if (c.dtype != DType::kInt8) {
      for (const Array& layer : hidden_states_) exact.emplace_back(layer.size());
    }
    for (int64_t token = 0; token < c.batch * c.tokens; ++token) {
      if (!mask_[token]) continue;
      for (int64_t l = 0; l < c.layers; ++l) AddRow(token, l, rounded, &exact);
    }
    return exact;
  }

 private:
  DType OperandType() const {
    return case_.dtype == DType::kInt8 ? DType::kBFloat16 : case_.dtype;
  }

  // Deviation of H's and W's numbers.
  float Size(float near) const { return case_.far ? 100 : near; }

  void AddRow(int64_t token, int64_t layer, bool rounded,
              std::vector<std::vector<double>>* exact) const {
    const Case& c = case_;
    const int64_t block = c.stacked ? 0 : layer;
    const int64_t row = c.stacked ? token * c.layers + layer : token;
    const double scale =
        c.dtype == DType::kInt8 ? scales_[block][row] : 1.0;
    const int64_t position = c.per_position ? token % c.tokens : 0;
    for (int64_t a = 0; a < c.units; ++a) {
      double z = c.bias ? (*bias_)[a] : 0;
      for (int64_t e = 0; e < c.features; ++e) {
        z += scale * hidden_states_[block][row * c.features + e] *
             (*kernel_)[e * c.units + a];
      }
      // Where float16 holds Z it is cut to what that holds.
      const double cut = std::clamp(z, -kLargestFloat16, kLargestFloat16);
      const bool cut_product = rounded && c.dtype == DType::kFloat16;
      const double y = Gelu(cut_product ? cut : z, c.approximate);
      const double kept =
          c.stash == Stash::kFloat16 ? Gelu(cut, c.approximate) : y;
      double y_gradient = 0;
      if (c.outputs == 0) {
        const int64_t index = (token * c.layers + layer) * c.units + a;
        (*exact)[0][index] = y;
        y_gradient = (*gradient_)[index];
      }
      for (int64_t o = 0; o < c.outputs; ++o) {
        const int64_t v =
            ((position * c.layers + layer) * c.units + a) * c.outputs + o;
        const double gradient = (*gradient_)[token * c.outputs + o];
        (*exact)[0][token * c.outputs + o] += y * (*projection_)[v];
        (*exact)[3][v] += kept * gradient;
        y_gradient += gradient * (*projection_)[v];
      }
      const double z_gradient = y_gradient * GeluSlope(z, c.approximate);
      (*exact)[2][a] += z_gradient;
      for (int64_t e = 0; e < c.features; ++e) {
        const int64_t h = row * c.features + e;
        (*exact)[1][e * c.units + a] +=
            scale * hidden_states_[block][h] * z_gradient;
        if (c.dtype != DType::kInt8) {
          (*exact)[4 + block][h] +=
              z_gradient * (*kernel_)[e * c.units + a];
        }
      }
    }
  }

  Array Random(DType dtype, int64_t size, float deviation) {
    std::normal_distribution<float> normal(0, deviation);
    Array array(dtype, size, offset_);
    for (int64_t i = 0; i < size; ++i) {
      array.Set(i, std::clamp(normal(random_), -127.0f, 127.0f));
    }
    return array;
  }

  int64_t OutputSize() const {
    const Case& c = case_;
    return c.batch * c.tokens *
           (c.outputs ? c.outputs : c.layers * c.units);
  }

  int64_t ProjectionSize() const {
    return std::max<int64_t>(1, positions_) * case_.layers * case_.units *
           case_.outputs;
  }

  void Describe() {
    const Case& c = case_;
    for (const Array& layer : hidden_states_) {
      hidden_state_pointers_.push_back(layer.data());
    }
    for (Array& scale : scales_) scale_pointers_.push_back(scale.floats());
    problem_.batch = c.batch;
    problem_.tokens = c.tokens;
    problem_.layers = c.layers;
    problem_.features = c.features;
    problem_.units = c.units;
    problem_.outputs = c.outputs;
    problem_.dtype = c.dtype;
    problem_.stacked = c.stacked;
    problem_.hidden_states = hidden_state_pointers_.data();
    if (c.dtype == DType::kInt8) problem_.scales = scale_pointers_.data();
    if (!mask_.empty() &&
        (c.valid == Valid::kMask || c.valid == Valid::kEmptyMask)) {
      bools_.reset(new bool[mask_.size()]);
      std::copy(mask_.begin(), mask_.end(), bools_.get());
      problem_.mask = bools_.get();
    }
    if (!lengths_.empty()) problem_.lengths = lengths_.data();
    problem_.kernel = kernel_->floats();
    problem_.bias = c.bias ? bias_->floats() : nullptr;
    problem_.approximate = c.approximate;
    if (c.outputs) {
      problem_.projection = projection_->floats();
      problem_.positions = positions_;
    }
    problem_.pooled_dtype = c.pooled_dtype;
    problem_.stash = c.stash;
  }

  Case case_;
  std::mt19937 random_;
  int64_t offset_;
  std::vector<char> mask_;
  std::unique_ptr<bool[]> bools_;
  std::vector<int64_t> lengths_;
  std::vector<Array> hidden_states_, scales_;
  std::unique_ptr<Array> kernel_, bias_, projection_, gradient_;
  int64_t positions_ = 0;
  std::vector<const void*> hidden_state_pointers_;
  std::vector<const float*> scale_pointers_;
  Problem problem_;
};

// Error allowed, as a part of the largest value or of 1: what the sums are
// made of. `rounded`: Z is rounded to the type of the products.
double Tolerance(const Case& c, size_t result, bool rounded) {
  double tolerance = 8e-6;
  const auto at_least = [&](double other) {
    tolerance = std::max(tolerance, other);
  };
  if (rounded && c.dtype == DType::kFloat16) at_least(3.0 / 2048);
  if (rounded && c.dtype != DType::kFloat16 && c.dtype != DType::kFloat32) {
    at_least(3.0 / 256);
  }
  if (result == 0 && c.outputs == 0) {
    if (c.pooled_dtype == DType::kBFloat16) at_least(1.0 / 256);
    if (c.pooled_dtype == DType::kFloat16) at_least(1.0 / 2048);
  }
  if (result > 0) {
    if (c.stash == Stash::kBFloat16) at_least(3.0 / 256);
    if (c.stash == Stash::kFloat16) at_least(3.0 / 2048);
    // dZ is rounded to the type of the products.
    if (c.dtype == DType::kBFloat16 || c.dtype == DType::kInt8) {
      at_least(3.0 / 256);
    }
    if (c.dtype == DType::kFloat16) at_least(3.0 / 2048);
  }
  return tolerance;
}

void Fail(const std::string& what, const char* variant, const Case& c) {
  ++failures;
  std::printf(
      "%s: %s: batch %ld tokens %ld layers %ld features %ld units %ld outputs"
      " %ld dtype %d stacked %d per_position %d approximate %d valid %d stash"
      " %d pooled %d bias %d far %d\n",
      variant, what.c_str(), long(c.batch), long(c.tokens), long(c.layers),
      long(c.features), long(c.units), long(c.outputs), int(c.dtype),
      c.stacked, c.per_position, c.approximate, int(c.valid), int(c.stash),
      int(c.pooled_dtype), c.bias, c.far);
}

// Compares results with what they should be.
void Compare(const char* variant, const Case& c, const Trial& trial,
             const Results& results, bool rounded = false) {
  static const char* const names[] = {"output", "dW", "db", "dV"};
  const auto exact = trial.Exact(rounded);
  for (size_t i = 0; i < exact.size(); ++i) {
    double largest = 1, error = 0;
    for (size_t j = 0; j < exact[i].size(); ++j) {
      const double difference = std::fabs(results.arrays[i][j] - exact[i][j]);
      largest = std::max(largest, std::fabs(exact[i][j]));
      // A NaN stays one.
      if (!(difference <= error) && !std::isnan(error)) error = difference;
    }
    if (!(error <= Tolerance(c, i, rounded) * largest)) {
      Fail(std::string(i < 4 ? names[i] : "dH") + " is off by " +
               std::to_string(error / largest),
           variant, c);
    }
  }
}

}  // namespace
}  // namespace bvkeras

#endif  // BVKERAS_KERNELS_TESTS_TRIAL_H_
