// How a pass reads its rows, and where everything lies in a chunk's scratch
// memory.

template <class S>
class TileLayout {
 public:
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

  // Numbers of a row that are multiplied.
  static int64_t Features(const Pass& pass) {
    return ReadsInPlace(pass) ? pass.problem->features : pass.padded_features;
  }

  static int64_t RowPointers(const Pass& pass) {
    return 2 * pass.tile_rows + S::kForwardRows +
           (Widens(pass) ? pass.tile_rows : 0);
  }
};

template <class S>
struct TileScratch {
  using Layout = TileLayout<S>;

  const void** rows;      // [RowPointers]
  float* row_scales;      // [tile_rows]
  float* bias_sum;        // [padded_units], of a tile
  void* zero_row;         // [padded_features]
  void* copied_rows;      // [tile_rows, padded_features]
  void* block;            // columns of H that are being multiplied
  float* z;               // [tile_rows, padded_units]; then dZ
  void* prepared;         // dZ as the sums read it
  float* hidden;          // [tile_rows, padded_features] of dH
  float* projection;      // V [layers, outputs, padded_units]
  float* projection_sum;  // dV likewise
  float* output_sums;     // [outputs, kLanes]
  size_t bytes;

  TileScratch(const Pass& pass, void* memory) {
    const Problem& problem = *pass.problem;
    char* base = static_cast<char*>(memory);
    size_t offset = 0;
    const auto take = [&](size_t size) {
      char* const place = base == nullptr ? nullptr : base + offset;
      offset += RoundUp(size, 64);
      return static_cast<void*>(place);
    };
    const size_t number = Layout::UsesBFloat16(pass) ? 2 : 4;
    const size_t projection_bytes =
        problem.layers * problem.outputs * pass.padded_units * 4;
    rows = static_cast<const void**>(
        take(Layout::RowPointers(pass) * sizeof(void*)));
    row_scales = static_cast<float*>(take(pass.tile_rows * 4));
    bias_sum = static_cast<float*>(take(pass.padded_units * 4));
    zero_row = take(pass.padded_features * number);
    copied_rows = take(Layout::ReadsInPlace(pass) && !Layout::Widens(pass)
                           ? 0
                           : pass.tile_rows * pass.padded_features * number);
    block = take(Layout::UsesBFloat16(pass)
                     ? BFloat16Core<S>::BlockBytes(pass.tile_rows)
                     : FloatCore<S>::BlockBytes(pass.tile_rows));
    z = static_cast<float*>(take(pass.tile_rows * pass.padded_units * 4));
    prepared =
        take(Layout::UsesBFloat16(pass) ? BFloat16Core<S>::GradientBytes(
                                              pass.tile_rows, pass.padded_units)
                                        : 0);
    hidden = static_cast<float*>(
        take(pass.packed_transpose == nullptr
                 ? 0
                 : pass.tile_rows * pass.padded_features * 4));
    projection = static_cast<float*>(take(projection_bytes));
    projection_sum = static_cast<float*>(take(projection_bytes));
    output_sums = static_cast<float*>(take(problem.outputs * S::kLanes * 4));
    bytes = offset;
  }
};
