// The float32 product.
template <class S>
struct FloatCore {
  using Row = float;
  using Panel = float;
  static constexpr bool kWidens = false;
  static constexpr bool kQuantises = false;
  static constexpr int kRows = S::kForwardRows;
  static constexpr int64_t kFeatureStep = S::kLanes;
  static constexpr int64_t kFeaturesATerm = 1;

  // Rounding errors grow with the terms of a sum: no more than these are added
  // one to the other.
  static constexpr int64_t kBlock = 128;

  // out[m, 0 .. N * kLanes] = rows[m] . W, and fetches `later` meanwhile: the
  // rows of the next call, or null.
  template <int M, int N>
  static void Multiply(const void* const* rows, const void* const* later,
                       int64_t features, const void* panel, float* out,
                       int64_t out_stride) {
    for (int64_t begin = 0; begin < features; begin += kBlock) {
      MultiplyBlock<M, N>(rows, later, begin, features, panel, out,
                          out_stride);
    }
  }

  // The same of kBlock features from `begin` on. Those before are there.
  template <int M, int N>
  static void MultiplyBlock(const void* const* rows, const void* const* later,
                            int64_t begin, int64_t features, const void* panel,
                            float* out, int64_t out_stride) {
    const float* row[M];
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) row[m] = static_cast<const float*>(rows[m]);
    const float* w = static_cast<const float*>(panel) + begin * N * S::kLanes;
    typename S::Vec sum[M][N];
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[m][n] = S::Set1(0.0f);
    }
    const auto add_term = [&](int64_t e) {
      typename S::Vec kernel[N];
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) kernel[n] = S::Load(w + n * S::kLanes);
      w += N * S::kLanes;
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        const auto h = S::Set1(row[m][e]);
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) {
          sum[m][n] = S::Fma(h, kernel[n], sum[m][n]);
        }
      }
    };
    const int64_t end = begin + kBlock < features ? begin + kBlock : features;
    constexpr int64_t kLine = 64 / sizeof(float);
    int64_t e = begin;
    for (; e + kLine <= end; e += kLine) {
      if (later != nullptr) {
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) {
          S::Prefetch(static_cast<const float*>(later[m]) + e);
        }
      }
#pragma GCC unroll 4
      for (int64_t i = e; i < e + kLine; ++i) add_term(i);
    }
    for (; e < end; ++e) add_term(e);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        float* place = out + m * out_stride + n * S::kLanes;
        S::Store(place, begin == 0 ? sum[m][n]
                                   : S::Add(S::Load(place), sum[m][n]));
      }
    }
  }

  // What the sums read of dZ: dZ itself, [rows, padded_units].
  static int64_t GradientBytes(int64_t, int64_t) { return 0; }
  static const void* PrepareGradient(const float* gradient, int64_t, int64_t,
                                     void*) {
    return gradient;
  }

  // Adds the rows' part to dW^T[0..U, feature .. feature + V * kLanes], and
  // fetches those columns of `next` meanwhile: the next tile's rows, or null.
  template <int U, int V, Source kSource>
  static void AddOuter(const void* const* rows, const void* const* next,
                       void* /*block*/, int64_t row_count, int64_t feature,
                       const void* gradient, int64_t padded_units,
                       float* kernel_sum, int64_t sum_stride) {
    static_assert(kSource == Source::kRows, "no copy is kept");
    typename S::Vec sum[U][V];
#pragma GCC unroll 16
    for (int u = 0; u < U; ++u) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sum[u][v] = S::Set1(0.0f);
    }
    const float* dz = static_cast<const float*>(gradient);
    for (int64_t r = 0; r < row_count; ++r, dz += padded_units) {
      const float* row = static_cast<const float*>(rows[r]) + feature;
      if (next != nullptr) {
        const float* later = static_cast<const float*>(next[r]) + feature;
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) S::Prefetch(later + v * S::kLanes);
      }
      typename S::Vec h[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) h[v] = S::Load(row + v * S::kLanes);
#pragma GCC unroll 16
      for (int u = 0; u < U; ++u) {
        const auto g = S::Set1(dz[u]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sum[u][v] = S::Fma(g, h[v], sum[u][v]);
      }
    }
#pragma GCC unroll 16
    for (int u = 0; u < U; ++u) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        float* place = kernel_sum + u * sum_stride + v * S::kLanes;
        S::Store(place, S::Add(S::Load(place), sum[u][v]));
      }
    }
  }

  // There is nothing to convert: a copy of columns would not pay.
  static constexpr int64_t kLeastBlocksToKeep = 0;
  static int64_t BlockBytes(int64_t) { return 0; }

  static constexpr int kOuterUnits = S::kOuterUnits;
  static constexpr int kOuterVectors = S::kOuterVectors;
  static constexpr int kOuterVectorStep = 1;

  // One row of H in the product's type, `padded` numbers.
  static void CopyRow(const void* source, DType dtype, int64_t features,
                      int64_t padded, void* target) {
    float* out = static_cast<float*>(target);
    int64_t e = 0;
    for (; e + S::kLanes <= features; e += S::kLanes) {
      S::Store(out + e, LoadAs<S>(source, dtype, e, S::kLanes));
    }
    for (; e < padded; e += S::kLanes) {
      const int64_t left = features - e;
      S::Store(out + e, left > 0 ? LoadAs<S>(source, dtype, e, left)
                                 : S::Set1(0.0f));
    }
  }

  // W in panels of V * kLanes units: [features, V * kLanes] each.
  static void PackPanel(const Problem& problem, int64_t features,
                        int64_t first_unit, int64_t unit_count, void* target) {
    const DType rounding = problem.dtype == DType::kInt8 ? DType::kBFloat16
                                                         : problem.dtype;
    float* out = static_cast<float*>(target);
    for (int64_t e = 0; e < features; ++e) {
      for (int64_t i = 0; i < unit_count; i += S::kLanes, out += S::kLanes) {
        const int64_t unit = first_unit + i;
        const int64_t left = problem.units - unit;
        S::Store(out, e < problem.features && left > 0
                          ? LoadAs<S>(problem.kernel, DType::kFloat32,
                                      e * problem.units + unit,
                                      left < S::kLanes ? left : S::kLanes)
                          : S::Set1(0.0f));
        if (rounding == DType::kFloat32) continue;
        for (int64_t k = 0; k < S::kLanes; ++k) {
          out[k] = Round(out[k], rounding);
        }
      }
    }
  }
  static void UnshuffleSum(float*, int64_t, int64_t) {}
};
