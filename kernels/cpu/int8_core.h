// The product of 8 bits: four features a term, summed in 32-bit integers.
//
//     q(x) = round(x 127 / max|x|)      a row's own maximum; a column's own
//     x . w = (q(x) . q(w)) (max|x| / 127) (max|w| / 127)
//
// Integers are exact, in any order and with any instruction: every instruction
// set gives the same sums. No term saturates, since no number is beyond 127.
//
// The instructions multiply unsigned numbers with signed ones; which are made
// unsigned is S::kInt8's. What that adds to a sum is taken off in the end: 128
// times the sum of a column, or 127 times that of a row.
//
// With unsigned weights, two terms are added in 16 bits first. They fit unless
// two numbers of a row side by side are beyond 129 together, which few are: what
// is too much is multiplied by itself, in a list of such rests.
template <class S>
struct Int8Core {
  using Panel = uint32_t;  // four features of a column
  static constexpr int kRows = S::kInt8Rows;
  static constexpr int64_t kFeatureStep = S::kInt8Step;
  static constexpr int64_t kFeaturesATerm = 4;
  static constexpr int64_t kBlock = 512;
  static constexpr bool kQuantises = true;

  static constexpr bool kUnsignedRows = S::kInt8 == Int8Kind::kUnsignedRows;
  static constexpr bool kUnsignedWeights =
      S::kInt8 == Int8Kind::kUnsignedWeights;

  static_assert(kFeatureStep % S::kLanes == 0, "rows are whole vectors");

  // What is left of a term's four numbers of a row.
  struct Rest {
    int32_t term;
    int8_t numbers[4];
  };

  // A row in 8 bits; its rests lie behind its numbers.
  struct Row {
    float scale;     // NaN where a number is not finite
    int32_t offset;  // of each sum
    int32_t rests;
  };

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
        const auto x = S::Set1Quad(row[m] + e);
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

  static int64_t RowBytes(int64_t padded) {
    const int64_t rests = kUnsignedWeights ? padded / 4 : 0;
    return RoundUp(padded + rests * sizeof(Rest), 64);
  }

  static Row Quantise(const float* row, int64_t features, int64_t padded,
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
    Row made = {scale.scale, 0, 0};
    if constexpr (kUnsignedRows) {
      for (int64_t e = 0; e < padded; ++e) out[e] ^= 0x80;
    }
    if constexpr (kUnsignedWeights) {
      auto sum = S::ZeroInts();
      for (int64_t e = 0; e < padded; e += kFeatureStep) {
        if (S::AddNumbers(numbers + e, &sum)) {
          SplitRests(numbers, e, padded, &made);
        }
      }
      alignas(64) int32_t sums[S::kLanes];
      S::StoreInts(sums, sum);
      for (int64_t i = 0; i < S::kLanes; ++i) made.offset += 127 * sums[i];
    }
    return made;
  }

  // Adds what the row's rests give to its sums with a panel.
  template <int N = S::kForwardVectors>
  static void AddRests(const uint8_t* row, int64_t padded, int32_t rests,
                       const Panel* panel, int64_t vectors, float* sums) {
    if constexpr (N > 1) {
      if (vectors < N) {
        return AddRests<N - 1>(row, padded, rests, panel, vectors, sums);
      }
    }
    typename S::Ints sum[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) sum[n] = S::LoadInts(sums + n * S::kLanes);
    const uint8_t* rest = row + padded;
    for (int32_t i = 0; i < rests; ++i, rest += sizeof(Rest)) {
      const int64_t term = LoadScalar<int32_t>(rest);
      const auto x = S::Set1Quad(rest + sizeof(int32_t));
      const Panel* w = panel + term * N * S::kLanes;
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        sum[n] = S::AddQuads(sum[n], x, S::LoadInts(w + n * S::kLanes));
      }
    }
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) S::StoreInts(sums + n * S::kLanes, sum[n]);
  }

  // The integers of a row's sums as floats, in their place.
  static void Dequantise(float* sums, int64_t count, const Row& row,
                         const float* column_scales, const int32_t* offsets) {
    const auto scale = S::Set1(row.scale);
    for (int64_t i = 0; i < count; i += S::kLanes) {
      auto sum = S::LoadInts(sums + i);
      if constexpr (kUnsignedRows) {
        sum = S::SubInts(sum, S::LoadInts(offsets + i));
      }
      if constexpr (kUnsignedWeights) {
        sum = S::SubInts(sum, S::Set1Int(row.offset));
      }
      S::Store(sums + i, S::Mul(S::Mul(S::ToFloats(sum), scale),
                                S::Load(column_scales + i)));
    }
  }

  // Each column's scale, and what is taken off its sums.
  static void PackColumns(const float* kernel, int64_t features,
                          int64_t columns, float* scales, int32_t* offsets) {
    for (int64_t a = 0; a < columns; ++a) {
      const float most = LargestOf(kernel + a, features, columns);
      scales[a] = ScaleOf(most).scale;
      if (!kUnsignedRows) continue;
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
    uint8_t* const out = static_cast<uint8_t*>(target);
    __builtin_memset(out, 0, features * unit_count);
    const int64_t left = problem.units - first_unit;
    for (int64_t a = 0; a < (left < unit_count ? left : unit_count); ++a) {
      const float* column = problem.kernel + first_unit + a;
      const Scale scale =
          ScaleOf(LargestOf(column, problem.features, problem.units));
      for (int64_t e = 0; e < problem.features; ++e) {
        out[(e / 4 * unit_count + a) * 4 + e % 4] =
            static_cast<uint8_t>(Rounded(column[e * problem.units], scale) +
                                 (kUnsignedWeights ? 127 : 0));
      }
    }
  }

 private:
  struct Scale {
    float inverse;  // what numbers are multiplied with; 0: all are 0
    float scale;
  };

  // Of the step's pairs that are beyond 129, what is too much.
  static void SplitRests(int8_t* numbers, int64_t begin, int64_t padded,
                         Row* row) {
    for (int64_t e = begin; e < begin + kFeatureStep; e += 4) {
      Rest rest = {static_cast<int32_t>(e / 4), {0, 0, 0, 0}};
      bool any = false;
      for (int64_t k = 0; k < 4; k += 2) {
        int8_t* const pair = numbers + e + k;
        const int sum = pair[0] + pair[1];
        const int most = sum < 0 ? -129 : 129;
        if (sum * (sum < 0 ? -1 : 1) <= 129) continue;
        rest.numbers[k] = static_cast<int8_t>(sum - most);
        pair[0] = static_cast<int8_t>(most - pair[1]);
        any = true;
      }
      if (!any) continue;
      __builtin_memcpy(numbers + padded + row->rests * sizeof(Rest), &rest,
                       sizeof rest);
      ++row->rests;
    }
  }

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
