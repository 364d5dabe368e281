// The three passes over a chunk of tokens.

template <class S>
class Engine {
 public:
  static size_t PackedKernelBytes(const Pass& pass) {
    return pass.padded_features * pass.padded_units *
           (UsesBFloat16(pass) ? 2 : 4);
  }

  static void PackKernel(const Pass& pass, void* packed) {
    if constexpr (S::kHasBFloat16Dot) {
      if (UsesBFloat16(pass)) return Pack<BFloat16Core<S>>(pass, packed);
    }
    Pack<FloatCore<S>>(pass, packed);
  }

  // W^T [units, features] in panels of features, for dH = dZ W^T.
  static size_t PackedTransposeBytes(const Pass& pass) {
    return pass.padded_features * pass.padded_units * 4;
  }

  static void PackTranspose(const Pass& pass, void* packed) {
    const Problem& problem = *pass.problem;
    const int64_t vectors = pass.padded_features / S::kLanes;
    const int64_t panels = Product<S, FloatCore<S>>::Panels(vectors);
    float* out = static_cast<float*>(packed);
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t begin = PanelStart(p, panels, vectors) * S::kLanes;
      const int64_t end = PanelStart(p + 1, panels, vectors) * S::kLanes;
      for (int64_t a = 0; a < pass.padded_units; ++a) {
        for (int64_t e = begin; e < end; ++e) {
          const bool inside = a < problem.units && e < problem.features;
          *out++ = inside ? Round(problem.kernel[e * problem.units + a],
                                  problem.dtype)
                          : 0.0f;
        }
      }
    }
  }

  static size_t ScratchBytes(const Pass& pass) {
    return Scratch(pass, nullptr).bytes;
  }

  static void Forward(const Pass& pass, const Chunk& chunk) {
    if constexpr (S::kHasBFloat16Dot) {
      if (Widens(pass)) return Forward<Int8Core>(pass, chunk);
      if (UsesBFloat16(pass)) return Forward<BFloat16Core<S>>(pass, chunk);
    }
    Forward<FloatCore<S>>(pass, chunk);
  }

  static void Backward(const Pass& pass, const Chunk& chunk) {
    if constexpr (S::kHasBFloat16Dot) {
      if (Widens(pass)) return Backward<Int8Core>(pass, chunk);
      if (UsesBFloat16(pass)) return Backward<BFloat16Core<S>>(pass, chunk);
    }
    Backward<FloatCore<S>>(pass, chunk);
  }

  static void BackwardHiddenStates(const Pass& pass, const Chunk& chunk) {
    if constexpr (S::kHasBFloat16Dot) {
      if (UsesBFloat16(pass)) {
        return BackwardHiddenStates<BFloat16Core<S>>(pass, chunk);
      }
    }
    BackwardHiddenStates<FloatCore<S>>(pass, chunk);
  }

 private:
  using Vec = typename S::Vec;
  static constexpr int64_t kLanes = S::kLanes;
  static_assert(kUnitPad % S::kLanes == 0 && kFeaturePad % S::kLanes == 0,
                "padding fills whole vectors");
  static_assert(kUnitPad % S::kOuterUnits == 0 &&
                    kUnitPad % S::kOuterPairUnits == 0,
                "padding fills whole blocks of units");

  static bool UsesBFloat16(const Pass& pass) {
    return S::kHasBFloat16Dot && (pass.problem->dtype == DType::kBFloat16 ||
                                  pass.problem->dtype == DType::kInt8);
  }

  // Whether rows can be multiplied where they lie.
  static bool ReadsInPlace(const Pass& pass) {
    const Problem& problem = *pass.problem;
    if (UsesBFloat16(pass)) {
      return problem.features % BFloat16Core<S>::kFeatureStep == 0;
    }
    return problem.dtype == DType::kFloat32 &&
           problem.features % FloatCore<S>::kFeatureStep == 0;
  }

  using Int8Core = BFloat16Core<S, int8_t>;

  static bool Widens(const Pass& pass) {
    return pass.problem->dtype == DType::kInt8 && ReadsInPlace(pass);
  }

  // Where everything lies in a chunk's scratch memory.
  struct Scratch {
    const void** rows;       // [RowPointers]
    float* row_scales;       // [tile_rows]
    float* bias_sum;         // [padded_units], of a tile
    void* zero_row;          // [padded_features]
    void* copied_rows;       // [tile_rows, padded_features]
    void* block;             // columns of H that are being multiplied
    float* z;                // [tile_rows, padded_units]; then dZ
    void* prepared;          // dZ as the sums read it
    float* hidden;           // [tile_rows, padded_features] of dH
    float* projection;       // V [layers, outputs, padded_units]
    float* projection_sum;   // dV likewise
    float* output_sums;      // [outputs, kLanes]
    size_t bytes;

    Scratch(const Pass& pass, void* memory) {
      const Problem& problem = *pass.problem;
      char* base = static_cast<char*>(memory);
      size_t offset = 0;
      const auto take = [&](size_t size) {
        char* const place = base == nullptr ? nullptr : base + offset;
        offset += RoundUp(size, 64);
        return static_cast<void*>(place);
      };
      const size_t number = UsesBFloat16(pass) ? 2 : 4;
      const size_t projection_bytes =
          problem.layers * problem.outputs * pass.padded_units * 4;
      rows =
          static_cast<const void**>(take(RowPointers(pass) * sizeof(void*)));
      row_scales = static_cast<float*>(take(pass.tile_rows * 4));
      bias_sum = static_cast<float*>(take(pass.padded_units * 4));
      zero_row = take(pass.padded_features * number);
      copied_rows = take(ReadsInPlace(pass) && !Widens(pass)
                             ? 0
                             : pass.tile_rows * pass.padded_features * number);
      block = take(UsesBFloat16(pass)
                       ? BFloat16Core<S>::BlockBytes(pass.tile_rows)
                       : FloatCore<S>::BlockBytes(pass.tile_rows));
      z = static_cast<float*>(take(pass.tile_rows * pass.padded_units * 4));
      prepared = take(UsesBFloat16(pass)
                          ? BFloat16Core<S>::GradientBytes(pass.tile_rows,
                                                           pass.padded_units)
                          : 0);
      hidden = static_cast<float*>(
          take(pass.packed_transpose == nullptr
                   ? 0
                   : pass.tile_rows * pass.padded_features * 4));
      projection = static_cast<float*>(take(projection_bytes));
      projection_sum = static_cast<float*>(take(projection_bytes));
      output_sums = static_cast<float*>(take(problem.outputs * kLanes * 4));
      bytes = offset;
    }
  };

  template <class Core>
  static void Pack(const Pass& pass, void* packed) {
    const int64_t vectors = pass.padded_units / kLanes;
    const int64_t panels = Product<S, Core>::Panels(vectors);
    const int64_t features = Features(pass);
    auto* out = static_cast<typename Core::Panel*>(packed);
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t begin = PanelStart(p, panels, vectors) * kLanes;
      const int64_t end = PanelStart(p + 1, panels, vectors) * kLanes;
      Core::PackPanel(*pass.problem, features, begin, end - begin, out);
      out += (end - begin) * (features / Core::kFeaturesATerm);
    }
  }

  // Numbers of a row that are multiplied.
  static int64_t Features(const Pass& pass) {
    return ReadsInPlace(pass) ? pass.problem->features : pass.padded_features;
  }

  // The row of a token (b * tokens + t) and layer.
  static const void* SourceRow(const Problem& problem, int64_t token,
                               int64_t layer) {
    const int64_t row = problem.stacked ? token * problem.layers + layer
                                        : token;
    const void* block = problem.hidden_states[problem.stacked ? 0 : layer];
    return static_cast<const char*>(block) +
           row * problem.features * SizeOf(problem.dtype);
  }

  static float SourceScale(const Problem& problem, int64_t token,
                           int64_t layer) {
    return problem.stacked ? problem.scales[0][token * problem.layers + layer]
                           : problem.scales[layer][token];
  }

  static int64_t RowPointers(const Pass& pass) {
    return 2 * pass.tile_rows + S::kForwardRows +
           (Widens(pass) ? pass.tile_rows : 0);
  }

  // Finds a tile's rows, and copies them if they cannot be read in place.
  template <class Core>
  static void PrepareRows(const Pass& pass, const Chunk& chunk, int64_t first,
                          const Scratch& scratch) {
    const int64_t end = TileEnd(pass, chunk, first);
    if (ReadsInPlace(pass)) {
      FindRows(pass, first, TileEnd(pass, chunk, end), scratch);
    } else {
      CopyRows<Core>(pass, first, end, scratch);
    }
    ReadScales(pass, first, end, scratch.row_scales);
  }

  // The rows of tokens first .. last: of a tile and of the next one, which is
  // fetched meanwhile. Zeros stand for those that the last blocks lack.
  static void FindRows(const Pass& pass, int64_t first, int64_t last,
                       const Scratch& scratch) {
    const Problem& problem = *pass.problem;
    const void** row = scratch.rows;
    for (int64_t i = first; i < last; ++i) {
      for (int64_t l = 0; l < problem.layers; ++l) {
        *row++ = SourceRow(problem, pass.order[i], l);
      }
    }
    for (int i = 0; i < S::kForwardRows; ++i) *row++ = scratch.zero_row;
  }

  template <class Core>
  static void CopyRows(const Pass& pass, int64_t first, int64_t last,
                       const Scratch& scratch) {
    const Problem& problem = *pass.problem;
    auto* out = static_cast<typename Core::Row*>(scratch.copied_rows);
    int64_t r = 0;
    for (int64_t i = first; i < last; ++i) {
      for (int64_t l = 0; l < problem.layers; ++l, ++r) {
        Core::CopyRow(SourceRow(problem, pass.order[i], l), problem.dtype,
                      problem.features, pass.padded_features, out);
        scratch.rows[r] = out;
        out += pass.padded_features;
      }
    }
    scratch.rows[r] = scratch.zero_row;
  }

  static void ReadScales(const Pass& pass, int64_t first, int64_t last,
                         float* scales) {
    const Problem& problem = *pass.problem;
    if (problem.dtype != DType::kInt8) return;
    for (int64_t i = first; i < last; ++i) {
      for (int64_t l = 0; l < problem.layers; ++l) {
        *scales++ = SourceScale(problem, pass.order[i], l);
      }
    }
  }

  // Rows are widened a block at a time, to be multiplied while they are in
  // the first-level cache; all at once where W is read a panel at a time.
  template <class Core>
  static void MultiplyWidened(const Pass& pass, int64_t row_count,
                              const Scratch& scratch) {
    const int64_t features = Features(pass);
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
          widened + S::kForwardRows, false, count, features,
          pass.packed_kernel, pass.padded_units / kLanes,
          scratch.z + first * pass.padded_units, pass.padded_units);
    }
  }

  // Z of a tile, from its rows.
  template <class Core>
  static void ComputeZ(const Pass& pass, int64_t row_count,
                       const Scratch& scratch) {
    if constexpr (Core::kWidens) {
      MultiplyWidened<Core>(pass, row_count, scratch);
    } else {
      Product<S, Core>::Multiply(
          scratch.rows, ReadsInPlace(pass), row_count, Features(pass),
          pass.packed_kernel, pass.padded_units / kLanes, scratch.z,
          pass.padded_units);
    }
    const bool scaled = pass.problem->dtype == DType::kInt8;
    for (int64_t r = 0; r < row_count; ++r) {
      float* z = scratch.z + r * pass.padded_units;
      const Vec scale = S::Set1(scaled ? scratch.row_scales[r] : 1.0f);
      for (int64_t a = 0; a < pass.padded_units; a += kLanes) {
        S::Store(z + a, S::Fma(S::Load(z + a), scale,
                               S::Load(pass.padded_bias + a)));
      }
    }
  }

  static void SaveZ(const Pass& pass, int64_t first_row, int64_t row_count,
                    const float* z) {
    if (pass.problem->stash == Stash::kNone) return;
    const DType dtype = StashType(pass.problem->stash);
    const int64_t start = first_row * pass.padded_units;
    for (int64_t i = 0; i < row_count * pass.padded_units; i += kLanes) {
      StoreAs<S>(pass.stash_out, dtype, start + i, kLanes, S::Load(z + i));
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

  // V of a position (0 where it is shared) as [layers, outputs, units].
  static void PackProjection(const Pass& pass, int64_t position, float* out) {
    const Problem& problem = *pass.problem;
    const float* v = problem.projection +
                     position * problem.layers * problem.units *
                         problem.outputs;
    for (int64_t l = 0; l < problem.layers; ++l) {
      for (int64_t c = 0; c < problem.outputs; ++c) {
        const float* column = v + l * problem.units * problem.outputs + c;
        for (int64_t a = 0; a < pass.padded_units; ++a) {
          *out++ = a < problem.units ? column[a * problem.outputs] : 0.0f;
        }
      }
    }
  }

  // The same numbers back in V's order.
  static void UnpackProjection(const Pass& pass, const float* packed,
                               float* out) {
    const Problem& problem = *pass.problem;
    for (int64_t l = 0; l < problem.layers; ++l) {
      for (int64_t a = 0; a < problem.units; ++a) {
        for (int64_t c = 0; c < problem.outputs; ++c) {
          *out++ =
              packed[(l * problem.outputs + c) * pass.padded_units + a];
        }
      }
    }
  }

  template <bool kTanh>
  static void WritePooled(const Pass& pass, int64_t first, int64_t last,
                          const float* z) {
    const Problem& problem = *pass.problem;
    for (int64_t i = first; i < last; ++i) {
      for (int64_t l = 0; l < problem.layers; ++l, z += pass.padded_units) {
        const int64_t start =
            (pass.order[i] * problem.layers + l) * problem.units;
        for (int64_t a = 0; a < problem.units; a += kLanes) {
          Vec y;
          Gelu<S, kTanh>(S::Load(z + a), &y, nullptr);
          const int64_t left = problem.units - a;
          StoreAs<S>(pass.output, problem.pooled_dtype, start + a,
                     left < kLanes ? left : kLanes, y);
        }
      }
    }
  }

  // C: the number of outputs where it is small, else 0.
  template <bool kTanh, int C>
  static void WriteProjected(const Pass& pass, int64_t token, const float* z,
                             const Scratch& scratch) {
    const Problem& problem = *pass.problem;
    const int64_t outputs = C > 0 ? C : problem.outputs;
    Vec sums[C > 0 ? C : 1];
    for (int c = 0; c < C; ++c) sums[c] = S::Set1(0.0f);
    if constexpr (C == 0) {
      __builtin_memset(scratch.output_sums, 0, outputs * kLanes * 4);
    }
    const float* v = scratch.projection;
    for (int64_t l = 0; l < problem.layers; ++l) {
      for (int64_t a = 0; a < pass.padded_units; a += kLanes) {
        Vec y;
        Gelu<S, kTanh>(S::Load(z + l * pass.padded_units + a), &y, nullptr);
        const float* column = v + l * outputs * pass.padded_units + a;
        for (int64_t c = 0; c < outputs; ++c) {
          const Vec weight = S::Load(column + c * pass.padded_units);
          if constexpr (C > 0) {
            sums[c] = S::Fma(y, weight, sums[c]);
          } else {
            float* sum = scratch.output_sums + c * kLanes;
            S::Store(sum, S::Fma(y, weight, S::Load(sum)));
          }
        }
      }
    }
    float* out = static_cast<float*>(pass.output) + token * outputs;
    for (int64_t c = 0; c < outputs; ++c) {
      out[c] = S::Sum(C > 0 ? sums[C > 0 ? c : 0]
                            : S::Load(scratch.output_sums + c * kLanes));
    }
  }

  using TokenForward = void (*)(const Pass&, int64_t, const float*,
                                const Scratch&);
  template <bool kTanh>
  static TokenForward ChooseForward(int64_t outputs) {
    if (outputs == 1) return WriteProjected<kTanh, 1>;
    if (outputs == 2) return WriteProjected<kTanh, 2>;
    if (outputs == 3) return WriteProjected<kTanh, 3>;
    return WriteProjected<kTanh, 0>;
  }

  // Z becomes dZ, in place, and dY's part is added to db.
  template <bool kTanh>
  static void PooledToZ(const Pass& pass, int64_t first, int64_t last,
                        float* z, float* bias_sum) {
    const Problem& problem = *pass.problem;
    for (int64_t i = first; i < last; ++i) {
      for (int64_t l = 0; l < problem.layers; ++l, z += pass.padded_units) {
        const int64_t start =
            (pass.order[i] * problem.layers + l) * problem.units;
        for (int64_t a = 0; a < pass.padded_units; a += kLanes) {
          const int64_t left = problem.units - a;
          Vec y, slope, dy = S::Set1(0.0f);
          Gelu<S, kTanh>(S::Load(z + a), &y, &slope);
          if (left > 0) {
            dy = LoadAs<S>(pass.output_gradient, problem.pooled_dtype,
                           start + a, left < kLanes ? left : kLanes);
          }
          const Vec dz = S::Mul(dy, slope);
          S::Store(z + a, dz);
          if (bias_sum != nullptr) {
            S::Store(bias_sum + a, S::Add(S::Load(bias_sum + a), dz));
          }
        }
      }
    }
  }

  // The same for a token's projected outputs; adds to dV where asked.
  template <bool kTanh, int C, bool kSums>
  static void ProjectedToZ(const Pass& pass, int64_t token, float* z,
                           const Scratch& scratch, float* bias_sum) {
    const Problem& problem = *pass.problem;
    const int64_t outputs = C > 0 ? C : problem.outputs;
    const float* gradient =
        static_cast<const float*>(pass.output_gradient) + token * outputs;
    Vec g[C > 0 ? C : 1];
    for (int c = 0; c < C; ++c) g[c] = S::Set1(gradient[c]);
    for (int64_t l = 0; l < problem.layers; ++l, z += pass.padded_units) {
      for (int64_t a = 0; a < pass.padded_units; a += kLanes) {
        const int64_t place = l * outputs * pass.padded_units + a;
        Vec y, slope, dy = S::Set1(0.0f);
        Gelu<S, kTanh>(S::Load(z + a), &y, &slope);
        for (int64_t c = 0; c < outputs; ++c) {
          const int64_t at = place + c * pass.padded_units;
          const Vec gc = C > 0 ? g[C > 0 ? c : 0] : S::Set1(gradient[c]);
          dy = S::Fma(gc, S::Load(scratch.projection + at), dy);
          if constexpr (kSums) {
            float* sum = scratch.projection_sum + at;
            S::Store(sum, S::Fma(gc, y, S::Load(sum)));
          }
        }
        const Vec dz = S::Mul(dy, slope);
        S::Store(z + a, dz);
        if constexpr (kSums) {
          S::Store(bias_sum + a, S::Add(S::Load(bias_sum + a), dz));
        }
      }
    }
  }

  using TokenBackward = void (*)(const Pass&, int64_t, float*, const Scratch&,
                                 float*);
  template <bool kTanh, bool kSums>
  static TokenBackward ChooseBackward(int64_t outputs) {
    if (outputs == 1) return ProjectedToZ<kTanh, 1, kSums>;
    if (outputs == 2) return ProjectedToZ<kTanh, 2, kSums>;
    if (outputs == 3) return ProjectedToZ<kTanh, 3, kSums>;
    return ProjectedToZ<kTanh, 0, kSums>;
  }

  // Follows the position that V and dV belong to.
  struct Positions {
    const Pass& pass;
    const Chunk& chunk;
    const Scratch& scratch;
    bool sums;
    int64_t current = -1;
    // Whether dV of the current position is this chunk's to write.
    bool owned = false;

    void MoveTo(int64_t token) {
      const Problem& problem = *pass.problem;
      const int64_t position =
          problem.positions == 0 ? 0 : token % problem.tokens;
      if (position == current) return;
      Flush();
      owned = problem.positions > 0 &&
              (current >= 0 || chunk.projection_sum == nullptr);
      current = position;
      PackProjection(pass, position, scratch.projection);
      if (sums) {
        __builtin_memset(
            scratch.projection_sum, 0,
            problem.layers * problem.outputs * pass.padded_units * 4);
      }
    }

    void Flush() {
      if (!sums || current < 0) return;
      const Problem& problem = *pass.problem;
      const int64_t size = problem.layers * problem.units * problem.outputs;
      UnpackProjection(pass, scratch.projection_sum,
                       owned ? chunk.projection_gradient + current * size
                             : chunk.projection_sum);
    }
  };

  template <class Core>
  static void Forward(const Pass& pass, const Chunk& chunk) {
    const Problem& problem = *pass.problem;
    const Scratch scratch(pass, chunk.scratch);
    Positions positions{pass, chunk, scratch, false};
    const TokenForward project = problem.approximate
                                     ? ChooseForward<true>(problem.outputs)
                                     : ChooseForward<false>(problem.outputs);
    const auto write_pooled =
        problem.approximate ? WritePooled<true> : WritePooled<false>;
    for (int64_t i = chunk.first; i < chunk.last; i += pass.tile_tokens) {
      const int64_t end = TileEnd(pass, chunk, i);
      const int64_t row_count = (end - i) * problem.layers;
      PrepareRows<Core>(pass, chunk, i, scratch);
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

  static int64_t TileEnd(const Pass& pass, const Chunk& chunk, int64_t first) {
    const int64_t end = first + pass.tile_tokens;
    return end < chunk.last ? end : chunk.last;
  }

  // dZ of a tile in scratch.z; its rows must be there where Z is not stashed.
  template <class Core, bool kSums>
  static void ComputeZGradient(const Pass& pass, int64_t first, int64_t last,
                               const Scratch& scratch, Positions* positions,
                               float* bias_sum) {
    const Problem& problem = *pass.problem;
    const int64_t row_count = (last - first) * problem.layers;
    if (pass.stash_in != nullptr) {
      RestoreZ(pass, first * problem.layers, row_count, scratch.z);
    } else {
      ComputeZ<Core>(pass, row_count, scratch);
    }
    if (problem.outputs == 0) {
      (problem.approximate ? PooledToZ<true> : PooledToZ<false>)(
          pass, first, last, scratch.z, bias_sum);
      return;
    }
    const TokenBackward to_z =
        problem.approximate ? ChooseBackward<true, kSums>(problem.outputs)
                            : ChooseBackward<false, kSums>(problem.outputs);
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
    Positions positions{pass, chunk, scratch, true};
    __builtin_memset(scratch.zero_row, 0,
                     pass.padded_features * sizeof(typename Core::Row));
    for (int64_t i = chunk.first; i < chunk.last; i += pass.tile_tokens) {
      const int64_t end = TileEnd(pass, chunk, i);
      const int64_t row_count = (end - i) * problem.layers;
      PrepareRows<Core>(pass, chunk, i, scratch);
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
      const bool ahead = ReadsInPlace(pass) &&
                         TileEnd(pass, chunk, end) - end == end - i;
      OuterProduct<S, Core>::Add(
          scratch.rows, ahead ? scratch.rows + row_count : nullptr,
          scratch.block, row_count, Features(pass), gradient, problem.units, pass.padded_units,
          chunk.kernel_sum, pass.padded_features);
    }
    positions.Flush();
    Core::UnshuffleSum(chunk.kernel_sum, pass.padded_units,
                       pass.padded_features);
  }

  template <class Core>
  static void BackwardHiddenStates(const Pass& pass, const Chunk& chunk) {
    const Problem& problem = *pass.problem;
    const Scratch scratch(pass, chunk.scratch);
    Positions positions{pass, chunk, scratch, false};
    for (int64_t i = chunk.first; i < chunk.last; i += pass.tile_tokens) {
      const int64_t end = TileEnd(pass, chunk, i);
      const int64_t row_count = (end - i) * problem.layers;
      if (pass.stash_in == nullptr) {
        PrepareRows<Core>(pass, chunk, i, scratch);
      }
      ComputeZGradient<Core, false>(pass, i, end, scratch, &positions,
                                    nullptr);
      for (int64_t r = 0; r < row_count; ++r) {
        scratch.rows[r] = scratch.z + r * pass.padded_units;
      }
      Product<S, FloatCore<S>>::Multiply(
          scratch.rows, false, row_count, pass.padded_units,
          pass.packed_transpose,
          pass.padded_features / kLanes, scratch.hidden,
          pass.padded_features);
      int64_t r = 0;
      for (int64_t k = i; k < end; ++k) {
        for (int64_t l = 0; l < problem.layers; ++l, ++r) {
          WriteRow(pass, pass.order[k], l,
                   scratch.hidden + r * pass.padded_features);
        }
      }
    }
  }

  static void WriteRow(const Pass& pass, int64_t token, int64_t layer,
                       const float* source) {
    const Problem& problem = *pass.problem;
    const int64_t row = problem.stacked ? token * problem.layers + layer
                                        : token;
    void* target = pass.hidden_states_gradient[problem.stacked ? 0 : layer];
    for (int64_t e = 0; e < problem.features; e += kLanes) {
      const int64_t left = problem.features - e;
      StoreAs<S>(target, problem.dtype, row * problem.features + e,
                 left < kLanes ? left : kLanes, S::Load(source + e));
    }
  }
};

template <class S>
constexpr TileKernels MakeTileKernels(const char* name) {
  return {name,
          Engine<S>::PackedKernelBytes,
          Engine<S>::PackKernel,
          Engine<S>::PackedTransposeBytes,
          Engine<S>::PackTranspose,
          Engine<S>::ScratchBytes,
          Engine<S>::Forward,
          Engine<S>::Backward,
          Engine<S>::BackwardHiddenStates};
}
