// The CPU kernels against a float64 reference, every variant that was
// compiled in and that this processor has. Built under AddressSanitizer and
// UBSan by tests/ops/test_kernels_sanitized.py:
//
//     cmake -S . -B build/kernel_tests -D BVKERAS_KERNEL_TESTS=ON
//     cmake --build build/kernel_tests
//     build/kernel_tests/linear_pooling_test
//
// Arrays are heap blocks of their exact size, so that a byte read or written
// beyond them is seen, and begin one number after an aligned address. Padded
// tokens hold NaN. Each pass runs with its tasks in order, in reverse and on
// threads, and must give the same bits.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "linear_pooling.h"

namespace bvkeras {
namespace {

enum class Valid { kAll, kMask, kLengths };

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
};

// Narrow types, by way of the bits.
float FromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

uint32_t ToBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

float FromBFloat16(uint16_t bits) { return FromBits(uint32_t{bits} << 16); }

uint16_t ToBFloat16(float value) {
  const uint32_t bits = ToBits(value);
  if (std::isnan(value)) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float FromFloat16(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  const float sign = bits >> 15 ? -1.0f : 1.0f;
  if (exponent == 31) {
    return fraction ? std::numeric_limits<float>::quiet_NaN()
                    : sign * std::numeric_limits<float>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(float(fraction), -24);
  return sign * std::ldexp(float(1024 + fraction), exponent - 25);
}

uint16_t ToFloat16(float value) {
  if (std::isnan(value)) return 0x7e00;
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const float size = std::fabs(value);
  int exponent;
  std::frexp(size, &exponent);
  // The spacing of numbers near it; nearbyint rounds half to even.
  const int spacing = std::max(exponent - 11, -24);
  const float units = std::nearbyint(std::ldexp(size, -spacing));
  if (units == 0) return sign;
  const float rounded = std::ldexp(units, spacing);
  if (rounded > 65504.0f) return sign | 0x7c00;
  std::frexp(rounded, &exponent);
  if (exponent < -13) return sign | uint16_t(std::ldexp(rounded, 24));
  const auto fraction = uint16_t(std::ldexp(rounded, 11 - exponent)) - 1024;
  return sign | uint16_t((exponent + 14) << 10) | uint16_t(fraction);
}

// An array of exactly its size that begins one number after a boundary.
class Array {
 public:
  Array(DType dtype, int64_t size)
      : dtype_(dtype),
        size_(size),
        memory_(new char[(size + 1) * SizeOf(dtype)]) {}

  void* data() { return memory_.get() + SizeOf(dtype_); }
  const void* data() const { return memory_.get() + SizeOf(dtype_); }
  float* floats() { return static_cast<float*>(data()); }
  int64_t size() const { return size_; }

  double operator[](int64_t index) const {
    const char* at = static_cast<const char*>(data()) + index * SizeOf(dtype_);
    if (dtype_ == DType::kInt8) return static_cast<int8_t>(*at);
    if (dtype_ == DType::kFloat32) {
      float value;
      std::memcpy(&value, at, sizeof value);
      return value;
    }
    uint16_t bits;
    std::memcpy(&bits, at, sizeof bits);
    return dtype_ == DType::kBFloat16 ? FromBFloat16(bits) : FromFloat16(bits);
  }

  void Set(int64_t index, float value) {
    char* at = static_cast<char*>(data()) + index * SizeOf(dtype_);
    if (dtype_ == DType::kInt8) {
      *at = static_cast<char>(static_cast<int8_t>(std::nearbyint(value)));
    } else if (dtype_ == DType::kFloat32) {
      std::memcpy(at, &value, sizeof value);
    } else {
      const uint16_t bits = dtype_ == DType::kBFloat16 ? ToBFloat16(value)
                                                       : ToFloat16(value);
      std::memcpy(at, &bits, sizeof bits);
    }
  }

  bool SameBits(const Array& other) const {
    return std::memcmp(data(), other.data(), size_ * SizeOf(dtype_)) == 0;
  }

 private:
  DType dtype_;
  int64_t size_;
  std::unique_ptr<char[]> memory_;
};

double Gelu(double z, bool approximate) {
  if (approximate) {
    const double inner = std::sqrt(2 / M_PI) * (z + 0.044715 * z * z * z);
    return 0.5 * z * (1 + std::tanh(inner));
  }
  return 0.5 * z * (1 + std::erf(z / std::sqrt(2.0)));
}

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

// A case's arrays, its problem, and the results it should give.
class Trial {
 public:
  Trial(const Case& c, unsigned seed) : case_(c), random_(seed) {
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
    }
    for (int64_t block = 0; block < blocks; ++block) {
      hidden_states_.push_back(
          Random(c.dtype, numbers, c.dtype == DType::kInt8 ? 40 : 1));
      scales_.push_back(
          Random(DType::kFloat32, rows * c.layers / blocks, 1.0f / 40));
    }
    kernel_ = std::make_unique<Array>(
        Random(DType::kFloat32, c.features * c.units,
               1 / std::sqrt(float(c.features))));
    // The reference computes with what the kernels round it to.
    const DType operand =
        c.dtype == DType::kInt8 ? DType::kBFloat16 : c.dtype;
    for (int64_t i = 0; i < kernel_->size(); ++i) {
      Array one(operand, 1);
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
                        OutputSize());
    // Aligned as an allocator's memory is, and not a byte longer.
    const size_t bytes = cpu::StashBytes(problem_);
    std::unique_ptr<char[]> stash(new char[bytes]);
    void* kept = c.stash == Stash::kNone ? nullptr : stash.get();
    cpu::Forward(problem_, arrays[0].data(), kept, parallel_for);
    arrays.emplace_back(DType::kFloat32, c.features * c.units);
    arrays.emplace_back(DType::kFloat32, c.units);
    arrays.emplace_back(DType::kFloat32, c.outputs ? ProjectionSize() : 0);
    cpu::Backward(problem_, gradient_->data(), kept, arrays[1].floats(),
                  arrays[2].floats(),
                  c.outputs ? arrays[3].floats() : nullptr, parallel_for);
    if (c.dtype == DType::kInt8) return results;
    std::vector<void*> pointers;
    for (const Array& layer : hidden_states_) {
      arrays.emplace_back(c.dtype, layer.size());
    }
    for (size_t i = 4; i < arrays.size(); ++i) {
      pointers.push_back(arrays[i].data());
    }
    cpu::BackwardHiddenStates(problem_, gradient_->data(), kept,
                              pointers.data(), parallel_for);
    return results;
  }

  // The same in float64, padded tokens left out.
  std::vector<std::vector<double>> Exact() const {
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
      for (int64_t l = 0; l < c.layers; ++l) AddRow(token, l, &exact);
    }
    return exact;
  }

 private:
  void AddRow(int64_t token, int64_t layer,
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
      const double y = Gelu(z, c.approximate);
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
        (*exact)[3][v] += y * gradient;
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
    Array array(dtype, size);
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
    if (c.valid == Valid::kMask) {
      bools_.reset(new bool[mask_.size()]);
      std::copy(mask_.begin(), mask_.end(), bools_.get());
      problem_.mask = bools_.get();
    }
    if (c.valid == Valid::kLengths) problem_.lengths = lengths_.data();
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

using Task = std::function<void(int64_t)>;

void InOrder(int64_t tasks, int64_t, const Task& task) {
  for (int64_t i = 0; i < tasks; ++i) task(i);
}

void InReverse(int64_t tasks, int64_t, const Task& task) {
  for (int64_t i = tasks; i-- > 0;) task(i);
}

void OnThreads(int64_t tasks, int64_t, const Task& task) {
  std::atomic<int64_t> next{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int64_t at; (at = next++) < tasks;) task(at);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Error allowed, as a part of the largest value or of 1: what the sums are
// made of.
double Tolerance(const Case& c, size_t result) {
  double tolerance = 8e-6;
  const auto at_least = [&](double other) {
    tolerance = std::max(tolerance, other);
  };
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

int failures = 0;

void Fail(const std::string& what, const char* variant, const Case& c) {
  ++failures;
  std::printf(
      "%s: %s: batch %ld tokens %ld layers %ld features %ld units %ld outputs"
      " %ld dtype %d stacked %d per_position %d approximate %d valid %d stash"
      " %d pooled %d bias %d\n",
      variant, what.c_str(), long(c.batch), long(c.tokens), long(c.layers),
      long(c.features), long(c.units), long(c.outputs), int(c.dtype),
      c.stacked, c.per_position, c.approximate, int(c.valid), int(c.stash),
      int(c.pooled_dtype), c.bias);
}

void Test(const char* variant, const Case& c, unsigned seed) {
  static const char* const names[] = {"output", "dW", "db", "dV"};
  Trial trial(c, seed);
  const Results results = trial.Run(InOrder);
  const auto exact = trial.Exact();
  for (size_t i = 0; i < exact.size(); ++i) {
    double largest = 1, error = 0;
    for (size_t j = 0; j < exact[i].size(); ++j) {
      const double difference = results.arrays[i][j] - exact[i][j];
      largest = std::max(largest, std::fabs(exact[i][j]));
      if (std::isnan(difference)) error = difference;
      if (!(std::fabs(difference) <= error)) error = std::fabs(difference);
    }
    if (!(error <= Tolerance(c, i) * largest)) {
      Fail(std::string(i < 4 ? names[i] : "dH") + " is off by " +
               std::to_string(error / largest),
           variant, c);
    }
  }
  for (const ParallelFor& other : {ParallelFor(InReverse),
                                   ParallelFor(OnThreads)}) {
    const Results again = trial.Run(other);
    for (size_t i = 0; i < results.arrays.size(); ++i) {
      if (!results.arrays[i].SameBits(again.arrays[i])) {
        Fail("another order of tasks gives other bits", variant, c);
      }
    }
  }
}

void TestCheck() {
  Problem good;
  good.layers = good.features = good.units = 1;
  const auto refuses = [&](auto change) {
    Problem bad = good;
    change(&bad);
    const std::string line = Check(bad);
    if (line.empty() || line.find('\n') != std::string::npos) {
      ++failures;
      std::printf("Check let a wrong problem pass: '%s'\n", line.c_str());
    }
  };
  if (!Check(good).empty()) {
    ++failures;
    std::printf("Check refused: %s\n", Check(good).c_str());
  }
  refuses([](Problem* p) { p->batch = -1; });
  refuses([](Problem* p) { p->tokens = -1; });
  refuses([](Problem* p) { p->layers = 0; });
  refuses([](Problem* p) { p->features = 0; });
  refuses([](Problem* p) { p->units = 0; });
  refuses([](Problem* p) { p->outputs = -1; });
  refuses([](Problem* p) { p->pooled_dtype = DType::kInt8; });
  refuses([](Problem* p) { p->positions = 1, p->tokens = 2; });
}

// Sizes in turn with every choice of the rest: primes, one above and one
// below powers of two, none, one, and more rows than a tile and a chunk hold.
void TestVariant(const char* variant) {
  static const int64_t sizes[][6] = {
      {1, 1, 1, 1, 1, 1},    {2, 3, 1, 5, 1, 2},   {3, 1, 2, 7, 3, 2},
      {0, 5, 2, 7, 3, 2},    {3, 0, 2, 7, 3, 2},   {2, 17, 5, 11, 7, 3},
      {1, 31, 3, 33, 17, 5}, {2, 9, 2, 31, 15, 1}, {1, 7, 2, 65, 16, 2},
      {1, 3, 2, 63, 65, 3},  {1, 2, 1, 384, 5, 1}, {1, 2, 1, 768, 2, 1},
      {1, 2, 1, 1024, 3, 2}, {9, 61, 2, 5, 3, 2},  {2, 13, 3, 129, 33, 2},
  };
  const Stash own[] = {Stash::kFloat32, Stash::kBFloat16, Stash::kFloat16,
                       Stash::kBFloat16};
  unsigned number = 0;
  for (int dtype = 0; dtype < 4; ++dtype) {
    for (int layout = 0; layout < 2; ++layout) {
      for (int operation = 0; operation < 3; ++operation) {
        for (int keep = 0; keep < 2; ++keep) {
          for (int turn = 0; turn < 5; ++turn, ++number) {
            const int64_t* s = sizes[number % 15];
            Test(variant,
                 {s[0], s[1], s[2], s[3], s[4], operation ? s[5] : 0,
                  DType(dtype), layout == 0, operation == 2,
                  (number / 2) % 2 == 0, Valid(number % 3),
                  keep ? own[dtype] : Stash::kNone, DType(number % 3),
                  number % 7 != 0},
                 number);
          }
        }
      }
    }
  }
  Test(variant,
       {3, 41, 3, 67, 19, 3, DType::kFloat32, true, true, false, Valid::kMask,
        Stash::kBFloat16, DType::kFloat32, true},
       number);
}

}  // namespace
}  // namespace bvkeras

int main() {
  bvkeras::TestCheck();
  int tested = 0;
  for (const char* variant : {"avx512bf16", "avx512", "avx2", "portable"}) {
    setenv("BVKERAS_CPU_VARIANT", variant, 1);
    std::string error;
    bvkeras::cpu::Variant(&error);
    if (!error.empty()) {
      std::printf("left out: %s\n", error.c_str());
      continue;
    }
    bvkeras::TestVariant(variant);
    ++tested;
  }
  std::printf("%d variants tested, %d failures\n", tested, bvkeras::failures);
  return bvkeras::failures != 0 || tested == 0;
}
