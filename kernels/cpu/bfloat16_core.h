// The bfloat16 product: two features a term, summed in float32. Stored: the
// type of the rows that are multiplied where they lie, bfloat16 or int8.
template <class S, class Stored = uint16_t>
struct BFloat16Core {
  using Row = uint16_t;
  // Such rows have to be widened for the forward product.
  static constexpr bool kWidens = sizeof(Stored) == 1;
  static constexpr bool kQuantises = false;
  static constexpr int kRows = S::kForwardRows;
  using Panel = uint32_t;
  static constexpr int64_t kFeatureStep = 32;
  static constexpr int64_t kFeaturesATerm = 2;

  // Features that are multiplied before the next rows are, where there are
  // many: so much of a panel stays in the first-level cache.
  static constexpr int64_t kBlock = 256;

  template <int M, int N>
  static void Multiply(const void* const* rows, const void* const* later,
                       int64_t features, const void* panel, float* out,
                       int64_t out_stride) {
    MultiplyRange<M, N>(rows, later, 0, features, panel, out, out_stride);
  }

  // As FloatCore's.
  template <int M, int N>
  static void MultiplyBlock(const void* const* rows, const void* const* later,
                            int64_t begin, int64_t features, const void* panel,
                            float* out, int64_t out_stride) {
    const int64_t end = begin + kBlock < features ? begin + kBlock : features;
    MultiplyRange<M, N>(rows, later, begin, end, panel, out, out_stride);
  }

  template <int M, int N>
  static void MultiplyRange(const void* const* rows, const void* const* later,
                            int64_t begin, int64_t end, const void* panel,
                            float* out, int64_t out_stride) {
    // One vector of units is few sums, and each waits for its last term: they
    // are made in two parts.
    constexpr int kParts = N == 1 ? 2 : 1;
    typename S::Vec sum[kParts][M][N];
    const uint16_t* row[M];
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      row[m] = static_cast<const uint16_t*>(rows[m]);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        sum[0][m][n] = sum[kParts - 1][m][n] = S::Set1(0.0f);
      }
    }
    const uint32_t* w = static_cast<const uint32_t*>(panel) +
                        begin / kFeaturesATerm * N * S::kLanes;
    constexpr int64_t kLine = 64 / sizeof(uint16_t);
    static_assert(kFeatureStep % kLine == 0, "rows are whole lines");
    for (int64_t e = begin; e < end; e += kLine) {
      if (later != nullptr) {
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) {
          S::Prefetch(static_cast<const uint16_t*>(later[m]) + e);
        }
      }
#pragma GCC unroll 4
      for (int64_t i = e; i < e + kLine; i += 2 * kParts) {
#pragma GCC unroll 2
        for (int part = 0; part < kParts; ++part) {
          typename S::Pairs kernel[N];
#pragma GCC unroll 8
          for (int n = 0; n < N; ++n) {
            kernel[n] = S::LoadPairs(w + n * S::kLanes);
          }
          w += N * S::kLanes;
#pragma GCC unroll 8
          for (int m = 0; m < M; ++m) {
            const auto h = S::Set1Pair(row[m] + i + 2 * part);
#pragma GCC unroll 8
            for (int n = 0; n < N; ++n) {
              sum[part][m][n] = S::Dot(sum[part][m][n], h, kernel[n]);
            }
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        float* place = out + m * out_stride + n * S::kLanes;
        const auto all = kParts == 1
                             ? sum[0][m][n]
                             : S::Add(sum[0][m][n], sum[kParts - 1][m][n]);
        S::Store(place, begin == 0 ? all : S::Add(S::Load(place), all));
      }
    }
  }

  // dZ of two rows in bfloat16, unit by unit: [rows / 2, padded_units].
  static int64_t GradientBytes(int64_t rows, int64_t padded_units) {
    return (rows + 1) / 2 * padded_units * 4;
  }
  static const void* PrepareGradient(const float* gradient, int64_t rows,
                                     int64_t padded_units, void* target) {
    uint32_t* out = static_cast<uint32_t*>(target);
    for (int64_t r = 0; r < rows; r += 2) {
      const float* even = gradient + r * padded_units;
      const float* odd = r + 1 < rows ? even + padded_units : nullptr;
      for (int64_t a = 0; a < padded_units; a += S::kLanes, out += S::kLanes) {
        S::StorePairs(out, S::Load(even + a),
                      odd ? S::Load(odd + a) : S::Set1(0.0f));
      }
    }
    return target;
  }

  // As FloatCore's. A vector holds two rows of 16 features, in the order that
  // unpacking gives: UnshuffleSum puts the sums in order in the end. `block`,
  // [rows / 2, V], is where such vectors are kept, or were.
  template <int U, int V, Source kSource>
  static void AddOuter(const void* const* rows, const void* const* next,
                       void* block, int64_t row_count, int64_t feature,
                       const void* gradient, int64_t padded_units,
                       float* kernel_sum, int64_t sum_stride) {
    static_assert(V % 2 == 0, "a row's 32 numbers give two vectors");
    typename S::Vec sum[U][V];
#pragma GCC unroll 16
    for (int u = 0; u < U; ++u) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sum[u][v] = S::Set1(0.0f);
    }
    const uint32_t* dz = static_cast<const uint32_t*>(gradient);
    for (int64_t r = 0; r < row_count; r += 2, dz += padded_units) {
      typename S::Pairs h[V];
      auto* kept = static_cast<typename S::Pairs*>(block) + r / 2 * V;
      if constexpr (kSource == Source::kBlock) {
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) h[v] = kept[v];
      } else {
        const auto* even = static_cast<const Stored*>(rows[r]) + feature;
        const auto* odd = static_cast<const Stored*>(rows[r + 1]) + feature;
#pragma GCC unroll 4
        for (int v = 0; v < V; v += 2) {
          const int64_t first = v * S::kLanes;
          if (next != nullptr) {
            const int64_t at = feature + first;
            S::Prefetch(static_cast<const Stored*>(next[r]) + at);
            S::Prefetch(static_cast<const Stored*>(next[r + 1]) + at);
          }
          LoadRowPairs(even + first, odd + first, &h[v], &h[v + 1]);
        }
        if constexpr (kSource == Source::kRowsToBlock) {
#pragma GCC unroll 4
          for (int v = 0; v < V; ++v) kept[v] = h[v];
        }
      }
#pragma GCC unroll 16
      for (int u = 0; u < U; ++u) {
        const auto g = S::Set1Pair(dz + u);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sum[u][v] = S::Dot(sum[u][v], g, h[v]);
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

  // So many blocks of units that a copy of columns pays: where they would be
  // converted again, or are read often.
  static constexpr int64_t kLeastBlocksToKeep = kWidens ? 2 : 4;
  static constexpr int kOuterUnits = S::kOuterPairUnits;
  static constexpr int kOuterVectors = 2;
  static constexpr int kOuterVectorStep = 2;

  static int64_t BlockBytes(int64_t rows) {
    return (rows + 1) / 2 * kOuterVectors * 64;
  }

  template <class Pairs>
  static void LoadRowPairs(const Stored* even, const Stored* odd, Pairs* low,
                           Pairs* high) {
    if constexpr (kWidens) {
      S::LoadInt8RowPairs(even, odd, low, high);
    } else {
      S::LoadRowPairs(even, odd, low, high);
    }
  }

  // One row as bfloat16, and `later` fetched meanwhile.
  static void WidenRow(const void* source, const void* later,
                       int64_t features, void* target) {
    const char* in = static_cast<const char*>(source);
    for (int64_t e = 0; e < features; e += kFeatureStep) {
      S::Prefetch(static_cast<const char*>(later) + e);
      S::WidenInt8(in + e, static_cast<uint16_t*>(target) + e);
    }
  }

  static void CopyRow(const void* source, DType dtype, int64_t features,
                      int64_t padded, void* target) {
    uint16_t* out = static_cast<uint16_t*>(target);
    if (dtype == DType::kBFloat16) {
      __builtin_memcpy(out, source, features * 2);
      __builtin_memset(out + features, 0, (padded - features) * 2);
      return;
    }
    for (int64_t e = 0; e < padded; e += S::kLanes) {
      const int64_t left = features - e;
      S::StoreBFloat16(
          out + e, left > 0 ? LoadAs<S>(source, dtype, e,
                                        left < S::kLanes ? left : S::kLanes)
                            : S::Set1(0.0f));
    }
  }

  static void PackPanel(const Problem& problem, int64_t features,
                        int64_t first_unit, int64_t unit_count, void* target) {
    const auto load = [&](int64_t feature, int64_t unit) {
      const int64_t left = problem.units - unit;
      if (feature >= problem.features || left <= 0) return S::Set1(0.0f);
      return LoadAs<S>(problem.kernel, DType::kFloat32,
                       feature * problem.units + unit,
                       left < S::kLanes ? left : S::kLanes);
    };
    uint32_t* out = static_cast<uint32_t*>(target);
    for (int64_t e = 0; e < features; e += 2) {
      for (int64_t i = 0; i < unit_count; i += S::kLanes, out += S::kLanes) {
        S::StorePairs(out, load(e, first_unit + i),
                      load(e + 1, first_unit + i));
      }
    }
  }

  static void UnshuffleSum(float* kernel_sum, int64_t units, int64_t features) {
    if (kWidens) return;
    for (int64_t i = 0; i < units * features; i += 32) {
      S::Unshuffle(kernel_sum + i);
    }
  }
};
