// The CPU's side of encoder.h: finds the real tokens, cuts the texts into
// groups, and takes each group through all layers on one thread: no thread
// waits for another. Where there are too few texts for that, all threads share
// each part of a layer.
//
// Every number is computed in the same order in both ways.

#include "../encoder.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "memory.h"
#include "variants.h"

namespace bvkeras {

// Of so many terms a sum is within 32 bits, and so is what a column takes off.
constexpr int64_t kMostInt8Terms = INT32_MAX / (128 * 127);

std::string Check(const EncoderSizes& sizes, DType precision) {
  if (sizes.hidden < 1 || sizes.heads < 1 || sizes.inner < 1) {
    return "hidden, heads and inner: received " +
           std::to_string(sizes.hidden) + ", " + std::to_string(sizes.heads) +
           " and " + std::to_string(sizes.inner) + ", expected at least 1";
  }
  if (sizes.hidden % sizes.heads != 0) {
    return "heads: received " + std::to_string(sizes.heads) +
           ", which does not divide hidden, " + std::to_string(sizes.hidden);
  }
  if (precision == DType::kInt8 &&
      std::max(sizes.hidden, sizes.inner) > kMostInt8Terms) {
    return "hidden and inner: received " + std::to_string(sizes.hidden) +
           " and " + std::to_string(sizes.inner) + ", expected at most " +
           std::to_string(kMostInt8Terms) + " in int8";
  }
  return "";
}

namespace cpu {
namespace {

// Rows that one thread takes through all layers: what a layer makes of them
// stays in its second-level cache.
constexpr int64_t kGroupRows = 128;
// Rows of a task where threads share a layer.
constexpr int64_t kSharedRows = 48;
constexpr size_t kHeaderBytes = 64;

struct Header {
  char variant[24];
  int64_t hidden, heads, inner, precision;
};
static_assert(sizeof(Header) <= kHeaderBytes, "fits");

Header HeaderOf(const EncoderSizes& sizes, DType precision,
                const EncoderKernels& kernels) {
  Header header = {};
  std::strncpy(header.variant, kernels.name, sizeof header.variant - 1);
  header.hidden = sizes.hidden;
  header.heads = sizes.heads;
  header.inner = sizes.inner;
  header.precision = static_cast<int64_t>(precision);
  return header;
}

struct Text {
  int64_t first;  // of the problem's real tokens
  int64_t tokens;
};

class Encoding {
 public:
  Encoding(const EncoderProblem& problem, const EncoderKernels& kernels)
      : problem_(problem),
        kernels_(kernels),
        strides_(kernels.strides(problem.sizes, problem.precision)) {
    for (int64_t b = 0; b < problem.batch; ++b) {
      const int64_t first = slots_.size();
      for (int64_t t = 0; t < problem.tokens; ++t) {
        const int64_t slot = b * problem.tokens + t;
        if (problem.mask[slot]) slots_.push_back(slot);
      }
      const int64_t tokens = slots_.size() - first;
      if (tokens > 0) texts_.push_back({first, tokens});
      longest_ = std::max(longest_, tokens);
    }
  }

  void Run(int64_t threads, const ParallelFor& parallel_for) {
    const int64_t rows = slots_.size();
    threads = std::max<int64_t>(threads, 1);
    // Alone, a thread should not be left with much more than its share.
    const bool alone = threads == 1 || longest_ * threads <= rows * 5 / 4;
    if (alone) {
      RunAlone(threads, parallel_for);
    } else {
      Walk({0, static_cast<int64_t>(texts_.size())}, threads, parallel_for);
    }
  }

  // Zeros where there is no token.
  void ClearPadding() const {
    const size_t bytes =
        problem_.sizes.hidden * SizeOf(problem_.output_dtype);
    for (int64_t step = 0; step < problem_.steps; ++step) {
      if (problem_.outputs[step] == nullptr) continue;
      char* const output = static_cast<char*>(problem_.outputs[step]);
      for (int64_t slot = 0; slot < problem_.batch * problem_.tokens; ++slot) {
        if (!problem_.mask[slot]) std::memset(output + slot * bytes, 0, bytes);
      }
    }
  }

 private:
  struct Range {
    int64_t first, last;
    int64_t size() const { return last - first; }
  };

  void RunAlone(int64_t threads, const ParallelFor& parallel_for) {
    // As many groups for each thread, of much the same size.
    const int64_t rows = slots_.size();
    const int64_t wanted =
        RoundUp(DivideUp(rows, kGroupRows), threads);
    std::vector<Range> groups;
    int64_t first = 0;
    for (int64_t i = 0; i < static_cast<int64_t>(texts_.size()); ++i) {
      const int64_t end = texts_[i].first + texts_[i].tokens;
      const int64_t number = groups.size() + 1;
      if (end * wanted >= rows * number) {
        groups.push_back({first, i + 1});
        first = i + 1;
      }
    }
    const int64_t cost =
        rows / std::max<int64_t>(groups.size(), 1) * RowCost();
    parallel_for(groups.size(), cost, [&](int64_t g) {
      Walk(groups[g], 1,
           [](int64_t tasks, int64_t, const std::function<void(int64_t)>& task) {
             for (int64_t i = 0; i < tasks; ++i) task(i);
           });
    });
  }

  // Cycles of a row through all steps, about.
  int64_t RowCost() const {
    return problem_.steps * problem_.sizes.hidden *
           (4 * problem_.sizes.hidden + 2 * problem_.sizes.inner) / 16;
  }

  EncoderRows Memory(int64_t rows) const {
    size_t bytes = 0;
    const auto take = [&](int64_t stride, size_t number) {
      const size_t place = bytes;
      bytes += RoundUp(rows * stride * number, 64);
      return place;
    };
    const size_t operand = strides_.operand_bytes;
    const size_t states = take(strides_.hidden, 4);
    const size_t operands = strides_.separate_operands
                                ? take(strides_.hidden_operand, operand)
                                : states;
    const size_t projected = take(strides_.projected, 4);
    const size_t attended = take(strides_.hidden_operand, operand);
    const size_t sums = take(strides_.hidden, 4);
    const size_t inner = take(strides_.inner_operand, operand);
    char* const base = static_cast<char*>(ThreadMemory(kEncoderRows, bytes));
    return {rows,
            reinterpret_cast<float*>(base + states),
            base + operands,
            reinterpret_cast<float*>(base + projected),
            base + attended,
            reinterpret_cast<float*>(base + sums),
            base + inner};
  }

  // Texts through all steps.
  void Walk(Range texts, int64_t threads, const ParallelFor& parallel_for) {
    const int64_t first = texts_[texts.first].first;
    const Text& last = texts_[texts.last - 1];
    const EncoderRows rows = Memory(last.first + last.tokens - first);
    EncoderPass pass = {problem_.sizes, problem_.precision,
                        problem_.approximate, strides_, nullptr};
    const int64_t hidden = problem_.sizes.hidden;
    const int64_t heads = problem_.sizes.heads;
    const auto over_rows = [&](int64_t cost, const auto& task) {
      const int64_t tasks = DivideUp(rows.rows, kSharedRows);
      parallel_for(tasks, cost * rows.rows / tasks, [&](int64_t i) {
        task(i * rows.rows / tasks, (i + 1) * rows.rows / tasks);
      });
    };
    // So many blocks of columns that every thread has its part.
    const auto over_parts = [&](int64_t columns, int64_t terms,
                                EncoderProduct product) {
      const int64_t panels = kernels_.panels(columns);
      const int64_t tiles = threads == 1 ? 1 : DivideUp(rows.rows, kSharedRows);
      const int64_t blocks =
          threads == 1
              ? 1
              : std::min(panels, DivideUp(2 * threads, tiles));
      const int64_t cost = rows.rows * columns * terms / 16 / tiles / blocks;
      parallel_for(tiles * blocks, cost, [&](int64_t i) {
        const int64_t tile = i / blocks, block = i % blocks;
        void* const scratch = ThreadMemory(
            kProduct,
            kernels_.product_bytes(problem_.sizes, problem_.precision));
        product(pass, rows,
                {scratch, tile * rows.rows / tiles, (tile + 1) * rows.rows / tiles,
                 block * panels / blocks, (block + 1) * panels / blocks});
      });
    };
    over_rows(hidden, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        std::memcpy(rows.states + r * strides_.hidden,
                    problem_.states + slots_[first + r] * hidden,
                    hidden * sizeof(float));
      }
      kernels_.prepare(pass, rows, begin, end);
    });
    for (int64_t step = 0; step < problem_.steps; ++step) {
      pass.packed =
          static_cast<const char*>(problem_.packed[step]) + kHeaderBytes;
      over_parts(3 * hidden, hidden, kernels_.project);
      const int64_t parts =
          threads == 1 ? 1
                       : std::min(heads, DivideUp(2 * threads, texts.size()));
      const int64_t attention_cost =
          rows.rows * rows.rows / texts.size() * hidden / 8;
      parallel_for(
          texts.size() * parts, attention_cost / parts, [&](int64_t i) {
            const Text& text = texts_[texts.first + i / parts];
            const int64_t part = i % parts;
            void* const scratch = ThreadMemory(
                kAttention,
                kernels_.attention_bytes(problem_.sizes, text.tokens));
            kernels_.attend(pass, rows, text.first - first, text.tokens,
                            part * heads / parts, (part + 1) * heads / parts,
                            scratch);
          });
      over_parts(hidden, hidden, kernels_.add_attention);
      over_rows(hidden, [&](int64_t begin, int64_t end) {
        kernels_.normalise(pass, rows, false, begin, end);
      });
      over_parts(problem_.sizes.inner, hidden, kernels_.widen);
      over_parts(hidden, problem_.sizes.inner, kernels_.add_inner);
      over_rows(hidden, [&](int64_t begin, int64_t end) {
        kernels_.normalise(pass, rows, true, begin, end);
        if (problem_.outputs[step] == nullptr) return;
        for (int64_t r = begin; r < end; ++r) {
          kernels_.write(rows.states + r * strides_.hidden, hidden,
                         problem_.output_dtype,
                         static_cast<char*>(problem_.outputs[step]) +
                             slots_[first + r] * hidden *
                                 SizeOf(problem_.output_dtype));
        }
      });
    }
  }

  const EncoderProblem& problem_;
  const EncoderKernels& kernels_;
  const EncoderStrides strides_;
  std::vector<int64_t> slots_;  // of real tokens: b * tokens + t
  std::vector<Text> texts_;
  int64_t longest_ = 0;
};

}  // namespace

size_t PackedLayerBytes(const EncoderSizes& sizes, DType precision) {
  return kHeaderBytes +
         ChosenVariant().encoder_kernels().packed_bytes(sizes, precision);
}

void PackLayer(const EncoderSizes& sizes, DType precision,
               const EncoderWeights& weights, void* packed) {
  const EncoderKernels& kernels = ChosenVariant().encoder_kernels();
  const Header header = HeaderOf(sizes, precision, kernels);
  std::memset(packed, 0, kHeaderBytes);
  std::memcpy(packed, &header, sizeof header);
  kernels.pack(sizes, precision, weights,
               static_cast<char*>(packed) + kHeaderBytes);
}

std::string CheckPackedLayer(const EncoderSizes& sizes, DType precision,
                             const void* packed, size_t bytes) {
  const EncoderKernels& kernels = ChosenVariant().encoder_kernels();
  if (bytes != PackedLayerBytes(sizes, precision)) {
    return "packed layer: received " + std::to_string(bytes) +
           " bytes, expected " +
           std::to_string(PackedLayerBytes(sizes, precision));
  }
  const Header expected = HeaderOf(sizes, precision, kernels);
  if (std::memcmp(packed, &expected, sizeof expected) != 0) {
    return std::string("packed layer: made for other sizes or for another "
                       "instruction set than ") +
           kernels.name;
  }
  return "";
}

void EncodeLayers(const EncoderProblem& problem, int64_t threads,
                  const ParallelFor& parallel_for) {
  Encoding encoding(problem, ChosenVariant().encoder_kernels());
  encoding.ClearPadding();
  encoding.Run(threads, parallel_for);
}

}  // namespace cpu
}  // namespace bvkeras
