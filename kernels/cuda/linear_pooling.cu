// Linear pooling on a GPU: the launchers of launchers.h.
//
//     Z[b,t,l,a] = sum_e H[b,t,l,e] W[e,a] + b[a]
//     Y          = GELU(Z)
//     P[b,t,c]   = sum_{l,a} Y[b,t,l,a] V[(t,)l,a,c]
//
// and the gradients of W, b, V and H; linear_pooling.h has the contract.
//
//     forward    order, pack           the real tokens; W as operands
//                forward.cuh           H -> Z -> stash, and Y or P
//     backward   order (, pack)
//                gradient.cuh          stash, or H -> Z -> dZ, and parts of
//                                      db and dV
//                weights_gradient.cuh  H, dZ -> parts of dW
//                sums.cuh              parts -> dW, db, dV
//     dH         order, pack, gradient.cuh, then
//                hidden_states_gradient.cuh    dZ, W -> dH
//
// H is read once in the forward pass and once in the backward pass, or twice
// there where Z was not kept. Beyond 128 units it is so for each 128 of them:
// there a GPU is bound by products, which bvkeras leaves to TensorFlow's
// matmul. Two passes more do what follows them:
//
//     forward    epilogue.cuh          H W -> Y, or parts of P
//     backward   epilogue.cuh          H W -> its gradient, and parts of db
//                                      and dV
//                sums.cuh, after both  parts -> P, db, dV
//
// No atomic is used, and no sum depends on the order in which blocks run.
//
// How this was checked: the same source, run on a CPU by host_emulation/ in
// many orders of its threads, against float64 and under sanitizers; with
// planted bugs (tests/mutants/); and by what ptxas makes of it
// (tests/cuda/gates.py). docs/kernels.md tells the whole of it. It was
// compiled and emulated, not yet run on a GPU.

#include "linear_pooling.h"

#include "epilogue.cuh"
#include "forward.cuh"
#include "gradient.cuh"
#include "hidden_states_gradient.cuh"
#include "launchers.h"
#include "plan.h"
#include "sums.cuh"
#include "weights_gradient.cuh"

namespace bvkeras {
namespace cuda {
namespace {

bool IsAligned(const void* array, int64_t row_bytes) {
  return reinterpret_cast<uintptr_t>(array) % kLoadBytes == 0 &&
         row_bytes % kLoadBytes == 0;
}

Rows MakeRows(const Problem& problem, const Plan& plan,
              const Workspace& workspace) {
  Rows rows = {};
  const int64_t blocks = problem.stacked ? 1 : problem.layers;
  const int64_t row_bytes = problem.features * SizeOf(problem.dtype);
  rows.aligned = true;
  for (int64_t i = 0; i < blocks; ++i) {
    rows.hidden_states[i] = problem.hidden_states[i];
    if (problem.scales != nullptr) rows.scales[i] = problem.scales[i];
    rows.aligned = rows.aligned && IsAligned(rows.hidden_states[i], row_bytes);
  }
  rows.order = workspace.order;
  rows.count = workspace.count;
  rows.batch = problem.batch;
  rows.tokens = problem.tokens;
  rows.layers = problem.layers;
  rows.features = problem.features;
  rows.stacked = problem.stacked;
  rows.by_position = plan.by_position;
  return rows;
}

Weights MakeWeights(const Problem& problem, const Plan& plan,
                    const Workspace& workspace) {
  Weights weights = {};
  weights.packed = workspace.packed;
  weights.bias = problem.bias;
  weights.projection = problem.projection;
  weights.units = problem.units;
  weights.padded_units = plan.padded_units;
  weights.unit_blocks = plan.unit_blocks;
  weights.outputs = problem.outputs;
  weights.by_position = plan.by_position;
  weights.approximate = problem.approximate;
  return weights;
}

DType TypeOf(Stash stash) {
  return stash == Stash::kBFloat16  ? DType::kBFloat16
         : stash == Stash::kFloat16 ? DType::kFloat16
                                    : DType::kFloat32;
}

const char* LastError() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

void Clear(void* memory, int64_t bytes, cudaStream_t stream) {
  if (bytes > 0) cudaMemsetAsync(memory, 0, bytes, stream);
}

bool HasPadding(const Problem& problem) {
  return problem.mask != nullptr || problem.lengths != nullptr;
}

// Calls visit with a number of a stored type.
template <typename Visit>
void ByType(DType dtype, Visit visit) {
  switch (dtype) {
    case DType::kBFloat16:
      return visit(__nv_bfloat16());
    case DType::kFloat16:
      return visit(__half());
    case DType::kInt8:
      return visit(int8_t());
    default:
      return visit(float());
  }
}

// And with the units of a block, as a constant.
template <typename Visit>
void ByTypeAndUnits(DType dtype, int64_t units, Visit visit) {
  ByType(dtype, [&](auto number) {
    if (units == 16) {
      visit(number, std::integral_constant<int, 16>());
    } else if (units == 64) {
      visit(number, std::integral_constant<int, 64>());
    } else {
      visit(number, std::integral_constant<int, 128>());
    }
  });
}

void FindOrder(const Problem& problem, const Plan& plan,
               const Workspace& workspace, cudaStream_t stream) {
  if (!HasPadding(problem)) return;
  OrderParameters p = {};
  p.mask = problem.mask;
  p.lengths = problem.lengths;
  p.batch = problem.batch;
  p.tokens = problem.tokens;
  p.by_position = plan.by_position;
  p.order = workspace.order;
  p.count = workspace.count;
  BVKERAS_LAUNCH(OrderKernel, 1, kPlainThreads,
                 kPlainThreads * sizeof(int32_t), stream, p);
}

void Pack(const Problem& problem, const Plan& plan,
          const Workspace& workspace, cudaStream_t stream) {
  PackParameters p = {};
  p.kernel = problem.kernel;
  p.packed = workspace.packed;
  p.features = problem.features;
  p.units = problem.units;
  p.padded_features = plan.padded_features;
  p.padded_units = plan.padded_units;
  ByType(problem.dtype, [&](auto number) {
    BVKERAS_LAUNCH(PackKernel<Operand<decltype(number)>>,
                   PlainBlocks(plan.padded_features * plan.padded_units),
                   kPlainThreads, 0, stream, p);
  });
}

void Add(const float* parts, int64_t part_size, int64_t count, int64_t rows,
         int64_t width, int64_t stride, float* sums, cudaStream_t stream) {
  SumParameters p = {};
  p.parts = parts;
  p.part_size = part_size;
  p.rows = rows;
  p.count = count;
  p.width = width;
  p.stride = stride;
  p.sums = sums;
  BVKERAS_LAUNCH(SumKernel, PlainBlocks(rows * width), kPlainThreads, 0,
                 stream, p);
}

GradientParameters MakeGradient(const Problem& problem, const Plan& plan,
                                const Workspace& workspace,
                                const void* output_gradient,
                                const void* stash) {
  GradientParameters p = {};
  p.rows = MakeRows(problem, plan, workspace);
  p.weights = MakeWeights(problem, plan, workspace);
  p.stash = stash;
  p.stash_type = TypeOf(problem.stash);
  p.output_gradient = output_gradient;
  p.pooled_type = problem.pooled_dtype;
  p.chunks = plan.chunks;
  p.z_gradient = workspace.z_gradient;
  p.bias_parts = workspace.bias_parts;
  if (problem.outputs > 0 && workspace.bias_parts != nullptr) {
    p.projection_parts = workspace.projection_parts;
  }
  return p;
}

void FindZGradient(const Problem& problem, const Plan& plan,
                   const GradientParameters& p, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(plan.chunks * plan.unit_blocks);
  // From a stash, H is not read; only the type of dZ matters.
  const bool from_stash = p.stash != nullptr;
  const DType dtype = from_stash && problem.dtype == DType::kInt8
                          ? DType::kBFloat16
                          : problem.dtype;
  ByTypeAndUnits(dtype, plan.tile_units, [&](auto number, auto units) {
    using Stored = decltype(number);
    constexpr int kUnits = decltype(units)::value;
    using Multiplier = TileProduct<Stored, kUnits>;
    if (!from_stash) {
      BVKERAS_LAUNCH((GradientKernel<Stored, kUnits, false>), blocks,
                     kTileThreads, TileRows::kBytes + Multiplier::kBytes,
                     stream, p);
    } else if constexpr (!std::is_same_v<Stored, int8_t>) {
      BVKERAS_LAUNCH((GradientKernel<Stored, kUnits, true>), blocks,
                     kTileThreads, TileRows::kBytes + Multiplier::kZBytes,
                     stream, p);
    }
  });
}

// What both passes on products share. `pooled` is Y, its gradient, or null.
EpilogueParameters MakeEpilogue(const Problem& problem, const Plan& plan,
                                const Workspace& workspace,
                                const void* const* products,
                                const void* pooled) {
  Problem as_rows = problem;
  as_rows.dtype = problem.dtype == DType::kInt8 ? DType::kBFloat16
                                                : problem.dtype;
  as_rows.features = problem.units;
  as_rows.hidden_states = products;
  EpilogueParameters p = {};
  p.rows = MakeRows(as_rows, plan, workspace);
  p.weights = MakeWeights(problem, plan, workspace);
  if (pooled != nullptr) {
    p.rows.aligned =
        p.rows.aligned &&
        IsAligned(pooled, problem.units * SizeOf(problem.pooled_dtype));
  }
  p.mask = problem.mask;
  p.lengths = problem.lengths;
  p.pooled_type = problem.pooled_dtype;
  p.chunks = plan.epilogue_chunks;
  p.column_blocks = plan.column_blocks;
  return p;
}

// Calls visit with a number of the type that products have.
template <typename Visit>
void ByProductType(DType dtype, Visit visit) {
  ByType(dtype, [&](auto number) { visit(Operand<decltype(number)>()); });
}

}  // namespace

std::string CheckLimits(const Problem& problem) {
  const auto refuse = [](const char* name, int64_t received, int64_t most) {
    return std::string(name) + ": received " + std::to_string(received) +
           ", expected at most " + std::to_string(most) + " on a GPU";
  };
  constexpr int64_t kMost = (int64_t{1} << 31) - 1;
  if (problem.layers > kMaxLayers) {
    return refuse("layers", problem.layers, kMaxLayers);
  }
  // Factors first, so that their products do not overflow.
  for (const auto& [name, value] :
       {std::pair<const char*, int64_t>{"batch", problem.batch},
        {"tokens", problem.tokens},
        {"features", problem.features},
        {"units", problem.units},
        {"outputs", problem.outputs}}) {
    if (value > kMost / 256) return refuse(name, value, kMost / 256);
  }
  const Plan plan(problem);
  for (const auto& [name, value] :
       {std::pair<const char*, int64_t>{"batch times tokens", plan.tokens},
        {"layers times units times outputs",
         problem.layers * plan.padded_units *
             std::max<int64_t>(1, std::min(problem.outputs, kMost / 64))}}) {
    if (value > kMost / 64) return refuse(name, value, kMost / 64);
  }
  const int64_t blocks =
      std::max({plan.tiles * std::max(plan.unit_blocks,
                                      DivideUp(problem.features,
                                               kHiddenFeatures)),
                plan.splits * plan.feature_blocks * plan.unit_blocks,
                plan.epilogue_chunks * plan.column_blocks});
  if (blocks > kMost) return refuse("blocks of threads", blocks, kMost);
  return "";
}

size_t StashBytes(const Problem& problem) {
  return problem.batch * problem.tokens * problem.layers * problem.units *
         SizeOf(problem.stash);
}

size_t WorkspaceBytes(const Problem& problem, Pass pass) {
  return Workspace(problem, Plan(problem), pass, nullptr).bytes();
}

const char* Forward(const Problem& problem, void* output, void* stash,
                    void* workspace, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  const Plan plan(problem);
  if (plan.tokens == 0) return nullptr;
  const Workspace space(problem, plan, Pass::kForward, workspace);
  const bool projects = problem.outputs > 0;
  FindOrder(problem, plan, space, on);
  Pack(problem, plan, space, on);
  ForwardParameters p = {};
  p.rows = MakeRows(problem, plan, space);
  p.weights = MakeWeights(problem, plan, space);
  p.stash = problem.stash == Stash::kNone ? nullptr : stash;
  p.stash_type = TypeOf(problem.stash);
  p.output = space.output_parts != nullptr ? space.output_parts : output;
  p.pooled_type = problem.pooled_dtype;
  const int64_t numbers =
      plan.tokens *
      (projects ? problem.outputs : problem.layers * problem.units);
  if (HasPadding(problem)) {
    const int64_t bytes =
        projects ? sizeof(float) : SizeOf(problem.pooled_dtype);
    Clear(p.output,
          numbers * bytes *
              (space.output_parts != nullptr ? plan.unit_blocks : 1),
          on);
  }
  ByTypeAndUnits(
      problem.dtype, plan.tile_units, [&](auto number, auto units) {
        using Stored = decltype(number);
        constexpr int kUnits = decltype(units)::value;
        using Multiplier = TileProduct<Stored, kUnits>;
        BVKERAS_LAUNCH((ForwardKernel<Stored, kUnits>),
                       static_cast<unsigned>(plan.tiles * plan.unit_blocks),
                       kTileThreads, TileRows::kBytes + Multiplier::kBytes,
                       on, p);
      });
  if (space.output_parts != nullptr) {
    Add(space.output_parts, numbers, plan.unit_blocks, plan.tokens,
        problem.outputs, problem.outputs, static_cast<float*>(output), on);
  }
  return LastError();
}

const char* Backward(const Problem& problem, const void* output_gradient,
                     const void* stash, float* kernel_gradient,
                     float* bias_gradient, float* projection_gradient,
                     void* workspace, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  const Plan plan(problem);
  if (plan.by_position || plan.tokens == 0) {
    Clear(projection_gradient,
          std::max<int64_t>(1, problem.positions) * plan.projection_size *
              sizeof(float),
          on);
  }
  if (plan.tokens == 0) {
    Clear(kernel_gradient, problem.features * problem.units * sizeof(float),
          on);
    Clear(bias_gradient, problem.units * sizeof(float), on);
    return LastError();
  }
  const Workspace space(problem, plan, Pass::kBackward, workspace);
  FindOrder(problem, plan, space, on);
  if (stash == nullptr) Pack(problem, plan, space, on);
  GradientParameters p =
      MakeGradient(problem, plan, space, output_gradient, stash);
  p.projection_gradient = projection_gradient;
  FindZGradient(problem, plan, p, on);

  WeightsGradientParameters w = {};
  w.rows = p.rows;
  w.z_gradient = space.z_gradient;
  w.padded_units = plan.padded_units;
  w.feature_blocks = plan.feature_blocks;
  w.splits = plan.splits;
  w.parts = space.kernel_parts;
  ByTypeAndUnits(
      problem.dtype, plan.tile_units, [&](auto number, auto units) {
        using Stored = decltype(number);
        constexpr int kUnits = decltype(units)::value;
        BVKERAS_LAUNCH(
            (WeightsGradientKernel<Stored, kUnits>),
            static_cast<unsigned>(plan.feature_blocks * plan.splits *
                                  plan.unit_blocks),
            kWeightsThreads, (WeightsTile<Stored, kUnits>::kBytes), on, w);
      });

  Add(space.kernel_parts,
      plan.feature_blocks * kWeightsFeatures * plan.padded_units, plan.splits,
      problem.features, problem.units, plan.padded_units, kernel_gradient,
      on);
  Add(space.bias_parts, problem.units, plan.chunks, 1, problem.units, 0,
      bias_gradient, on);
  if (plan.by_position) {
    BVKERAS_LAUNCH(PositionSumKernel, PlainBlocks(plan.projection_size),
                   kPlainThreads, 0, on, p);
  } else if (problem.outputs > 0) {
    Add(space.projection_parts, plan.projection_size, plan.chunks, 1,
        plan.projection_size, 0, projection_gradient, on);
  }
  return LastError();
}

const char* BackwardHiddenStates(const Problem& problem,
                                 const void* output_gradient,
                                 const void* stash, void* const* gradient,
                                 void* workspace, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  const Plan plan(problem);
  if (plan.tokens == 0) return nullptr;
  const Workspace space(problem, plan, Pass::kBackwardHiddenStates,
                        workspace);
  const int64_t blocks = problem.stacked ? 1 : problem.layers;
  if (HasPadding(problem)) {
    const int64_t bytes = plan.tokens * problem.layers / blocks *
                          problem.features * SizeOf(problem.dtype);
    for (int64_t i = 0; i < blocks; ++i) Clear(gradient[i], bytes, on);
  }
  FindOrder(problem, plan, space, on);
  Pack(problem, plan, space, on);
  const GradientParameters p =
      MakeGradient(problem, plan, space, output_gradient, stash);
  FindZGradient(problem, plan, p, on);

  HiddenStatesGradientParameters h = {};
  h.rows = p.rows;
  h.packed = space.packed;
  h.z_gradient = space.z_gradient;
  h.padded_units = plan.padded_units;
  h.feature_blocks = DivideUp(problem.features, kHiddenFeatures);
  for (int64_t i = 0; i < blocks; ++i) h.gradient[i] = gradient[i];
  ByType(problem.dtype, [&](auto number) {
    using T = decltype(number);
    if constexpr (!std::is_same_v<T, int8_t>) {
      BVKERAS_LAUNCH(HiddenStatesGradientKernel<T>,
                     static_cast<unsigned>(plan.tiles * h.feature_blocks),
                     kTileThreads,
                     TileRows::kBytes + HiddenStatesTile<T>::kBytes, on, h);
    }
  });
  return LastError();
}

const char* ForwardOfProducts(const Problem& problem,
                              const void* const* products, void* output,
                              void* workspace, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  const Plan plan(problem);
  if (plan.tokens == 0) return nullptr;
  const Workspace space(problem, plan, Pass::kForwardOfProducts, workspace);
  const bool projects = problem.outputs > 0;
  EpilogueParameters p = MakeEpilogue(problem, plan, space, products,
                                      projects ? nullptr : output);
  p.output = projects ? space.output_parts : output;
  ByProductType(problem.dtype, [&](auto number) {
    BVKERAS_LAUNCH(EpilogueKernel<decltype(number)>,
                   static_cast<unsigned>(p.chunks * p.column_blocks),
                   kEpilogueThreads, 0, on, p);
  });
  if (projects) {
    Add(space.output_parts, plan.tokens * problem.outputs,
        plan.column_blocks * kEpilogueWarps, plan.tokens, problem.outputs,
        problem.outputs, static_cast<float*>(output), on);
  }
  return LastError();
}

const char* BackwardOfProducts(const Problem& problem,
                               const void* const* products,
                               const void* output_gradient,
                               void* const* product_gradients,
                               float* bias_gradient,
                               float* projection_gradient, void* workspace,
                               void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  const Plan plan(problem);
  // Positions that no token has.
  const int64_t used = plan.by_position && plan.tokens > 0 ? problem.tokens : 0;
  if (plan.by_position || plan.tokens == 0) {
    Clear(projection_gradient + used * plan.projection_size,
          (std::max<int64_t>(1, problem.positions) - used) *
              plan.projection_size * sizeof(float),
          on);
  }
  if (plan.tokens == 0) {
    Clear(bias_gradient, problem.units * sizeof(float), on);
    return LastError();
  }
  const Workspace space(problem, plan, Pass::kBackwardOfProducts, workspace);
  const bool projects = problem.outputs > 0;
  EpilogueParameters p =
      MakeEpilogue(problem, plan, space, products,
                   projects ? nullptr : output_gradient);
  const int64_t row_bytes = problem.units * plan.operand_bytes;
  for (int64_t i = 0; i < (problem.stacked ? 1 : problem.layers); ++i) {
    p.product_gradients[i] = product_gradients[i];
    p.rows.aligned = p.rows.aligned && IsAligned(product_gradients[i],
                                                 row_bytes);
  }
  p.output_gradient = output_gradient;
  p.bias_parts = space.bias_parts;
  p.projection_parts =
      plan.by_position ? projection_gradient : space.projection_parts;
  ByProductType(problem.dtype, [&](auto number) {
    BVKERAS_LAUNCH(EpilogueGradientKernel<decltype(number)>,
                   static_cast<unsigned>(p.chunks * p.column_blocks),
                   kEpilogueThreads, 0, on, p);
  });
  // By chunks, then by layers: one long sum would round more.
  const int64_t size = problem.layers * problem.units;
  float* const layers = space.bias_parts + plan.epilogue_chunks * size;
  Add(space.bias_parts, size, plan.epilogue_chunks, 1, size, 0, layers, on);
  Add(layers, problem.units, problem.layers, 1, problem.units, 0,
      bias_gradient, on);
  if (projects && !plan.by_position) {
    Add(space.projection_parts, plan.projection_size, plan.epilogue_chunks, 1,
        plan.projection_size, 0, projection_gradient, on);
  }
  return LastError();
}

int DriverVersion() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

int BuildVersion() { return CUDART_VERSION; }

}  // namespace cuda
}  // namespace bvkeras
