// The passes over a chunk, written once for every instruction set.
//
// A variant's file defines a struct of vector operations and includes this
// header inside its own anonymous namespace, so that nothing compiled for one
// processor can be linked into the code of another. No STL for the same
// reason.
//
// A chunk is cut into tiles of whole tokens whose rows (one a token and layer)
// stay in the second-level cache. There are two products. The forward one
// multiplies a few rows with W at a time: a number of H is broadcast, the
// units are the lanes, the sums stay in registers over all features. The
// backward one adds up dW^T: a number of dZ is broadcast, the features are
// the lanes, the sums stay in registers over all rows of the tile.
//
// Rows are read where they lie if their type is that of the product and their
// length fills whole vectors. Otherwise a tile's rows are copied first,
// converted, and padded with zeros.

// exp(x) for x <= 88; as 2^-126 below -87. About one unit in the last place.
template <class S>
inline typename S::Vec Exp(typename S::Vec x) {
  x = S::Max(S::Min(x, S::Set1(88.0f)), S::Set1(-87.0f));
  const auto n = S::RoundToInteger(S::Mul(x, S::Set1(1.44269504f)));
  auto r = S::Fma(n, S::Set1(-0.693359375f), x);
  r = S::Fma(n, S::Set1(2.12194440e-4f), r);
  auto p = S::Set1(1.9875691500e-4f);
  p = S::Fma(p, r, S::Set1(1.3981999507e-3f));
  p = S::Fma(p, r, S::Set1(8.3334519073e-3f));
  p = S::Fma(p, r, S::Set1(4.1665795894e-2f));
  p = S::Fma(p, r, S::Set1(1.6666665459e-1f));
  p = S::Fma(p, r, S::Set1(5.0000001201e-1f));
  p = S::Fma(S::Mul(p, r), r, S::Add(r, S::Set1(1.0f)));
  return S::Scale(p, n);
}

// GELU(z) = z Phi(z), and GELU'(z) = Phi(z) + z phi(z), by erf.
//
// Phi(-u) = exp(-u^2 / 2) R(u) for u >= 0, with R(u) = erfcx(u / sqrt 2) / 2 a
// polynomial in 1 / (1 + u / 4): a minimax fit whose error in Phi is below
// 4e-9. The form is that of Abramowitz and Stegun, 26.2.17.
template <class S>
inline void ErfGelu(typename S::Vec z, typename S::Vec* value,
                    typename S::Vec* slope) {
  const auto one = S::Set1(1.0f);
  const auto u = S::Abs(z);
  const auto t = S::Div(one, S::Fma(u, S::Set1(0.25f), one));
  const auto density = Exp<S>(S::Mul(S::Mul(u, u), S::Set1(-0.5f)));
  auto r = S::Set1(-0x1.780fdap-4f);
  r = S::Fma(r, t, S::Set1(0x1.5ea584p-2f));
  r = S::Fma(r, t, S::Set1(-0x1.12a576p-2f));
  r = S::Fma(r, t, S::Set1(0x1.20c2dcp-2f));
  r = S::Fma(r, t, S::Set1(0x1.92c826p-6f));
  r = S::Fma(r, t, S::Set1(0x1.cb85e4p-4f));
  r = S::Fma(r, t, S::Set1(0x1.94cc48p-4f));
  const auto tail = S::Mul(density, S::Mul(r, t));
  const auto phi = S::WhereNegative(z, tail, S::Sub(one, tail));
  *value = S::Mul(z, phi);
  if (slope != nullptr) {
    *slope = S::Fma(S::Mul(z, density), S::Set1(0.39894228f), phi);
  }
}

// GELU(z) = z s with s = sigmoid(2 sqrt(2 / pi) (z + 0.044715 z^3)), the tanh
// form: 1 + tanh(x) = 2 sigmoid(2x).
template <class S>
inline void TanhGelu(typename S::Vec z, typename S::Vec* value,
                     typename S::Vec* slope) {
  const auto one = S::Set1(1.0f);
  const auto square = S::Mul(z, z);
  const auto twice = S::Set1(1.5957691f);
  const auto inner = S::Fma(square, S::Set1(0.044715f), one);
  const auto x = S::Mul(S::Mul(z, inner), twice);
  const auto e = Exp<S>(S::Sub(S::Set1(0.0f), x));
  const auto s = S::Div(one, S::Add(one, e));
  *value = S::Mul(z, s);
  if (slope != nullptr) {
    const auto inner_slope =
        S::Mul(twice, S::Fma(square, S::Set1(3 * 0.044715f), one));
    // s (1 - s), with 1 - s = e s, which loses nothing where s is near 1.
    const auto s_slope = S::Mul(S::Mul(s, s), e);
    *slope = S::Fma(S::Mul(z, inner_slope), s_slope, s);
  }
}

template <class S, bool kTanh>
inline void Gelu(typename S::Vec z, typename S::Vec* value,
                 typename S::Vec* slope) {
  if constexpr (kTanh) {
    TanhGelu<S>(z, value, slope);
  } else {
    ErfGelu<S>(z, value, slope);
  }
}

// `count` numbers of a type as floats; the lanes behind them are zero.
template <class S>
inline typename S::Vec LoadAs(const void* source, DType dtype, int64_t index,
                              int64_t count) {
  const char* first =
      static_cast<const char*>(source) + index * SizeOf(dtype);
  alignas(64) char part[S::kLanes * sizeof(float)];
  if (count < S::kLanes) {
    __builtin_memset(part, 0, sizeof part);
    __builtin_memcpy(part, first, count * SizeOf(dtype));
    first = part;
  }
  switch (dtype) {
    case DType::kFloat32:
      return S::Load(reinterpret_cast<const float*>(first));
    case DType::kBFloat16:
      return S::LoadBFloat16(first);
    case DType::kFloat16:
      return S::LoadFloat16(first);
    default:
      return S::LoadInt8(first);
  }
}

template <class S>
inline void StoreAs(void* target, DType dtype, int64_t index, int64_t count,
                    typename S::Vec value) {
  char* first = static_cast<char*>(target) + index * SizeOf(dtype);
  alignas(64) char part[S::kLanes * sizeof(float)];
  char* to = count < S::kLanes ? part : first;
  switch (dtype) {
    case DType::kFloat32:
      S::Store(reinterpret_cast<float*>(to), value);
      break;
    case DType::kBFloat16:
      S::StoreBFloat16(to, value);
      break;
    default:
      S::StoreFloat16(to, value);
      break;
  }
  if (to == part) __builtin_memcpy(first, part, count * SizeOf(dtype));
}

inline DType StashType(Stash stash) {
  return stash == Stash::kFloat32    ? DType::kFloat32
         : stash == Stash::kBFloat16 ? DType::kBFloat16
                                     : DType::kFloat16;
}

// The float32 product.
template <class S>
struct FloatCore {
  using Row = float;
  using Panel = float;
  static constexpr int64_t kFeatureStep = S::kLanes;
  static constexpr int64_t kFeaturesATerm = 1;

  template <int M, int N>
  static void Multiply(const void* const* rows, int64_t features,
                       const void* panel, float* out, int64_t out_stride) {
    typename S::Vec sum[M][N];
    const float* row[M];
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      row[m] = static_cast<const float*>(rows[m]);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[m][n] = S::Set1(0.0f);
    }
    const float* w = static_cast<const float*>(panel);
#pragma GCC unroll 4
    for (int64_t e = 0; e < features; ++e) {
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
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        S::Store(out + m * out_stride + n * S::kLanes, sum[m][n]);
      }
    }
  }

  // What the sums read of dZ: dZ itself, [rows, padded_units].
  static int64_t GradientBytes(int64_t, int64_t) { return 0; }
  static const void* PrepareGradient(const float* gradient, int64_t, int64_t,
                                     void*) {
    return gradient;
  }

  // Adds the rows' part to dW^T[0..U, feature .. feature + V * kLanes].
  template <int U, int V>
  static void AddOuter(const void* const* rows, const void* const* next,
                       int64_t row_count, int64_t feature,
                       const void* gradient, int64_t padded_units,
                       float* kernel_sum, int64_t sum_stride) {
    typename S::Vec sum[U][V];
#pragma GCC unroll 16
    for (int u = 0; u < U; ++u) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        sum[u][v] = S::Load(kernel_sum + u * sum_stride + v * S::kLanes);
      }
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
        S::Store(kernel_sum + u * sum_stride + v * S::kLanes, sum[u][v]);
      }
    }
  }

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
      for (int64_t i = 0; i < unit_count; ++i) {
        const int64_t unit = first_unit + i;
        const bool inside = e < problem.features && unit < problem.units;
        *out++ = inside ? Round(problem.kernel[e * problem.units + unit],
                                rounding)
                        : 0.0f;
      }
    }
  }
  static void UnshuffleSum(float*, int64_t, int64_t) {}
};

// The bfloat16 product: two features a term, summed in float32.
template <class S>
struct BFloat16Core {
  using Row = uint16_t;
  using Panel = uint32_t;
  static constexpr int64_t kFeatureStep = 32;
  static constexpr int64_t kFeaturesATerm = 2;

  template <int M, int N>
  static void Multiply(const void* const* rows, int64_t features,
                       const void* panel, float* out, int64_t out_stride) {
    typename S::Vec sum[M][N];
    const uint16_t* row[M];
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      row[m] = static_cast<const uint16_t*>(rows[m]);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[m][n] = S::Set1(0.0f);
    }
    const uint32_t* w = static_cast<const uint32_t*>(panel);
#pragma GCC unroll 4
    for (int64_t e = 0; e < features; e += 2) {
      typename S::Pairs kernel[N];
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) kernel[n] = S::LoadPairs(w + n * S::kLanes);
      w += N * S::kLanes;
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        const auto h = S::Set1Pair(row[m] + e);
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) {
          sum[m][n] = S::Dot(sum[m][n], h, kernel[n]);
        }
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        S::Store(out + m * out_stride + n * S::kLanes, sum[m][n]);
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
  // unpacking gives: UnshuffleSum puts the sums in order in the end.
  template <int U, int V>
  static void AddOuter(const void* const* rows, const void* const* next,
                       int64_t row_count, int64_t feature,
                       const void* gradient, int64_t padded_units,
                       float* kernel_sum, int64_t sum_stride) {
    static_assert(V % 2 == 0, "a row's 32 numbers give two vectors");
    typename S::Vec sum[U][V];
#pragma GCC unroll 16
    for (int u = 0; u < U; ++u) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        sum[u][v] = S::Load(kernel_sum + u * sum_stride + v * S::kLanes);
      }
    }
    const uint32_t* dz = static_cast<const uint32_t*>(gradient);
    for (int64_t r = 0; r < row_count; r += 2, dz += padded_units) {
      const auto* even = static_cast<const uint16_t*>(rows[r]) + feature;
      const auto* odd = static_cast<const uint16_t*>(rows[r + 1]) + feature;
      if (next != nullptr) {
#pragma GCC unroll 4
        for (int v = 0; v < V; v += 2) {
          S::Prefetch(static_cast<const uint16_t*>(next[r]) + feature +
                      v * S::kLanes);
          S::Prefetch(static_cast<const uint16_t*>(next[r + 1]) + feature +
                      v * S::kLanes);
        }
      }
      typename S::Pairs h[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; v += 2) {
        S::LoadRowPairs(even + v * S::kLanes, odd + v * S::kLanes, &h[v],
                        &h[v + 1]);
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
        S::Store(kernel_sum + u * sum_stride + v * S::kLanes, sum[u][v]);
      }
    }
  }

  static constexpr int kOuterUnits = S::kOuterPairUnits;
  static constexpr int kOuterVectors = 2;
  static constexpr int kOuterVectorStep = 2;

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
    uint32_t* out = static_cast<uint32_t*>(target);
    for (int64_t e = 0; e < features; e += 2) {
      for (int64_t i = 0; i < unit_count; ++i) {
        const int64_t unit = first_unit + i;
        uint32_t pair[2] = {0, 0};
        for (int64_t k = 0; k < 2; ++k) {
          if (e + k < problem.features && unit < problem.units) {
            pair[k] = FloatToBFloat16(
                problem.kernel[(e + k) * problem.units + unit]);
          }
        }
        *out++ = pair[0] | pair[1] << 16;
      }
    }
  }

  static void UnshuffleSum(float* kernel_sum, int64_t units, int64_t features) {
    for (int64_t i = 0; i < units * features; i += 32) {
      S::Unshuffle(kernel_sum + i);
    }
  }
};

// Vectors of units are multiplied up to S::kForwardVectors at a time: the
// first vector of panel p of `panels` that share `vectors` evenly.
inline int64_t PanelStart(int64_t p, int64_t panels, int64_t vectors) {
  return p * (vectors / panels) +
         (p < vectors % panels ? p : vectors % panels);
}

template <class S, class Core>
struct Product {
  using Function = void (*)(const void* const*, int64_t, const void*, float*,
                            int64_t);

  template <int M>
  static Function Choose(int64_t n) {
    static_assert(S::kForwardVectors <= 4, "add a case");
    if constexpr (S::kForwardVectors >= 4) {
      if (n == 4) return Core::template Multiply<M, 4>;
    }
    if constexpr (S::kForwardVectors >= 3) {
      if (n == 3) return Core::template Multiply<M, 3>;
    }
    if constexpr (S::kForwardVectors >= 2) {
      if (n == 2) return Core::template Multiply<M, 2>;
    }
    return Core::template Multiply<M, 1>;
  }

  template <int M = S::kForwardRows>
  static Function Choose(int64_t m, int64_t n) {
    if constexpr (M > 1) {
      if (m < M) return Choose<M - 1>(m, n);
    }
    return Choose<M>(n);
  }

  static int64_t Panels(int64_t vectors) {
    return (vectors + S::kForwardVectors - 1) / S::kForwardVectors;
  }

  // out[r, 0 .. vectors * kLanes] = rows[r] . W, for every row.
  static void Multiply(const void* const* rows, int64_t row_count,
                       int64_t features, const void* packed, int64_t vectors,
                       float* out, int64_t out_stride) {
    const int64_t panels = Panels(vectors);
    const int64_t terms = features / Core::kFeaturesATerm;
    const auto multiply = [&](int64_t r, int64_t p) {
      const int64_t begin = PanelStart(p, panels, vectors);
      const int64_t width = PanelStart(p + 1, panels, vectors) - begin;
      const int64_t left = row_count - r;
      Choose(left < S::kForwardRows ? left : S::kForwardRows, width)(
          rows + r, features,
          static_cast<const typename Core::Panel*>(packed) +
              begin * S::kLanes * terms,
          out + r * out_stride + begin * S::kLanes, out_stride);
    };
    // What is read again and again should be what fits in the cache: all of
    // W, else one panel of it.
    constexpr int64_t kSmallKernelBytes = 256 << 10;
    if (terms * vectors * S::kLanes * 4 <= kSmallKernelBytes) {
      for (int64_t r = 0; r < row_count; r += S::kForwardRows) {
        for (int64_t p = 0; p < panels; ++p) multiply(r, p);
      }
    } else {
      for (int64_t p = 0; p < panels; ++p) {
        for (int64_t r = 0; r < row_count; r += S::kForwardRows) {
          multiply(r, p);
        }
      }
    }
  }
};

template <class S, class Core>
struct OuterProduct {
  using Function = void (*)(const void* const*, const void* const*, int64_t,
                            int64_t, const void*, int64_t, float*, int64_t);

  template <int V = Core::kOuterVectors>
  static Function Choose(int64_t vectors) {
    constexpr int kStep = Core::kOuterVectorStep;
    if constexpr (V > kStep) {
      if (vectors < V) return Choose<V - kStep>(vectors);
    }
    return Core::template AddOuter<Core::kOuterUnits, V>;
  }

  // kernel_sum[a, e] += sum_r dZ[r, a] H[r, e].
  static void Add(const void* const* rows, const void* const* next,
                  int64_t row_count, int64_t features, const void* gradient,
                  int64_t units, int64_t padded_units, float* kernel_sum,
                  int64_t sum_stride) {
    constexpr int64_t kWidth = Core::kOuterVectors * S::kLanes;
    for (int64_t e = 0; e < features; e += kWidth) {
      const int64_t left = (features - e) / S::kLanes;
      const Function add =
          Choose(left < Core::kOuterVectors ? left : Core::kOuterVectors);
      for (int64_t a = 0; a < units; a += Core::kOuterUnits) {
        add(rows, a == 0 ? next : nullptr, row_count, e,
            static_cast<const uint32_t*>(gradient) + a, padded_units,
            kernel_sum + a * sum_stride + e, sum_stride);
      }
    }
  }
};

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
      if (UsesBFloat16(pass)) return Forward<BFloat16Core<S>>(pass, chunk);
    }
    Forward<FloatCore<S>>(pass, chunk);
  }

  static void Backward(const Pass& pass, const Chunk& chunk) {
    if constexpr (S::kHasBFloat16Dot) {
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
      return problem.dtype == DType::kBFloat16 &&
             problem.features % BFloat16Core<S>::kFeatureStep == 0;
    }
    return problem.dtype == DType::kFloat32 &&
           problem.features % FloatCore<S>::kFeatureStep == 0;
  }

  // Where everything lies in a chunk's scratch memory.
  struct Scratch {
    const void** rows;       // [tile_rows + 1]
    const void** next_rows;  // [tile_rows + 1]
    float* row_scales;       // [tile_rows]
    void* zero_row;          // [padded_features]
    void* copied_rows;       // [tile_rows, padded_features]
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
      const int64_t rows_up = pass.tile_rows + 1;
      const size_t number = UsesBFloat16(pass) ? 2 : 4;
      const size_t projection_bytes =
          problem.layers * problem.outputs * pass.padded_units * 4;
      rows = static_cast<const void**>(take(rows_up * sizeof(void*)));
      next_rows = static_cast<const void**>(take(rows_up * sizeof(void*)));
      row_scales = static_cast<float*>(take(pass.tile_rows * 4));
      zero_row = take(pass.padded_features * number);
      copied_rows = take(ReadsInPlace(pass) ? 0
                                            : pass.tile_rows *
                                                  pass.padded_features *
                                                  number);
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

  // Fills `rows` for tokens first .. last of the order, in place.
  static void FindRows(const Pass& pass, int64_t first, int64_t last,
                       const void* zero_row, const void** rows) {
    const Problem& problem = *pass.problem;
    for (int64_t i = first; i < last; ++i) {
      for (int64_t l = 0; l < problem.layers; ++l) {
        *rows++ = SourceRow(problem, pass.order[i], l);
      }
    }
    *rows = zero_row;
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

  // Z of a tile, from its rows.
  template <class Core>
  static void ComputeZ(const Pass& pass, int64_t row_count,
                       const Scratch& scratch) {
    Product<S, Core>::Multiply(scratch.rows, row_count, Features(pass),
                               pass.packed_kernel, pass.padded_units / kLanes,
                               scratch.z, pass.padded_units);
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
      if (ReadsInPlace(pass)) {
        FindRows(pass, i, end, scratch.zero_row, scratch.rows);
      } else {
        CopyRows<Core>(pass, i, end, scratch);
      }
      ReadScales(pass, i, end, scratch.row_scales);
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
    const bool in_place = ReadsInPlace(pass);
    __builtin_memset(scratch.zero_row, 0,
                     pass.padded_features * sizeof(typename Core::Row));
    Scratch tile = scratch;
    if (in_place) {
      FindRows(pass, chunk.first, TileEnd(pass, chunk, chunk.first),
               scratch.zero_row, tile.rows);
    }
    for (int64_t i = chunk.first; i < chunk.last; i += pass.tile_tokens) {
      const int64_t end = TileEnd(pass, chunk, i);
      const int64_t row_count = (end - i) * problem.layers;
      const void* const* next = nullptr;
      if (in_place) {
        const int64_t next_end = TileEnd(pass, chunk, end);
        FindRows(pass, end, next_end, scratch.zero_row, tile.next_rows);
        // Prefetching goes row by row with this tile's.
        if (next_end - end >= end - i) next = tile.next_rows;
      } else {
        CopyRows<Core>(pass, i, end, tile);
      }
      ReadScales(pass, i, end, scratch.row_scales);
      ComputeZGradient<Core, true>(pass, i, end, tile, &positions,
                                   chunk.bias_sum);
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
      OuterProduct<S, Core>::Add(tile.rows, next, row_count, Features(pass),
                                 gradient, problem.units, pass.padded_units,
                                 chunk.kernel_sum, pass.padded_features);
      const void** const rows = tile.rows;
      tile.rows = tile.next_rows;
      tile.next_rows = rows;
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
        if (ReadsInPlace(pass)) {
          FindRows(pass, i, end, scratch.zero_row, scratch.rows);
        } else {
          CopyRows<Core>(pass, i, end, scratch);
        }
      }
      ComputeZGradient<Core, false>(pass, i, end, scratch, &positions,
                                    nullptr);
      for (int64_t r = 0; r < row_count; ++r) {
        scratch.rows[r] = scratch.z + r * pass.padded_units;
      }
      Product<S, FloatCore<S>>::Multiply(
          scratch.rows, row_count, pass.padded_units, pass.packed_transpose,
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
