// The rows of a tile: found, copied where that is needed, and written.

template <class S>
class TileRows {
 public:
  using Layout = TileLayout<S>;
  using Scratch = TileScratch<S>;
  using Vec = typename S::Vec;
  static constexpr int64_t kLanes = S::kLanes;

  static int64_t TileEnd(const Pass& pass, const Chunk& chunk, int64_t first) {
    const int64_t end = first + pass.tile_tokens;
    return end < chunk.last ? end : chunk.last;
  }

  // Finds a tile's rows, and copies them if they cannot be read in place.
  template <class Core>
  static void PrepareRows(const Pass& pass, const Chunk& chunk, int64_t first,
                          const Scratch& scratch) {
    const int64_t end = TileEnd(pass, chunk, first);
    if (Layout::ReadsInPlace(pass)) {
      FindRows(pass, first, TileEnd(pass, chunk, end), scratch);
    } else {
      CopyRows<Core>(pass, first, end, scratch);
    }
    ReadScales(pass, first, end, scratch.row_scales);
  }

  static void WriteRow(const Pass& pass, int64_t token, int64_t layer,
                       const float* source) {
    const Problem& problem = *pass.problem;
    const int64_t row =
        problem.stacked ? token * problem.layers + layer : token;
    void* target = pass.hidden_states_gradient[problem.stacked ? 0 : layer];
    for (int64_t e = 0; e < problem.features; e += kLanes) {
      const int64_t left = problem.features - e;
      StoreAs<S>(target, problem.dtype, row * problem.features + e,
                 left < kLanes ? left : kLanes, S::Load(source + e));
    }
  }

 private:
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

  // The row of a token (b * tokens + t) and layer.
  static const void* SourceRow(const Problem& problem, int64_t token,
                               int64_t layer) {
    const int64_t row =
        problem.stacked ? token * problem.layers + layer : token;
    const void* block = problem.hidden_states[problem.stacked ? 0 : layer];
    return static_cast<const char*>(block) +
           row * problem.features * SizeOf(problem.dtype);
  }

  static float SourceScale(const Problem& problem, int64_t token,
                           int64_t layer) {
    return problem.stacked ? problem.scales[0][token * problem.layers + layer]
                           : problem.scales[layer][token];
  }
};
