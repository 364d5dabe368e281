// The two products over all rows of a tile, cut to what registers hold.

// Vectors of units are multiplied up to S::kForwardVectors at a time: the
// first vector of panel p of `panels` that share `vectors` evenly.
inline int64_t PanelStart(int64_t p, int64_t panels, int64_t vectors) {
  return p * (vectors / panels) + (p < vectors % panels ? p : vectors % panels);
}

template <class S, class Core>
struct Product {
  using Function = void (*)(const void* const*, const void* const*, int64_t,
                            const void*, float*, int64_t);
  using BlockFunction = void (*)(const void* const*, const void* const*,
                                 int64_t, int64_t, const void*, float*,
                                 int64_t);

  struct Whole {
    using Type = Function;
    template <int M, int N>
    static constexpr Function kFunction = Core::template Multiply<M, N>;
  };
  struct Block {
    using Type = BlockFunction;
    template <int M, int N>
    static constexpr BlockFunction kFunction =
        Core::template MultiplyBlock<M, N>;
  };

  template <class Kind, int M>
  static typename Kind::Type ChooseVectors(int64_t n) {
    static_assert(S::kForwardVectors <= 4, "add a case");
    if constexpr (S::kForwardVectors >= 4) {
      if (n == 4) return Kind::template kFunction<M, 4>;
    }
    if constexpr (S::kForwardVectors >= 3) {
      if (n == 3) return Kind::template kFunction<M, 3>;
    }
    if constexpr (S::kForwardVectors >= 2) {
      if (n == 2) return Kind::template kFunction<M, 2>;
    }
    return Kind::template kFunction<M, 1>;
  }

  // What multiplies m rows with n vectors of units: all features of them, or
  // a block.
  template <class Kind = Whole, int M = Core::kRows>
  static typename Kind::Type Choose(int64_t m, int64_t n) {
    if constexpr (M > 1) {
      if (m < M) return Choose<Kind, M - 1>(m, n);
    }
    return ChooseVectors<Kind, M>(n);
  }

  static int64_t Panels(int64_t vectors) {
    return (vectors + S::kForwardVectors - 1) / S::kForwardVectors;
  }

  // What is read again and again should be what fits in the cache: all of W,
  // else one panel of it.
  static bool KernelIsSmall(int64_t features, int64_t vectors) {
    constexpr int64_t kSmallKernelBytes = 256 << 10;
    return features / Core::kFeaturesATerm * vectors * S::kLanes * 4 <=
           kSmallKernelBytes;
  }

  // out[r, 0 .. vectors * kLanes] = rows[r] . W, for every row. With `ahead`,
  // kForwardRows more rows stand after them, which will be read next.
  static void Multiply(const void* const* rows, bool ahead, int64_t row_count,
                       int64_t features, const void* packed, int64_t vectors,
                       float* out, int64_t out_stride) {
    const int64_t panels = Panels(vectors);
    const int64_t terms = features / Core::kFeaturesATerm;
    const auto multiply = [&](int64_t r, int64_t p) {
      const int64_t begin = PanelStart(p, panels, vectors);
      const int64_t width = PanelStart(p + 1, panels, vectors) - begin;
      const int64_t left = row_count - r;
      Choose(left < S::kForwardRows ? left : S::kForwardRows, width)(
          rows + r, ahead && p == 0 ? rows + r + S::kForwardRows : nullptr,
          features,
          static_cast<const typename Core::Panel*>(packed) +
              begin * S::kLanes * terms,
          out + r * out_stride + begin * S::kLanes, out_stride);
    };
    if (KernelIsSmall(features, vectors)) {
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
  using Function = void (*)(const void* const*, const void* const*, void*,
                            int64_t, int64_t, const void*, int64_t, float*,
                            int64_t);

  template <Source kSource, int V = Core::kOuterVectors>
  static Function Choose(int64_t vectors) {
    constexpr int kStep = Core::kOuterVectorStep;
    if constexpr (V > kStep) {
      if (vectors < V) return Choose<kSource, V - kStep>(vectors);
    }
    return Core::template AddOuter<Core::kOuterUnits, V, kSource>;
  }

  // kernel_sum[a, e] += sum_r dZ[r, a] H[r, e]. Columns of H, which lie far
  // apart and may have to be converted, are kept in `block` while they are
  // multiplied: Core::BlockBytes.
  static void Add(const void* const* rows, const void* const* next, void* block,
                  int64_t row_count, int64_t features, const void* gradient,
                  int64_t units, int64_t padded_units, float* kernel_sum,
                  int64_t sum_stride) {
    constexpr int64_t kWidth = Core::kOuterVectors * S::kLanes;
    for (int64_t e = 0; e < features; e += kWidth) {
      const int64_t left = (features - e) / S::kLanes;
      const int64_t vectors =
          left < Core::kOuterVectors ? left : Core::kOuterVectors;
      Function first = Choose<Source::kRows>(vectors);
      Function others = first;
      if constexpr (Core::kLeastBlocksToKeep > 0) {
        if (units > (Core::kLeastBlocksToKeep - 1) * Core::kOuterUnits) {
          first = Choose<Source::kRowsToBlock>(vectors);
          others = Choose<Source::kBlock>(vectors);
        }
      }
      for (int64_t a = 0; a < units; a += Core::kOuterUnits) {
        (a == 0 ? first : others)(
            rows, a == 0 ? next : nullptr, block, row_count, e,
            static_cast<const uint32_t*>(gradient) + a, padded_units,
            kernel_sum + a * sum_stride + e, sum_stride);
      }
    }
  }
};
