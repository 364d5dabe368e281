// The encoder's products in 8 bits against plain integers: every variant that
// was compiled in and that this processor has, and the product of unsigned
// numbers that AVX-512 VNNI has, emulated, must give the same bits. Built under
// AddressSanitizer and UBSan, as linear_pooling_test.cc.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cpu/encoder_kernels.h"
#include "cpu/tile_kernels.h"
#include "cpu/variants.h"
#include "cpu_runs.h"

namespace bvkeras {
namespace cpu {
namespace {

#include "cpu/numbers.h"
#include "cpu/portable_vector.h"

// VPDPBUSD, lane by lane.
struct EmulatedVector : PortableVector {
  static constexpr Int8Kind kInt8 = Int8Kind::kUnsignedRows;
  struct Quad {
    uint8_t numbers[4];
  };
  static Quad Set1Quad(const void* numbers) {
    Quad quad;
    std::memcpy(&quad, numbers, sizeof quad);
    return quad;
  }
  static Ints AddQuads(Ints sum, Quad x, Ints w) {
    int8_t weights[4 * kLanes];
    std::memcpy(weights, &w, sizeof weights);
    for (int i = 0; i < kLanes; ++i) {
      for (int k = 0; k < 4; ++k) sum[i] += x.numbers[k] * weights[4 * i + k];
    }
    return sum;
  }
};

#include "cpu/tile_kernels_impl.h"
#include "cpu/encoder_kernels_impl.h"

void Fail(const char* variant, const std::string& what) {
  std::printf("%s: %s\n", variant, what.c_str());
  ++failures;
}

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// One row or column in 8 bits, as encoder.h says.
struct Quantised {
  std::vector<int> numbers;
  float scale;

  Quantised(const float* first, int64_t count, int64_t stride)
      : numbers(count, 0), scale(0) {
    float most = 0;
    bool finite = true;
    for (int64_t i = 0; i < count; ++i) {
      finite = finite && std::isfinite(first[i * stride]);
      most = std::max(most, std::fabs(first[i * stride]));
    }
    if (!finite) {
      scale = kNan;
      return;
    }
    if (most < 0x1p-100f) return;
    scale = most / 127.0f;
    const float inverse = 127.0f / most;
    for (int64_t i = 0; i < count; ++i) {
      const float number = std::nearbyint(first[i * stride] * inverse);
      numbers[i] = static_cast<int>(number);
    }
  }
};

bool Same(float a, float b) {
  return std::isnan(a) ? std::isnan(b) : std::memcmp(&a, &b, sizeof a) == 0;
}

struct Sizes {
  int64_t hidden, heads, inner, rows;
};

// Random weights, with columns of the largest and the smallest that there are.
struct Weights {
  std::vector<float> numbers;
  EncoderWeights weights;

  Weights(const EncoderSizes& sizes, std::mt19937* random) {
    const int64_t hidden = sizes.hidden, inner = sizes.inner;
    const int64_t most = hidden * std::max(3 * hidden, inner);
    numbers.resize(most + 8);
    std::normal_distribution<float> normal(0.0f, 0.05f);
    for (float& x : numbers) x = normal(*random);
    const float* const at = numbers.data();
    // Another part of them for each: none is another's.
    weights = {at,     at + 1, at + 2, at + 3, at + 4, at + 5, at + 6,
               at + 7, at + 2, at + 1, at + 3, at + 5, 1e-12f, 1e-12f};
  }

  void SetColumn(const float* kernel, int64_t features, int64_t columns,
                 int64_t column, float value) {
    for (int64_t e = 0; e < features; ++e) {
      numbers[kernel - numbers.data() + e * columns + column] = value;
    }
  }
};

float* NewFloats(int64_t count) {
  return static_cast<float*>(std::malloc(std::max<size_t>(count, 1) * 4));
}

// Rows times a packed product, and what should come of it.
void TestProducts(const EncoderKernels& kernels, const Sizes& given,
                  unsigned seed) {
  std::mt19937 random(seed);
  const EncoderSizes sizes = {given.hidden, given.heads, given.inner};
  const int64_t hidden = sizes.hidden, inner = sizes.inner;
  const int64_t rows = given.rows;
  Weights w(sizes, &random);
  // A column of equal weights, which all become 127, one of nothing, and one
  // that is not finite.
  w.SetColumn(w.weights.query_key_value_kernel, hidden, 3 * hidden, 0, 0.5f);
  if (hidden > 3) {
    w.SetColumn(w.weights.query_key_value_kernel, hidden, 3 * hidden, 1, -2.f);
    w.SetColumn(w.weights.query_key_value_kernel, hidden, 3 * hidden, 2, 0.0f);
    w.numbers[3 * hidden + 3] = kInfinity;
  }
  const DType precision = DType::kInt8;
  void* const packed =
      std::aligned_alloc(64, kernels.packed_bytes(sizes, precision));
  kernels.pack(sizes, precision, w.weights, packed);
  const EncoderStrides strides = kernels.strides(sizes, precision);
  void* const scratch = std::malloc(kernels.product_bytes(sizes, precision));

  float* const states = NewFloats(rows * strides.hidden);
  float* const projected = NewFloats(rows * strides.projected);
  float* const attended = NewFloats(rows * strides.hidden_operand);
  float* const sums = NewFloats(rows * strides.hidden);
  float* const wide = NewFloats(rows * strides.inner_operand);
  const auto fill = [&](float* out, int64_t stride, int64_t count) {
    std::normal_distribution<float> normal(0.0f, 1.0f);
    for (int64_t r = 0; r < rows; ++r) {
      float* const row = out + r * stride;
      // What is beyond the row is read by nothing.
      for (int64_t i = 0; i < stride; ++i) row[i] = kNan;
      for (int64_t i = 0; i < count; ++i) {
        switch (r % 10) {
          case 1: row[i] = 0.0f; break;
          case 2: row[i] = 3.25f; break;           // all 127
          case 3: row[i] = i % 2 ? 7.0f : -7.0f; break;
          case 4: row[i] = 1e-38f * normal(random); break;
          default: row[i] = normal(random);
        }
      }
      if (r % 10 == 5) row[r % count] = -1e30f;
      if (r % 10 == 6) row[r % count] = kNan;
      if (r % 10 == 7) row[r % count] = kInfinity;
    }
  };
  fill(states, strides.hidden, hidden);
  fill(wide, strides.inner_operand, inner);
  const EncoderRows memory = {rows,     states, states, projected,
                              attended, sums,   wide};
  const EncoderPass pass = {sizes, precision, false, strides, packed};
  const auto check = [&](const char* name, const float* in, int64_t stride,
                         int64_t features, const float* kernel,
                         const float* bias, int64_t columns, const float* out,
                         int64_t out_stride, const float* added) {
    std::vector<Quantised> quantised;
    for (int64_t a = 0; a < columns; ++a) {
      quantised.emplace_back(kernel + a, features, columns);
    }
    for (int64_t r = 0; r < rows; ++r) {
      const Quantised row(in + r * stride, features, 1);
      for (int64_t a = 0; a < columns; ++a) {
        int64_t sum = 0;
        for (int64_t e = 0; e < features; ++e) {
          sum += row.numbers[e] * quantised[a].numbers[e];
        }
        float expected = static_cast<float>(sum) * row.scale;
        expected = expected * quantised[a].scale;
        expected = expected + bias[a];
        if (added != nullptr) expected = expected + added[r * out_stride + a];
        const float found = out[r * out_stride + a];
        if (!Same(expected, found)) {
          Fail(kernels.name,
               std::string(name) + " of " + std::to_string(features) + ", " +
                   std::to_string(columns) + ": row " + std::to_string(r) +
                   ", column " + std::to_string(a) + ": " +
                   std::to_string(found) + ", expected " +
                   std::to_string(expected));
          return;
        }
      }
    }
  };
  // In two parts, as threads would.
  const int64_t panels = kernels.panels(3 * hidden), half = panels / 2;
  kernels.project(pass, memory, {scratch, 0, rows, 0, half});
  kernels.project(pass, memory, {scratch, 0, rows / 2, half, panels});
  kernels.project(pass, memory, {scratch, rows / 2, rows, half, panels});
  check("project", states, strides.hidden, hidden,
        w.weights.query_key_value_kernel, w.weights.query_key_value_bias,
        3 * hidden, projected, strides.projected, nullptr);
  kernels.add_inner(pass, memory,
                    {scratch, 0, rows, 0, kernels.panels(hidden)});
  check("add_inner", wide, strides.inner_operand, inner,
        w.weights.output_kernel, w.weights.output_bias, hidden, sums,
        strides.hidden, states);
  for (void* memory_of : {packed, scratch, static_cast<void*>(states),
                          static_cast<void*>(projected),
                          static_cast<void*>(attended),
                          static_cast<void*>(sums), static_cast<void*>(wide)}) {
    std::free(memory_of);
  }
}

std::vector<float> Encode(const EncoderSizes& sizes, int64_t batch,
                          int64_t tokens, const std::vector<float>& states,
                          const bool* mask, const void* packed, int64_t threads,
                          const ParallelFor& parallel_for) {
  std::vector<float> first(states.size()), second(states.size());
  const void* const layers[] = {packed, packed};
  void* const outputs[] = {first.data(), second.data()};
  EncoderProblem problem;
  problem.sizes = sizes;
  problem.precision = DType::kInt8;
  problem.batch = batch;
  problem.tokens = tokens;
  problem.states = states.data();
  problem.mask = mask;
  problem.steps = 2;
  problem.packed = layers;
  problem.outputs = outputs;
  EncodeLayers(problem, threads, parallel_for);
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

// Threads change nothing, and a text that is not finite changes no other.
void TestTexts(const char* variant) {
  std::mt19937 random(5);
  const EncoderSizes sizes = {36, 3, 70};
  const int64_t batch = 6, tokens = 23, text = tokens * sizes.hidden;
  Weights w(sizes, &random);
  std::vector<char> packed(PackedLayerBytes(sizes, DType::kInt8));
  PackLayer(sizes, DType::kInt8, w.weights, packed.data());
  if (!CheckPackedLayer(sizes, DType::kInt8, packed.data(), packed.size())
           .empty() ||
      CheckPackedLayer(sizes, DType::kFloat32, packed.data(), packed.size())
          .empty()) {
    Fail(variant, "what a layer was packed for is not known");
  }
  std::vector<float> states(batch * text);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  for (float& x : states) x = normal(random);
  bool mask[batch * tokens];
  for (int64_t i = 0; i < batch * tokens; ++i) {
    mask[i] = i % tokens < 23 - 4 * (i / tokens);
  }
  const auto encode = [&](int64_t threads, const ParallelFor& parallel_for) {
    return Encode(sizes, batch, tokens, states, mask, packed.data(), threads,
                  parallel_for);
  };
  const std::vector<float> clean = encode(1, InOrder);
  for (const float x : clean) {
    if (!std::isfinite(x)) return Fail(variant, "a text is not finite");
  }
  for (const int64_t threads : {2, 3, 64}) {
    if (encode(threads, OnThreads) != clean) {
      Fail(variant, "threads change the states");
    }
  }
  for (const float wrong : {kNan, kInfinity}) {
    states[2 * text + 40] = wrong;
    const std::vector<float> found = encode(1, InOrder);
    for (int64_t i = 0; i < static_cast<int64_t>(found.size()); ++i) {
      const int64_t slot = i / sizes.hidden % (batch * tokens);
      const bool spoilt = slot / tokens == 2 && mask[slot];
      if (spoilt ? !std::isnan(found[i]) : !Same(found[i], clean[i])) {
        return Fail(variant, "what is not finite stands in the wrong text");
      }
    }
  }
}

void TestKernels(const EncoderKernels& kernels) {
  unsigned seed = 0;
  for (const Sizes& sizes : {Sizes{1, 1, 1, 1}, Sizes{3, 1, 5, 2},
                             Sizes{7, 7, 18, 11}, Sizes{20, 2, 33, 24},
                             Sizes{64, 2, 128, 75}, Sizes{66, 6, 517, 98},
                             Sizes{130, 1, 1030, 13}}) {
    TestProducts(kernels, sizes, seed++);
  }
}

}  // namespace
}  // namespace cpu
}  // namespace bvkeras

int main() {
  using namespace bvkeras::cpu;
  static constexpr EncoderKernels kEmulated =
      MakeEncoderKernels<EmulatedVector>("emulated");
  TestKernels(kEmulated);
  return bvkeras::OnEveryVariant([](const char* variant) {
    TestKernels(ChosenVariant().encoder_kernels());
    TestTexts(variant);
  });
}
