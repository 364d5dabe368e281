// How a packed layer lies in memory.

template <class S>
inline bool MultipliesBFloat16(DType precision) {
  return S::kHasBFloat16Dot && precision == DType::kBFloat16;
}

// One product's weights: panels, and the bias padded to whole vectors; with 8
// bits, so are the columns' scales, and offsets where they are needed.
struct PackedProduct {
  int64_t given;     // features of a row
  int64_t features;  // the same, padded
  int64_t columns;
  int64_t vectors;
  size_t kernel;  // where they begin, in bytes
  size_t bias;
  size_t scales;
  size_t offsets;
};

template <class S>
struct PackedLayout {
  PackedProduct query_key_value, attention_output, intermediate, output;
  size_t attention_gamma, attention_beta, output_gamma, output_beta;
  size_t epsilons;  // two floats
  size_t bytes;

  PackedLayout(const EncoderSizes& sizes, DType precision) {
    const int64_t hidden = sizes.hidden;
    const bool narrow = MultipliesBFloat16<S>(precision);
    const bool quantised = precision == DType::kInt8;
    bytes = 0;
    const auto take = [&](size_t size) {
      const size_t place = bytes;
      bytes += RoundUp(size, 64);
      return place;
    };
    const auto product = [&](int64_t features, int64_t columns) {
      PackedProduct product;
      product.features =
          quantised ? RoundUp(features, Int8Core<S>::kFeatureStep)
          : narrow  ? RoundUp(features, BFloat16Core<S>::kFeatureStep)
                    : features;
      product.given = features;
      product.columns = columns;
      product.vectors = RoundUp(columns, S::kLanes) / S::kLanes;
      product.kernel = take(product.features * product.vectors * S::kLanes *
                            (quantised ? 1 : narrow ? 2 : 4));
      const size_t row = product.vectors * S::kLanes * 4;
      product.bias = take(row);
      product.scales = take(quantised ? row : 0);
      product.offsets = take(quantised && Int8Core<S>::kUnsignedRows ? row : 0);
      return product;
    };
    query_key_value = product(hidden, 3 * hidden);
    attention_output = product(hidden, hidden);
    intermediate = product(hidden, sizes.inner);
    output = product(sizes.inner, hidden);
    const size_t norm = RoundUp(hidden, S::kLanes) * 4;
    attention_gamma = take(norm);
    attention_beta = take(norm);
    output_gamma = take(norm);
    output_beta = take(norm);
    epsilons = take(8);
  }
};

template <class S>
class EncoderPacking {
 public:
  static size_t Bytes(const EncoderSizes& sizes, DType precision) {
    return PackedLayout<S>(sizes, precision).bytes;
  }

  static void Pack(const EncoderSizes& sizes, DType precision,
                   const EncoderWeights& weights, void* packed) {
    const PackedLayout<S> layout(sizes, precision);
    char* const base = static_cast<char*>(packed);
    __builtin_memset(base, 0, layout.bytes);
    const auto pack = [&](const PackedProduct& product, int64_t features,
                          const float* kernel, const float* bias) {
      if (precision == DType::kInt8) {
        using Core = Int8Core<S>;
        Core::PackColumns(kernel, features, product.columns,
                          reinterpret_cast<float*>(base + product.scales),
                          reinterpret_cast<int32_t*>(base + product.offsets));
        PackKernel<Core>(product, features, kernel, base + product.kernel);
      } else if (MultipliesBFloat16<S>(precision)) {
        if constexpr (S::kHasBFloat16Dot) {
          PackKernel<BFloat16Core<S>>(product, features, kernel,
                                      base + product.kernel);
        }
      } else {
        PackKernel<FloatCore<S>>(product, features, kernel,
                                 base + product.kernel);
      }
      __builtin_memcpy(base + product.bias, bias, product.columns * 4);
    };
    pack(layout.query_key_value, sizes.hidden, weights.query_key_value_kernel,
         weights.query_key_value_bias);
    pack(layout.attention_output, sizes.hidden,
         weights.attention_output_kernel, weights.attention_output_bias);
    pack(layout.intermediate, sizes.hidden, weights.intermediate_kernel,
         weights.intermediate_bias);
    pack(layout.output, sizes.inner, weights.output_kernel,
         weights.output_bias);
    const size_t norm = sizes.hidden * 4;
    __builtin_memcpy(base + layout.attention_gamma, weights.attention_gamma,
                     norm);
    __builtin_memcpy(base + layout.attention_beta, weights.attention_beta,
                     norm);
    __builtin_memcpy(base + layout.output_gamma, weights.output_gamma, norm);
    __builtin_memcpy(base + layout.output_beta, weights.output_beta, norm);
    const float epsilons[] = {weights.attention_epsilon,
                              weights.output_epsilon};
    __builtin_memcpy(base + layout.epsilons, epsilons, sizeof epsilons);
  }

 private:
  template <class Core>
  static void PackKernel(const PackedProduct& product, int64_t features,
                         const float* kernel, void* target) {
    Problem problem;
    problem.features = features;
    problem.units = product.columns;
    problem.kernel = kernel;
    const int64_t panels = Product<S, Core>::Panels(product.vectors);
    auto* out = static_cast<typename Core::Panel*>(target);
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t begin = PanelStart(p, panels, product.vectors) * S::kLanes;
      const int64_t end =
          PanelStart(p + 1, panels, product.vectors) * S::kLanes;
      Core::PackPanel(problem, product.features, begin, end - begin, out);
      out += (end - begin) * (product.features / Core::kFeaturesATerm);
    }
  }
};
