// The product of 8 bits: four features a term, summed in 32-bit integers.
//
//     q(x) = round(x 127 / max|x|)      a row's own maximum; a column's own
//     x . w = (q(x) . q(w)) (max|x| / 127) (max|w| / 127)
//
// Integers are exact, in any order and with any instruction: every instruction
// set gives the same sums. No term saturates, since no number is beyond 127.
//
// A row is stored twice, as the instructions read it: its numbers, then their
// magnitudes. Where S::kInt8Offset, unsigned numbers are multiplied: those of
// the row plus 128, and 128 times the sum of each column is taken off.
template <class S>
struct Int8Core {
  using Panel = uint32_t;  // four features of a column
  static constexpr int kRows = S::kInt8Rows;
  static constexpr int64_t kFeatureStep = 16;
  static constexpr int64_t kFeaturesATerm = 4;
  static constexpr int64_t kBlock = 512;
  static constexpr bool kQuantises = true;

  static_assert(kFeatureStep % S::kLanes == 0, "rows are whole vectors");

  // As FloatCore's; what is written are integers.
  template <int M, int N>
  static void MultiplyBlock(const void* const* rows, const void* const*,
                            int64_t begin, int64_t features, const void* panel,
                            float* out, int64_t out_stride) {
    const uint8_t* row[M];
    typename S::Ints sum[M][N];
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      row[m] = static_cast<const uint8_t*>(rows[m]);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        sum[m][n] = begin == 0
                        ? S::ZeroInts()
                        : S::LoadInts(out + m * out_stride + n * S::kLanes);
      }
    }
    const Panel* w = static_cast<const Panel*>(panel) +
                     begin / kFeaturesATerm * N * S::kLanes;
    const int64_t end = begin + kBlock < features ? begin + kBlock : features;
    for (int64_t e = begin; e < end; e += kFeaturesATerm) {
      typename S::Ints kernel[N];
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) kernel[n] = S::LoadInts(w + n * S::kLanes);
      w += N * S::kLanes;
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        const auto x = S::Set1Quad(row[m] + e, row[m] + features + e);
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) {
          sum[m][n] = S::AddQuads(sum[m][n], x, kernel[n]);
        }
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        S::StoreInts(out + m * out_stride + n * S::kLanes, sum[m][n]);
      }
    }
  }

  static int64_t RowBytes(int64_t padded) { return RoundUp(2 * padded, 64); }

  // A row of floats in 8 bits; gives its scale, which is NaN where one of them
  // is not finite.
  static float Quantise(const float* row, int64_t features, int64_t padded,
                        uint8_t* out) {
    typename S::Vec most = S::Set1(0.0f);
    typename S::Vec wrong = S::Set1(0.0f);
    for (int64_t e = 0; e < features; e += S::kLanes) {
      const auto x = Part(row, e, features);
      most = S::Max(S::Abs(x), most);
      wrong = S::Fma(x, S::Set1(0.0f), wrong);  // NaN of what is not finite
    }
    alignas(64) float lanes[S::kLanes];
    S::Store(lanes, most);
    float largest = lanes[0];
    for (int64_t i = 1; i < S::kLanes; ++i) {
      if (lanes[i] > largest) largest = lanes[i];
    }
    const Scale scale = ScaleOf(S::Sum(wrong) == 0.0f ? largest
                                                      : __builtin_nanf(""));
    int8_t* const numbers = reinterpret_cast<int8_t*>(out);
    if (scale.inverse == 0.0f) {
      __builtin_memset(numbers, 0, padded);
    } else {
      const auto inverse = S::Set1(scale.inverse);
      int64_t e = 0;
      for (; e < features; e += S::kLanes) {
        S::StoreInt8(numbers + e, S::Mul(Part(row, e, features), inverse));
      }
      __builtin_memset(numbers + e, 0, padded - e);
    }
    for (int64_t e = 0; e < padded; ++e) {
      const int number = numbers[e];
      if (S::kInt8Offset) {
        out[e] = static_cast<uint8_t>(number + 128);
      } else {
        out[padded + e] = static_cast<uint8_t>(number < 0 ? -number : number);
      }
    }
    return scale.scale;
  }

  // The integers of a row's sums as floats, in their place.
  static void Dequantise(float* sums, int64_t count, float row_scale,
                         const float* column_scales, const int32_t* offsets) {
    const auto scale = S::Set1(row_scale);
    for (int64_t i = 0; i < count; i += S::kLanes) {
      auto sum = S::LoadInts(sums + i);
      if constexpr (S::kInt8Offset) {
        sum = S::SubInts(sum, S::LoadInts(offsets + i));
      }
      S::Store(sums + i, S::Mul(S::Mul(S::ToFloats(sum), scale),
                                S::Load(column_scales + i)));
    }
  }

  // Each column's scale, and what S::kInt8Offset asks to be taken off.
  static void PackColumns(const float* kernel, int64_t features,
                          int64_t columns, float* scales, int32_t* offsets) {
    for (int64_t a = 0; a < columns; ++a) {
      const float most = LargestOf(kernel + a, features, columns);
      scales[a] = ScaleOf(most).scale;
      if (!S::kInt8Offset) continue;
      int32_t sum = 0;
      for (int64_t e = 0; e < features; ++e) {
        sum += Rounded(kernel[e * columns + a], ScaleOf(most));
      }
      offsets[a] = 128 * sum;
    }
  }

  // W in panels: [features / 4, units, 4] each.
  static void PackPanel(const Problem& problem, int64_t features,
                        int64_t first_unit, int64_t unit_count, void* target) {
    int8_t* const out = static_cast<int8_t*>(target);
    __builtin_memset(out, 0, features * unit_count);
    const int64_t left = problem.units - first_unit;
    for (int64_t a = 0; a < (left < unit_count ? left : unit_count); ++a) {
      const float* column = problem.kernel + first_unit + a;
      const Scale scale =
          ScaleOf(LargestOf(column, problem.features, problem.units));
      for (int64_t e = 0; e < problem.features; ++e) {
        out[(e / 4 * unit_count + a) * 4 + e % 4] =
            Rounded(column[e * problem.units], scale);
      }
    }
  }

 private:
  struct Scale {
    float inverse;  // what numbers are multiplied with; 0: all are 0
    float scale;
  };

  static Scale ScaleOf(float largest) {
    if (!(largest <= 0x1.fffffep127f)) return {0.0f, __builtin_nanf("")};
    // So little is nothing, and its inverse might not be a number.
    if (largest < 0x1p-100f) return {0.0f, 0.0f};
    return {127.0f / largest, largest / 127.0f};
  }

  static int8_t Rounded(float value, Scale scale) {
    if (scale.inverse == 0.0f) return 0;
    // This leaves the nearest integer, even where two are.
    const float magic = 0x1.8p23f;
    return static_cast<int8_t>((value * scale.inverse + magic) - magic);
  }

  // The largest magnitude, or NaN: by their bits, which are in that order.
  static float LargestOf(const float* column, int64_t count, int64_t stride) {
    uint32_t most = 0;
    for (int64_t e = 0; e < count; ++e) {
      const uint32_t bits =
          LoadScalar<uint32_t>(column + e * stride) & 0x7fffffffu;
      if (bits > most) most = bits;
    }
    return LoadScalar<float>(&most);
  }

  static typename S::Vec Part(const float* row, int64_t index, int64_t count) {
    const int64_t left = count - index;
    return LoadAs<S>(row, DType::kFloat32, index,
                     left < S::kLanes ? left : S::kLanes);
  }
};
