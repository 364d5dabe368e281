// The three passes over a chunk of tokens.

template <class S>
class Engine {
 public:
  using Layout = TileLayout<S>;
  using Rows = TileRows<S>;
  using Outputs = TileOutputs<S>;
  using Scratch = TileScratch<S>;
  using Vec = typename S::Vec;
  static constexpr int64_t kLanes = S::kLanes;

  static size_t ScratchBytes(const Pass& pass) {
    return Scratch(pass, nullptr).bytes;
  }

  static void Forward(const Pass& pass, const Chunk& chunk) {
    if constexpr (S::kHasBFloat16Dot) {
      if (Layout::Widens(pass))
        return Forward<typename Layout::Int8Core>(pass, chunk);
      if (Layout::UsesBFloat16(pass))
        return Forward<BFloat16Core<S>>(pass, chunk);
    }
    Forward<FloatCore<S>>(pass, chunk);
  }

  static void Backward(const Pass& pass, const Chunk& chunk) {
    if constexpr (S::kHasBFloat16Dot) {
      if (Layout::Widens(pass))
        return Backward<typename Layout::Int8Core>(pass, chunk);
      if (Layout::UsesBFloat16(pass))
        return Backward<BFloat16Core<S>>(pass, chunk);
    }
    Backward<FloatCore<S>>(pass, chunk);
  }

  static void BackwardHiddenStates(const Pass& pass, const Chunk& chunk) {
    if constexpr (S::kHasBFloat16Dot) {
      if (Layout::UsesBFloat16(pass)) {
        return BackwardHiddenStates<BFloat16Core<S>>(pass, chunk);
      }
    }
    BackwardHiddenStates<FloatCore<S>>(pass, chunk);
  }

 private:
  static_assert(kUnitPad % S::kLanes == 0 && kFeaturePad % S::kLanes == 0,
                "padding fills whole vectors");
  static_assert(kUnitPad % S::kOuterUnits == 0 &&
                    kUnitPad % S::kOuterPairUnits == 0,
                "padding fills whole blocks of units");

  // Rows are widened a block at a time, to be multiplied while they are in
  // the first-level cache; all at once where W is read a panel at a time.
  template <class Core>
  static void MultiplyWidened(const Pass& pass, int64_t row_count,
                              const Scratch& scratch) {
    const int64_t features = Layout::Features(pass);
    const int64_t block =
        Product<S, Core>::KernelIsSmall(features, pass.padded_units / kLanes)
            ? S::kForwardRows
            : row_count;
    for (int64_t first = 0; first < row_count; first += block) {
      const int64_t left = row_count - first;
      const int64_t count = left < block ? left : block;
      auto* out = static_cast<typename Core::Row*>(scratch.copied_rows);
      const void** widened = scratch.rows + 2 * pass.tile_rows;
      for (int64_t r = 0; r < count; ++r, out += features) {
        Core::WidenRow(scratch.rows[first + r],
                       scratch.rows[first + r + S::kForwardRows], features,
                       out);
        widened[S::kForwardRows + r] = out;
      }
      Product<S, Core>::Multiply(
          widened + S::kForwardRows, false, count, features, pass.packed_kernel,
          pass.padded_units / kLanes, scratch.z + first * pass.padded_units,
          pass.padded_units);
    }
  }

  // Z of a tile, from its rows.
  template <class Core>
  static void ComputeZ(const Pass& pass, int64_t row_count,
                       const Scratch& scratch) {
    if constexpr (Core::kWidens) {
      MultiplyWidened<Core>(pass, row_count, scratch);
    } else {
      Product<S, Core>::Multiply(scratch.rows, Layout::ReadsInPlace(pass),
                                 row_count, Layout::Features(pass),
                                 pass.packed_kernel, pass.padded_units / kLanes,
                                 scratch.z, pass.padded_units);
    }
    const bool scaled = pass.problem->dtype == DType::kInt8;
    for (int64_t r = 0; r < row_count; ++r) {
      float* z = scratch.z + r * pass.padded_units;
      const Vec scale = S::Set1(scaled ? scratch.row_scales[r] : 1.0f);
      for (int64_t a = 0; a < pass.padded_units; a += kLanes) {
        S::Store(z + a,
                 S::Fma(S::Load(z + a), scale, S::Load(pass.padded_bias + a)));
      }
    }
  }

  static void SaveZ(const Pass& pass, int64_t first_row, int64_t row_count,
                    const float* z) {
    if (pass.problem->stash == Stash::kNone) return;
    const DType dtype = StashType(pass.problem->stash);
    const int64_t start = first_row * pass.padded_units;
    // Beyond, a half type has infinity alone, and dV would. NaN stays NaN.
    const Vec most = S::Set1(LargestKept(dtype));
    const Vec least = S::Set1(-LargestKept(dtype));
    for (int64_t i = 0; i < row_count * pass.padded_units; i += kLanes) {
      StoreAs<S>(pass.stash_out, dtype, start + i, kLanes,
                 S::Max(least, S::Min(most, S::Load(z + i))));
    }
  }

  static void RestoreZ(const Pass& pass, int64_t first_row, int64_t row_count,
                       float* z) {
    const DType dtype = StashType(pass.problem->stash);
    const int64_t start = first_row * pass.padded_units;
    for (int64_t i = 0; i < row_count * pass.padded_units; i += kLanes) {
      S::Store(z + i, LoadAs<S>(pass.stash_in, dtype, start + i, kLanes));
    }
  }

  template <class Core>
  static void Forward(const Pass& pass, const Chunk& chunk) {
    const Problem& problem = *pass.problem;
    const Scratch scratch(pass, chunk.scratch);
    typename Outputs::Positions positions{pass, chunk, scratch, false};
    const typename Outputs::TokenForward project =
        problem.approximate
            ? Outputs::template ChooseForward<true>(problem.outputs)
            : Outputs::template ChooseForward<false>(problem.outputs);
    const auto write_pooled = problem.approximate
                                  ? Outputs::template WritePooled<true>
                                  : Outputs::template WritePooled<false>;
    for (int64_t i = chunk.first; i < chunk.last; i += pass.tile_tokens) {
      const int64_t end = Rows::TileEnd(pass, chunk, i);
      const int64_t row_count = (end - i) * problem.layers;
      Rows::template PrepareRows<Core>(pass, chunk, i, scratch);
      ComputeZ<Core>(pass, row_count, scratch);
      SaveZ(pass, i * problem.layers, row_count, scratch.z);
      if (problem.outputs == 0) {
        write_pooled(pass, i, end, scratch.z);
        continue;
      }
      for (int64_t k = i; k < end; ++k) {
        positions.MoveTo(pass.order[k]);
        project(pass, pass.order[k],
                scratch.z + (k - i) * problem.layers * pass.padded_units,
                scratch);
      }
    }
  }

  // dZ of a tile in scratch.z; its rows must be there where Z is not stashed.
  template <class Core, bool kSums>
  static void ComputeZGradient(const Pass& pass, int64_t first, int64_t last,
                               const Scratch& scratch,
                               typename Outputs::Positions* positions,
                               float* bias_sum) {
    const Problem& problem = *pass.problem;
    const int64_t row_count = (last - first) * problem.layers;
    if (pass.stash_in != nullptr) {
      RestoreZ(pass, first * problem.layers, row_count, scratch.z);
    } else {
      ComputeZ<Core>(pass, row_count, scratch);
    }
    if (problem.outputs == 0) {
      (problem.approximate
           ? Outputs::template PooledToZ<true>
           : Outputs::template PooledToZ<false>)(pass, first, last, scratch.z,
                                                 bias_sum);
      return;
    }
    const typename Outputs::TokenBackward to_z =
        problem.approximate
            ? Outputs::template ChooseBackward<true, kSums>(problem.outputs)
            : Outputs::template ChooseBackward<false, kSums>(problem.outputs);
    for (int64_t i = first; i < last; ++i) {
      positions->MoveTo(pass.order[i]);
      to_z(pass, pass.order[i],
           scratch.z + (i - first) * problem.layers * pass.padded_units,
           scratch, bias_sum);
    }
  }

  template <class Core>
  static void Backward(const Pass& pass, const Chunk& chunk) {
    const Problem& problem = *pass.problem;
    const Scratch scratch(pass, chunk.scratch);
    typename Outputs::Positions positions{pass, chunk, scratch, true};
    __builtin_memset(scratch.zero_row, 0,
                     pass.padded_features * sizeof(typename Core::Row));
    for (int64_t i = chunk.first; i < chunk.last; i += pass.tile_tokens) {
      const int64_t end = Rows::TileEnd(pass, chunk, i);
      const int64_t row_count = (end - i) * problem.layers;
      Rows::template PrepareRows<Core>(pass, chunk, i, scratch);
      __builtin_memset(scratch.bias_sum, 0, pass.padded_units * 4);
      ComputeZGradient<Core, true>(pass, i, end, scratch, &positions,
                                   scratch.bias_sum);
      for (int64_t a = 0; a < pass.padded_units; ++a) {
        chunk.bias_sum[a] += scratch.bias_sum[a];
      }
      if (problem.dtype == DType::kInt8) {
        for (int64_t r = 0; r < row_count; ++r) {
          float* dz = scratch.z + r * pass.padded_units;
          const Vec scale = S::Set1(scratch.row_scales[r]);
          for (int64_t a = 0; a < pass.padded_units; a += kLanes) {
            S::Store(dz + a, S::Mul(S::Load(dz + a), scale));
          }
        }
      }
      const void* gradient = Core::PrepareGradient(
          scratch.z, row_count, pass.padded_units, scratch.prepared);
      // The next tile is fetched row by row with this one.
      const bool ahead = Layout::ReadsInPlace(pass) &&
                         Rows::TileEnd(pass, chunk, end) - end == end - i;
      OuterProduct<S, Core>::Add(
          scratch.rows, ahead ? scratch.rows + row_count : nullptr,
          scratch.block, row_count, Layout::Features(pass), gradient,
          problem.units, pass.padded_units, chunk.kernel_sum,
          pass.padded_features);
    }
    positions.Flush();
    Core::UnshuffleSum(chunk.kernel_sum, pass.padded_units,
                       pass.padded_features);
  }

  template <class Core>
  static void BackwardHiddenStates(const Pass& pass, const Chunk& chunk) {
    const Problem& problem = *pass.problem;
    const Scratch scratch(pass, chunk.scratch);
    typename Outputs::Positions positions{pass, chunk, scratch, false};
    for (int64_t i = chunk.first; i < chunk.last; i += pass.tile_tokens) {
      const int64_t end = Rows::TileEnd(pass, chunk, i);
      const int64_t row_count = (end - i) * problem.layers;
      if (pass.stash_in == nullptr) {
        Rows::template PrepareRows<Core>(pass, chunk, i, scratch);
      }
      ComputeZGradient<Core, false>(pass, i, end, scratch, &positions, nullptr);
      for (int64_t r = 0; r < row_count; ++r) {
        scratch.rows[r] = scratch.z + r * pass.padded_units;
      }
      Product<S, FloatCore<S>>::Multiply(
          scratch.rows, false, row_count, pass.padded_units,
          pass.packed_transpose, pass.padded_features / kLanes, scratch.hidden,
          pass.padded_features);
      int64_t r = 0;
      for (int64_t k = i; k < end; ++k) {
        for (int64_t l = 0; l < problem.layers; ++l, ++r) {
          Rows::WriteRow(pass, pass.order[k], l,
                         scratch.hidden + r * pass.padded_features);
        }
      }
    }
  }
};

template <class S>
constexpr TileKernels MakeTileKernels(const char* name) {
  return {name,
          Packing<S>::PackedKernelBytes,
          Packing<S>::PackKernel,
          Packing<S>::PackedTransposeBytes,
          Packing<S>::PackTranspose,
          Engine<S>::ScratchBytes,
          Engine<S>::Forward,
          Engine<S>::Backward,
          Engine<S>::BackwardHiddenStates};
}
