// The CPU's side of the contract: finds the real tokens, cuts them into
// chunks, runs the variant that suits the processor on each, and adds up what
// the chunks give.
//
// Chunks depend on sizes and mask alone, and their sums are added in order:
// results do not depend on threads.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "memory.h"
#include "tile_kernels.h"
#include "variants.h"

namespace bvkeras {

std::string Check(const Problem& problem) {
  const auto number = [](int64_t value) { return std::to_string(value); };
  if (problem.batch < 0 || problem.tokens < 0) {
    return "hidden_states: negative batch or tokens";
  }
  for (const auto& [name, value] :
       {std::pair<const char*, int64_t>{"layers", problem.layers},
        {"features", problem.features},
        {"units", problem.units}}) {
    if (value < 1) {
      return std::string(name) + ": received " + number(value) +
             ", expected at least 1";
    }
  }
  if (problem.outputs < 0) {
    return "outputs: received " + number(problem.outputs) +
           ", expected at least 0";
  }
  if (problem.positions != 0 && problem.positions < problem.tokens) {
    return "projection: received " + number(problem.positions) +
           " positions, expected at least " + number(problem.tokens) +
           ", as hidden_states has tokens";
  }
  if (problem.pooled_dtype == DType::kInt8) {
    return "pooled dtype: received int8, expected float32, bfloat16 or "
           "float16";
  }
  return "";
}

namespace cpu {
namespace {

constexpr int64_t kMaxChunks = 32;
constexpr int64_t kMinChunkRows = 512;
constexpr int64_t kTileBytes = 256 << 10;

bool PerPosition(const Problem& problem) {
  return problem.outputs > 0 && problem.positions > 0;
}

// Real tokens as b * tokens + t; see Pass::order.
std::vector<int64_t> RealTokens(const Problem& problem) {
  std::vector<int64_t> order;
  const int64_t all = problem.batch * problem.tokens;
  // The other of the two may be as large as it likes.
  if (all == 0) return order;
  order.reserve(all);
  const auto add = [&](int64_t b, int64_t t) {
    const int64_t token = b * problem.tokens + t;
    const bool real = problem.mask != nullptr      ? problem.mask[token]
                      : problem.lengths != nullptr ? t < problem.lengths[b]
                                                   : true;
    if (real) order.push_back(token);
  };
  if (PerPosition(problem)) {
    for (int64_t t = 0; t < problem.tokens; ++t) {
      for (int64_t b = 0; b < problem.batch; ++b) add(b, t);
    }
  } else {
    for (int64_t b = 0; b < problem.batch; ++b) {
      for (int64_t t = 0; t < problem.tokens; ++t) add(b, t);
    }
  }
  return order;
}

// Tokens, tiles and chunks of one pass, and the packed W.
class Plan {
 public:
  enum class Direction { kForward, kBackward, kBackwardHiddenStates };

  // `computes_z`: no stash holds Z, so W is needed.
  Plan(const Problem& problem, Direction direction, bool computes_z)
      : problem_(problem),
        kernels_(ChosenVariant().tile_kernels()),
        order_(RealTokens(problem)) {
    pass_.problem = &problem_;
    pass_.padded_units = RoundUp(problem.units, kUnitPad);
    pass_.padded_features = RoundUp(problem.features, kFeaturePad);
    pass_.order = order_.data();
    pass_.tile_tokens = TileTokens(direction);
    pass_.tile_rows = pass_.tile_tokens * problem.layers;

    bias_ = std::make_unique<Buffer>(pass_.padded_units * sizeof(float));
    std::fill_n(bias_->floats(), pass_.padded_units, 0.0f);
    if (problem.bias != nullptr) {
      std::copy_n(problem.bias, problem.units, bias_->floats());
    }
    pass_.padded_bias = bias_->floats();

    if (computes_z) {
      packed_ = std::make_unique<Buffer>(kernels_.packed_kernel_bytes(pass_));
      kernels_.pack_kernel(pass_, packed_->get());
      pass_.packed_kernel = packed_->get();
    }
    if (direction == Direction::kBackwardHiddenStates) {
      transpose_ =
          std::make_unique<Buffer>(kernels_.packed_transpose_bytes(pass_));
      kernels_.pack_transpose(pass_, transpose_->get());
      pass_.packed_transpose = transpose_->get();
    }
    scratch_bytes_ = kernels_.scratch_bytes(pass_);
    chunks_ = Chunks(direction);
  }

  Pass& pass() { return pass_; }
  const TileKernels& kernels() const { return kernels_; }
  int64_t tokens() const { return order_.size(); }
  int64_t chunks() const { return chunks_; }
  size_t scratch_bytes() const { return scratch_bytes_; }

  // First token of a chunk, in the order; whole tiles.
  int64_t ChunkStart(int64_t chunk) const {
    const int64_t tiles = DivideUp(tokens(), pass_.tile_tokens);
    return std::min(tokens(), tiles * chunk / chunks_ * pass_.tile_tokens);
  }

  // Cycles of one product over a chunk, about.
  int64_t ChunkCost() const {
    return tokens() / std::max<int64_t>(chunks_, 1) * problem_.layers *
           problem_.features * pass_.padded_units / 16;
  }

  int64_t Position(int64_t i) const { return order_[i] % problem_.tokens; }

 private:
  int64_t TileTokens(Direction direction) const {
    const int64_t token_bytes = problem_.layers * problem_.features *
                                std::max<int64_t>(SizeOf(problem_.dtype), 2);
    int64_t bytes = kTileBytes;
    int64_t rows = kTileRows;
    const int64_t sum_bytes =
        pass_.padded_units * pass_.padded_features * sizeof(float);
    if (direction == Direction::kBackward && sum_bytes > kTileBytes / 2) {
      // The chunk's sums do not stay in the cache with two tiles: they should
      // be read and written less often.
      bytes *= 2;
      rows *= 3;
    }
    const int64_t fit = std::min(bytes / token_bytes, rows / problem_.layers);
    // Eights fill the blocks of rows that the products take.
    return fit >= 8 ? fit / 8 * 8 : std::max<int64_t>(fit, 1);
  }

  int64_t Chunks(Direction direction) const {
    const int64_t rows = tokens() * problem_.layers;
    int64_t chunks = std::min(kMaxChunks, rows / kMinChunkRows);
    if (direction == Direction::kBackward) {
      // The chunks' own sums take at most a 16th of H, or four times W.
      const int64_t sum_bytes =
          pass_.padded_units * pass_.padded_features * sizeof(float);
      const int64_t hidden_bytes =
          rows * problem_.features * SizeOf(problem_.dtype);
      chunks = std::min(chunks, std::max<int64_t>(
                                    4, hidden_bytes / 16 / sum_bytes));
    }
    // Threads that share a power of two evenly are the most common.
    while (chunks & (chunks - 1)) chunks &= chunks - 1;
    const int64_t tiles = DivideUp(tokens(), pass_.tile_tokens);
    return std::max<int64_t>(std::min(chunks, tiles), tiles > 0 ? 1 : 0);
  }

  const Problem problem_;
  const TileKernels& kernels_;
  const std::vector<int64_t> order_;
  Pass pass_ = {};
  std::unique_ptr<Buffer> bias_, packed_, transpose_;
  size_t scratch_bytes_ = 0;
  int64_t chunks_ = 0;
};

}  // namespace

size_t StashBytes(const Problem& problem) {
  if (problem.stash == Stash::kNone) return 0;
  int64_t tokens = problem.batch * problem.tokens;
  if (problem.mask != nullptr) {
    tokens = std::count(problem.mask, problem.mask + tokens, true);
  } else if (problem.lengths != nullptr) {
    tokens = 0;
    for (int64_t b = 0; b < problem.batch; ++b) tokens += problem.lengths[b];
  }
  return tokens * problem.layers * RoundUp(problem.units, kUnitPad) *
         SizeOf(problem.stash);
}

void Forward(const Problem& problem, void* output, void* stash,
             const ParallelFor& parallel_for) {
  Plan plan(problem, Plan::Direction::kForward, true);
  plan.pass().output = output;
  plan.pass().stash_out = stash;
  const int64_t all = problem.batch * problem.tokens;
  if (plan.tokens() < all) {
    const int64_t token_bytes =
        problem.outputs > 0
            ? problem.outputs * sizeof(float)
            : problem.layers * problem.units * SizeOf(problem.pooled_dtype);
    std::memset(output, 0, all * token_bytes);
  }
  parallel_for(plan.chunks(), plan.ChunkCost(), [&](int64_t c) {
    Chunk chunk = {};
    chunk.first = plan.ChunkStart(c);
    chunk.last = plan.ChunkStart(c + 1);
    chunk.scratch = ThreadMemory(kChunkScratch, plan.scratch_bytes());
    plan.kernels().forward(plan.pass(), chunk);
  });
}

void Backward(const Problem& problem, const void* output_gradient,
              const void* stash, float* kernel_gradient, float* bias_gradient,
              float* projection_gradient, const ParallelFor& parallel_for) {
  Plan plan(problem, Plan::Direction::kBackward, stash == nullptr);
  plan.pass().output_gradient = output_gradient;
  plan.pass().stash_in = stash;
  const int64_t units = plan.pass().padded_units;
  const int64_t features = plan.pass().padded_features;
  const int64_t projection_size =
      problem.layers * problem.units * problem.outputs;
  const bool per_position = PerPosition(problem);
  const int64_t chunks = plan.chunks();
  float* const kernel_sums = static_cast<float*>(ThreadMemory(
      kPassSums, chunks * (units * features + units + projection_size) *
                     sizeof(float)));
  float* const bias_sums = kernel_sums + chunks * units * features;
  float* const projection_sums = bias_sums + chunks * units;
  if (projection_gradient != nullptr) {
    std::fill_n(projection_gradient,
                projection_size * (per_position ? problem.positions : 1),
                0.0f);
  }

  // Whether a chunk's first position begins in the chunk before it.
  const auto continues = [&](int64_t c) {
    const int64_t first = plan.ChunkStart(c);
    return first > 0 && plan.Position(first - 1) == plan.Position(first);
  };
  parallel_for(chunks, 2 * plan.ChunkCost(), [&](int64_t task) {
    // The forward pass has read the last chunks last.
    const int64_t c = chunks - 1 - task;
    Chunk chunk = {};
    chunk.first = plan.ChunkStart(c);
    chunk.last = plan.ChunkStart(c + 1);
    chunk.scratch = ThreadMemory(kChunkScratch, plan.scratch_bytes());
    chunk.kernel_sum = kernel_sums + c * units * features;
    chunk.bias_sum = bias_sums + c * units;
    chunk.projection_gradient = projection_gradient;
    if (problem.outputs > 0 && (!per_position || continues(c))) {
      chunk.projection_sum = projection_sums + c * projection_size;
    }
    std::fill_n(chunk.kernel_sum, units * features, 0.0f);
    std::fill_n(chunk.bias_sum, units, 0.0f);
    plan.kernels().backward(plan.pass(), chunk);
  });

  if (problem.outputs > 0) {
    for (int64_t c = 0; c < chunks; ++c) {
      if (per_position && !continues(c)) continue;
      const int64_t position =
          per_position ? plan.Position(plan.ChunkStart(c)) : 0;
      float* sum = projection_gradient + position * projection_size;
      const float* part = projection_sums + c * projection_size;
      for (int64_t i = 0; i < projection_size; ++i) sum[i] += part[i];
    }
  }
  std::fill_n(bias_gradient, problem.units, 0.0f);
  for (int64_t c = 0; c < chunks; ++c) {
    const float* part = bias_sums + c * units;
    for (int64_t a = 0; a < problem.units; ++a) bias_gradient[a] += part[a];
  }
  // dW from the chunks' dW^T, a block of features a task.
  constexpr int64_t kBlock = kFeaturePad;
  parallel_for(features / kBlock, chunks * problem.units * kBlock,
               [&](int64_t block) {
    const int64_t start = block * kBlock;
    const int64_t width = std::min(kBlock, problem.features - start);
    for (int64_t a = 0; a < problem.units; ++a) {
      float sum[kBlock] = {};
      for (int64_t c = 0; c < chunks; ++c) {
        const float* part =
            kernel_sums + (c * units + a) * features + start;
        for (int64_t e = 0; e < kBlock; ++e) sum[e] += part[e];
      }
      for (int64_t e = 0; e < width; ++e) {
        kernel_gradient[(start + e) * problem.units + a] = sum[e];
      }
    }
  });
}

void BackwardHiddenStates(const Problem& problem, const void* output_gradient,
                          const void* stash, void* const* gradient,
                          const ParallelFor& parallel_for) {
  Plan plan(problem, Plan::Direction::kBackwardHiddenStates,
            stash == nullptr);
  plan.pass().output_gradient = output_gradient;
  plan.pass().stash_in = stash;
  plan.pass().hidden_states_gradient = gradient;
  const int64_t all = problem.batch * problem.tokens;
  if (plan.tokens() < all) {
    const int64_t blocks = problem.stacked ? 1 : problem.layers;
    const int64_t rows = problem.stacked ? problem.layers : 1;
    for (int64_t i = 0; i < blocks; ++i) {
      std::memset(gradient[i], 0,
                  all * rows * problem.features * SizeOf(problem.dtype));
    }
  }
  parallel_for(plan.chunks(), 2 * plan.ChunkCost(), [&](int64_t c) {
    Chunk chunk = {};
    chunk.first = plan.ChunkStart(c);
    chunk.last = plan.ChunkStart(c + 1);
    chunk.scratch = ThreadMemory(kChunkScratch, plan.scratch_bytes());
    plan.kernels().backward_hidden_states(plan.pass(), chunk);
  });
}

}  // namespace cpu
}  // namespace bvkeras
