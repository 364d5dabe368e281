// The encoder's layers against a float64 reference, every variant that was
// compiled in and that this processor has. Built under AddressSanitizer and
// UBSan by tests/ops/test_kernels_sanitized.py:
//
//     cmake -S . -B build/kernel_tests -D BVKERAS_KERNEL_TESTS=ON
//     cmake --build build/kernel_tests
//     build/kernel_tests/encoder_test
//     build/kernel_tests/encoder_test_avx512
//
// The second has AVX-512's variants, emulated (emulated_avx512/immintrin.h).
//
// Arrays begin one number after an aligned address; padded tokens, and memory
// that nothing was written to, hold NaN. Each case runs for several numbers of
// threads with its tasks in order, in reverse and on threads, and each of its
// texts alone: all must give the same bits.

#include "encoder.h"

#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "cpu_runs.h"

namespace bvkeras {
namespace {

enum class Real { kAll, kHoles, kLengths, kNone };

struct Case {
  EncoderSizes sizes;
  int64_t batch, tokens;
  Real real;
  std::vector<int> steps;  // the layer of each
  unsigned wanted;         // bits of steps
  DType precision;
  bool approximate;
  DType output_dtype;
};

void Fail(const std::string& what, const char* variant, const Case& c) {
  ++failures;
  std::printf(
      "%s: %s: hidden %ld heads %ld inner %ld batch %ld tokens %ld real %d"
      " steps %ld wanted %u precision %d approximate %d output %d\n",
      variant, what.c_str(), long(c.sizes.hidden), long(c.sizes.heads),
      long(c.sizes.inner), long(c.batch), long(c.tokens), int(c.real),
      long(c.steps.size()), c.wanted, int(c.precision), c.approximate,
      int(c.output_dtype));
}

Array Random(std::mt19937* random, int64_t size, float deviation,
             float mean = 0) {
  std::normal_distribution<float> normal(mean, deviation);
  Array array(DType::kFloat32, size, 1);
  for (int64_t i = 0; i < size; ++i) array.Set(i, normal(*random));
  return array;
}

// A layer's weights, the kernels of dense layers first.
struct Layer {
  Layer(const EncoderSizes& sizes, std::mt19937* random) {
    const int64_t hidden = sizes.hidden, inner = sizes.inner;
    const auto dense = [&](int64_t features, int64_t columns) {
      arrays.push_back(Random(random, features * columns,
                              1 / std::sqrt(float(features))));
      arrays.push_back(Random(random, columns, 0.3f));
    };
    dense(hidden, 3 * hidden);
    dense(hidden, hidden);
    dense(hidden, inner);
    dense(inner, hidden);
    for (int norm = 0; norm < 2; ++norm) {
      arrays.push_back(Random(random, hidden, 0.2f, 1));
      arrays.push_back(Random(random, hidden, 0.2f));
    }
    // Scores of some size, so that softmax is not even.
    const float scale = 2 / std::sqrt(float(hidden / sizes.heads));
    for (int64_t e = 0; e < hidden; ++e) {
      for (int64_t a = 0; a < hidden; ++a) {
        const int64_t i = e * 3 * hidden + a;
        arrays[0].Set(i, arrays[0][i] * scale);
      }
    }
  }

  EncoderWeights Weights() {
    const auto at = [&](int i) { return arrays[i].floats(); };
    return {at(0), at(1), at(2), at(3), at(8),  at(9),
            at(4), at(5), at(6), at(7), at(10), at(11),
            kAttentionEpsilon, kOutputEpsilon};
  }

  // Different enough for one to be noticed in the other's place.
  static constexpr float kAttentionEpsilon = 1e-3f;
  static constexpr float kOutputEpsilon = 1e-1f;
  std::vector<Array> arrays;
};

// Layers in float64, written plainly. `narrow`: what products with weights
// read is rounded to bfloat16.
class Reference {
 public:
  Reference(const Case& c, const std::vector<Layer>& layers, bool narrow)
      : case_(c), narrow_(narrow) {
    for (const Layer& layer : layers) {
      weights_.emplace_back();
      for (size_t i = 0; i < layer.arrays.size(); ++i) {
        const bool kernel = i < 8 && i % 2 == 0;
        weights_.back().emplace_back();
        for (int64_t j = 0; j < layer.arrays[i].size(); ++j) {
          const double weight = layer.arrays[i][j];
          weights_.back()[i].push_back(kernel ? Operand(weight) : weight);
        }
      }
    }
  }

  using Numbers = std::vector<double>;

  // A text's states [tokens, hidden] after a step.
  Numbers After(int layer, const Numbers& states) const {
    const std::vector<Numbers>& w = weights_[layer];
    const int64_t hidden = case_.sizes.hidden;
    const int64_t tokens = states.size() / hidden;
    const int64_t head = hidden / case_.sizes.heads;
    const Numbers projected = Dense(states, hidden, w[0], w[1]);
    Numbers attended(states.size());
    for (int64_t q = 0; q < tokens; ++q) {
      for (int64_t first = 0; first < hidden; first += head) {
        Numbers scores(tokens);
        for (int64_t k = 0; k < tokens; ++k) {
          for (int64_t d = first; d < first + head; ++d) {
            scores[k] += projected[q * 3 * hidden + d] *
                         projected[k * 3 * hidden + hidden + d];
          }
        }
        const double most = *std::max_element(scores.begin(), scores.end());
        double sum = 0;
        for (double& score : scores) sum += score = std::exp(score - most);
        for (int64_t k = 0; k < tokens; ++k) {
          for (int64_t d = first; d < first + head; ++d) {
            attended[q * hidden + d] +=
                scores[k] / sum * projected[k * 3 * hidden + 2 * hidden + d];
          }
        }
      }
    }
    const Numbers middle =
        Norm(Sum(states, Dense(attended, hidden, w[2], w[3])), w[8], w[9],
             Layer::kAttentionEpsilon);
    Numbers inner = Dense(middle, hidden, w[4], w[5]);
    for (double& z : inner) z = Gelu(z, case_.approximate);
    return Norm(Sum(middle, Dense(inner, case_.sizes.inner, w[6], w[7])),
                w[10], w[11], Layer::kOutputEpsilon);
  }

 private:
  double Operand(double value) const {
    return narrow_ ? FromBFloat16(ToBFloat16(float(value))) : value;
  }

  Numbers Dense(const Numbers& states, int64_t features, const Numbers& kernel,
                const Numbers& bias) const {
    const int64_t columns = bias.size();
    Numbers results;
    for (size_t row = 0; row < states.size(); row += features) {
      Numbers sums = bias;
      for (int64_t e = 0; e < features; ++e) {
        const double x = Operand(states[row + e]);
        const double* weights = &kernel[e * columns];
        for (int64_t a = 0; a < columns; ++a) sums[a] += x * weights[a];
      }
      results.insert(results.end(), sums.begin(), sums.end());
    }
    return results;
  }

  static Numbers Sum(Numbers a, const Numbers& b) {
    for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
    return a;
  }

  static Numbers Norm(Numbers states, const Numbers& gamma,
                      const Numbers& beta, double epsilon) {
    const int64_t hidden = gamma.size();
    for (size_t row = 0; row < states.size(); row += hidden) {
      double mean = 0, variance = 0;
      for (int64_t e = 0; e < hidden; ++e) mean += states[row + e] / hidden;
      for (int64_t e = 0; e < hidden; ++e) {
        variance += std::pow(states[row + e] - mean, 2) / hidden;
      }
      for (int64_t e = 0; e < hidden; ++e) {
        states[row + e] = (states[row + e] - mean) /
                              std::sqrt(variance + epsilon) * gamma[e] +
                          beta[e];
      }
    }
    return states;
  }

  const Case& case_;
  bool narrow_;
  std::vector<std::vector<Numbers>> weights_;
};

// How often a case was taken by groups of texts, and how often by threads that
// share a layer.
int alone = 0, shared = 0;

class Trial {
 public:
  Trial(const Case& c, unsigned seed) : case_(c), random_(seed) {
    const int64_t slots = c.batch * c.tokens;
    mask_.reset(new bool[slots]);
    for (int64_t b = 0; b < c.batch; ++b) {
      const int64_t length = random_() % (c.tokens + 1);
      for (int64_t t = 0; t < c.tokens; ++t) {
        mask_[b * c.tokens + t] = c.real == Real::kAll     ? true
                                  : c.real == Real::kHoles ? random_() % 3 != 0
                                  : c.real == Real::kLengths ? t < length
                                                             : false;
      }
    }
    states_ = std::make_unique<Array>(
        Random(&random_, slots * c.sizes.hidden, 1));
    for (int64_t slot = 0; slot < slots; ++slot) {
      for (int64_t e = 0; e < c.sizes.hidden && !mask_[slot]; ++e) {
        states_->Set(slot * c.sizes.hidden + e, kNaN);
      }
    }
    const int count = *std::max_element(c.steps.begin(), c.steps.end()) + 1;
    for (int i = 0; i < count; ++i) {
      layers_.emplace_back(c.sizes, &random_);
      packed_.emplace_back(DType::kInt8,
                           cpu::PackedLayerBytes(c.sizes, c.precision), 4);
      cpu::PackLayer(c.sizes, c.precision, layers_.back().Weights(),
                     packed_.back().data());
    }
  }

  std::vector<Array> Run(int64_t threads, const ParallelFor& order) {
    return Run(case_.batch, case_.tokens, states_->floats(), mask_.get(),
               threads, order);
  }

  // Of one text without its padding.
  std::vector<Array> RunText(int64_t text) {
    const std::vector<int64_t> slots = Slots(text);
    const int64_t tokens = slots.size(), hidden = case_.sizes.hidden;
    Array states(DType::kFloat32, tokens * hidden, 1);
    for (int64_t i = 0; i < states.size(); ++i) {
      states.Set(i, (*states_)[slots[i / hidden] * hidden + i % hidden]);
    }
    std::unique_ptr<bool[]> mask(new bool[tokens]);
    std::fill(mask.get(), mask.get() + tokens, true);
    return Run(1, tokens, states.floats(), mask.get(), 1, InOrder);
  }

  // As Run's, in float64.
  std::vector<std::vector<double>> Exact(bool narrow) const {
    const int64_t hidden = case_.sizes.hidden;
    const Reference reference(case_, layers_, narrow);
    std::vector<std::vector<double>> results(Outputs());
    for (auto& result : results) result.resize(states_->size());
    for (int64_t text = 0; text < case_.batch; ++text) {
      const std::vector<int64_t> slots = Slots(text);
      std::vector<double> states;
      for (const int64_t slot : slots) {
        for (int64_t e = 0; e < hidden; ++e) {
          states.push_back((*states_)[slot * hidden + e]);
        }
      }
      for (size_t step = 0, output = 0; step < case_.steps.size(); ++step) {
        states = reference.After(case_.steps[step], states);
        if (!Wants(step)) continue;
        for (size_t i = 0; i < states.size(); ++i) {
          results[output][slots[i / hidden] * hidden + i % hidden] = states[i];
        }
        ++output;
      }
    }
    return results;
  }

  std::vector<int64_t> Slots(int64_t text) const {
    std::vector<int64_t> slots;
    for (int64_t t = 0; t < case_.tokens; ++t) {
      const int64_t slot = text * case_.tokens + t;
      if (mask_[slot]) slots.push_back(slot);
    }
    return slots;
  }

  bool IsReal(int64_t slot) const { return mask_[slot]; }

  // Puts NaN in a text's first token.
  void Spoil(int64_t text) {
    for (const int64_t slot : Slots(text)) {
      states_->Set(slot * case_.sizes.hidden, kNaN);
      return;
    }
  }

 private:
  static constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

  bool Wants(size_t step) const { return case_.wanted >> step & 1; }

  int Outputs() const {
    int outputs = 0;
    for (size_t step = 0; step < case_.steps.size(); ++step) {
      outputs += Wants(step);
    }
    return outputs;
  }

  std::vector<Array> Run(int64_t batch, int64_t tokens, const float* states,
                         const bool* mask, int64_t threads,
                         const ParallelFor& order) {
    EncoderProblem problem;
    problem.sizes = case_.sizes;
    problem.precision = case_.precision;
    problem.approximate = case_.approximate;
    problem.batch = batch;
    problem.tokens = tokens;
    problem.states = states;
    problem.mask = mask;
    std::vector<Array> results;
    std::vector<const void*> packed;
    std::vector<void*> outputs;
    for (size_t step = 0; step < case_.steps.size(); ++step) {
      packed.push_back(packed_[case_.steps[step]].data());
      outputs.push_back(nullptr);
      if (!Wants(step)) continue;
      results.emplace_back(case_.output_dtype,
                           batch * tokens * case_.sizes.hidden, 1);
      results.back().FillWithNaN();
      outputs.back() = results.back().data();
    }
    problem.steps = case_.steps.size();
    problem.packed = packed.data();
    problem.outputs = outputs.data();
    problem.output_dtype = case_.output_dtype;
    int calls = 0;
    cpu::EncodeLayers(
        problem, threads,
        [&](int64_t tasks, int64_t cost,
            const std::function<void(int64_t)>& task) {
          ++calls;
          order(tasks, cost, task);
        });
    if (threads > 1) ++(calls == 1 ? alone : shared);
    return results;
  }

  Case case_;
  std::mt19937 random_;
  std::unique_ptr<bool[]> mask_;
  std::unique_ptr<Array> states_;
  std::vector<Layer> layers_;
  std::vector<Array> packed_;
};

bool MultipliesBFloat16(const char* variant, const Case& c) {
  return c.precision == DType::kBFloat16 &&
         std::strcmp(variant, "avx512bf16") == 0;
}

double Rounding(DType dtype) {
  return dtype == DType::kFloat32    ? 0x1p-24
         : dtype == DType::kBFloat16 ? 0x1p-8
                                     : 0x1p-11;
}

void Compare(const char* variant, const Case& c, const Trial& trial,
             const std::vector<Array>& results) {
  const bool narrow = MultipliesBFloat16(variant, c);
  const auto exact = trial.Exact(narrow);
  for (size_t i = 0; i < exact.size(); ++i) {
    double largest = 0, error = 0, squares = 0;
    for (size_t j = 0; j < exact[i].size(); ++j) {
      const double difference = std::fabs(results[i][j] - exact[i][j]);
      if (!trial.IsReal(j / c.sizes.hidden) && difference != 0) {
        Fail("padding is not zero", variant, c);
        return;
      }
      largest = std::max(largest, std::fabs(exact[i][j]));
      // A NaN stays one.
      if (!(difference <= error) && !std::isnan(error)) error = difference;
      squares += difference * difference;
    }
    const double deviation =
        std::sqrt(squares / std::max<double>(1, exact[i].size()));
    const double rounding = Rounding(c.output_dtype);
    // An operand that the reference rounds the other way is rare, but as far
    // off as bfloat16's last bit.
    if (!(error <= ((narrow ? 0x1p-8 : 4e-6) + rounding) * largest) ||
        !(deviation <= ((narrow ? 4e-4 : 1e-6) + rounding) * largest)) {
      Fail("output " + std::to_string(i) + " is off by " +
               std::to_string(error / largest) + ", on average by " +
               std::to_string(deviation / largest),
           variant, c);
    }
  }
}

bool SameBits(const std::vector<Array>& a, const std::vector<Array>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!a[i].SameBits(b[i])) return false;
  }
  return a.size() == b.size();
}

// Whether a text's numbers are those that it has in the batch.
bool SameText(const Case& c, const Trial& trial, int64_t text,
              const std::vector<Array>& batch,
              const std::vector<Array>& other, bool compact) {
  const std::vector<int64_t> slots = trial.Slots(text);
  for (size_t output = 0; output < batch.size(); ++output) {
    for (size_t t = 0; t < slots.size(); ++t) {
      for (int64_t e = 0; e < c.sizes.hidden; ++e) {
        const int64_t at = compact ? t : slots[t];
        if (batch[output][slots[t] * c.sizes.hidden + e] !=
            other[output][at * c.sizes.hidden + e]) {
          return false;
        }
      }
    }
  }
  return true;
}

void Test(const char* variant, const Case& c, unsigned seed) {
  Trial trial(c, seed);
  std::vector<Array> results;
  // In a thread whose memory nobody has written to.
  std::thread([&] { results = trial.Run(1, InOrder); }).join();
  Compare(variant, c, trial, results);
  const struct {
    int64_t threads;
    void (*order)(int64_t, int64_t, const Task&);
  } others[] = {{1, OnThreads}, {2, InReverse}, {3, OnThreads},
                {16, InOrder},  {16, InReverse}, {16, OnThreads}};
  for (const auto& other : others) {
    if (!SameBits(results, trial.Run(other.threads, other.order))) {
      Fail("other bits for " + std::to_string(other.threads) + " threads",
           variant, c);
    }
  }
  for (int64_t text = 0; text < c.batch; ++text) {
    if (!SameText(c, trial, text, results, trial.RunText(text), true)) {
      Fail("a text alone has other bits", variant, c);
      break;
    }
  }
  if (c.batch < 2) return;
  trial.Spoil(0);
  const std::vector<Array> spoilt = trial.Run(3, InOrder);
  for (int64_t text = 1; text < c.batch; ++text) {
    if (!SameText(c, trial, text, results, spoilt, false)) {
      Fail("a text changes with another", variant, c);
      break;
    }
  }
}

// Heads of 1, 3, 4, 5, 32, 33 and 127 features; primes, one above and one below
// whole vectors; more features than are added one to the other.
const EncoderSizes kSizes[] = {
    {1, 1, 1},    {5, 5, 7},   {5, 1, 40},    {12, 4, 7},   {12, 3, 1},
    {33, 1, 40},  {31, 31, 9}, {64, 2, 65},   {66, 2, 300}, {127, 1, 17},
    {384, 12, 40}};
const struct {
  int64_t batch, tokens;
  Real real;
} kTexts[] = {{1, 1, Real::kAll},      {2, 2, Real::kAll},
              {3, 7, Real::kHoles},    {1, 48, Real::kAll},
              {1, 49, Real::kAll},     {1, 50, Real::kAll},
              {16, 5, Real::kLengths}, {2, 49, Real::kHoles},
              {3, 131, Real::kLengths}, {40, 7, Real::kHoles},
              {1, 149, Real::kAll},    {9, 17, Real::kAll},
              {7, 33, Real::kLengths}};
const struct {
  std::vector<int> steps;
  unsigned wanted;
} kSteps[] = {{{0}, 1}, {{0, 1}, 3}, {{0, 1, 0}, 5}, {{1, 0, 0}, 2},
              {{0, 0}, 2}};

void TestVariant(const char* variant) {
  alone = shared = 0;
  unsigned number = 0;
  for (const EncoderSizes& sizes : kSizes) {
    for (int turn = 0; turn < 6; ++turn, ++number) {
      // No common factor: everything meets everything.
      const auto& texts = kTexts[number * 5 % 13];
      const auto& steps = kSteps[number % 5];
      // A reference that takes long, once.
      if (sizes.hidden * texts.batch * texts.tokens > 40000 && turn > 1) {
        continue;
      }
      Test(variant,
           {sizes, texts.batch, texts.tokens, texts.real, steps.steps,
            steps.wanted,
            turn % 2 ? DType::kBFloat16 : DType::kFloat32, number / 2 % 2 == 0,
            DType(number % 3)},
           number);
    }
  }
  if (alone == 0 || shared == 0) {
    ++failures;
    std::printf("%s: by groups %d times, shared %d times\n", variant, alone,
                shared);
  }
}

// Nothing to do, as the first that a thread does.
void TestNothingToDo(const char* variant) {
  const struct {
    int64_t batch, tokens;
    Real real;
  } kinds[] = {{0, 5, Real::kAll}, {3, 0, Real::kAll}, {3, 5, Real::kNone}};
  for (const auto& kind : kinds) {
    for (int dtype = 0; dtype < 3; ++dtype) {
      const Case c = {{12, 3, 7},
                      kind.batch,
                      kind.tokens,
                      kind.real,
                      {0, 0},
                      3,
                      dtype % 2 ? DType::kBFloat16 : DType::kFloat32,
                      dtype == 0,
                      DType(dtype)};
      std::thread([&] { Test(variant, c, dtype); }).join();
    }
  }
}

void ExpectOneLine(const std::string& what, const std::string& line,
                   const std::string& part) {
  if (line.find(part) != std::string::npos && !line.empty() &&
      line.find('\n') == std::string::npos) {
    return;
  }
  ++failures;
  std::printf("%s: '%s', expected '%s'\n", what.c_str(), line.c_str(),
              part.c_str());
}

void TestCheck() {
  if (!Check(EncoderSizes{6, 3, 1}).empty()) {
    ++failures;
    std::printf("refused: %s\n", Check(EncoderSizes{6, 3, 1}).c_str());
  }
  ExpectOneLine("hidden", Check(EncoderSizes{0, 1, 1}), "hidden");
  ExpectOneLine("heads", Check(EncoderSizes{6, 0, 1}), "heads");
  ExpectOneLine("inner", Check(EncoderSizes{6, 3, 0}), "inner");
  ExpectOneLine("negative", Check(EncoderSizes{-6, 3, 1}), "-6");
  ExpectOneLine("heads that do not divide", Check(EncoderSizes{6, 4, 1}),
                "heads");
}

void TestPackedLayer(const char* variant) {
  // Whole vectors of every variant, so that all need as many bytes.
  const EncoderSizes good = {96, 3, 32};
  std::mt19937 random(0);
  Layer layer(good, &random);
  for (const DType precision : {DType::kFloat32, DType::kBFloat16}) {
    const size_t bytes = cpu::PackedLayerBytes(good, precision);
    Array packed(DType::kInt8, bytes, 4);
    cpu::PackLayer(good, precision, layer.Weights(), packed.data());
    const auto check = [&](const EncoderSizes& sizes, DType other) {
      return cpu::CheckPackedLayer(sizes, other, packed.data(), bytes);
    };
    const std::string name = std::string(variant) + ": packed for ";
    const std::string fine = check(good, precision);
    if (!fine.empty()) {
      ++failures;
      std::printf("%s these: %s\n", name.c_str(), fine.c_str());
    }
    ExpectOneLine(name + "other heads", check({96, 4, 32}, precision),
                  "other sizes");
    ExpectOneLine(name + "another hidden", check({48, 3, 32}, precision),
                  "packed layer");
    ExpectOneLine(name + "another inner", check({96, 3, 33}, precision),
                  "packed layer");
    ExpectOneLine(name + "another precision",
                  check(good, precision == DType::kFloat32
                                  ? DType::kBFloat16
                                  : DType::kFloat32),
                  "packed layer");
    ExpectOneLine(name + "a byte more",
                  cpu::CheckPackedLayer(good, precision, packed.data(),
                                        bytes - 1),
                  "bytes");
    setenv("BVKERAS_CPU_VARIANT", "portable", 1);
    if (std::strcmp(variant, "portable") != 0) {
      ExpectOneLine(name + "itself", check(good, precision), "packed layer");
    }
    setenv("BVKERAS_CPU_VARIANT", variant, 1);
  }
}

}  // namespace
}  // namespace bvkeras

int main() {
  bvkeras::TestCheck();
  return bvkeras::OnEveryVariant([](const char* variant) {
    bvkeras::TestPackedLayer(variant);
    bvkeras::TestNothingToDo(variant);
    bvkeras::TestVariant(variant);
  });
}
