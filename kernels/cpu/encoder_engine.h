// The parts of an encoder's layer, written once for every instruction set.
//
// A product takes a panel of columns at a time, and a tile of rows with it:
// what it gives stays in the first-level cache until bias, GELU or what is to
// be added has been seen to.

template <class S>
class EncoderEngine {
 public:
  using Vec = typename S::Vec;
  static constexpr int64_t kLanes = S::kLanes;

  static int64_t Panels(int64_t columns) {
    return Product<S, FloatCore<S>>::Panels(RoundUp(columns, kLanes) / kLanes);
  }

  static EncoderStrides Strides(const EncoderSizes& sizes, DType precision) {
    const bool narrow = MultipliesBFloat16<S>(precision);
    const auto stride = [](int64_t count, int64_t bytes) {
      // Rows a power of two apart would share the first-level cache's sets.
      return RoundUp(count, 32) + 64 / bytes;
    };
    EncoderStrides strides;
    strides.hidden = stride(sizes.hidden, 4);
    strides.projected = stride(3 * sizes.hidden, 4);
    strides.operand_bytes = narrow ? 2 : 4;
    strides.hidden_operand = stride(sizes.hidden, strides.operand_bytes);
    strides.inner_operand = stride(sizes.inner, strides.operand_bytes);
    strides.separate_operands = narrow;
    return strides;
  }

  static void Prepare(const EncoderPass& pass, const EncoderRows& rows,
                      int64_t first_row, int64_t last_row) {
    if (!pass.strides.separate_operands) return;
    for (int64_t r = first_row; r < last_row; ++r) {
      ClearPadding(Operand(pass, rows.attended, r, pass.strides.hidden_operand),
                   pass.sizes.hidden);
      ClearPadding(Operand(pass, rows.inner, r, pass.strides.inner_operand),
                   pass.sizes.inner);
    }
    NarrowRows(pass, rows, first_row, last_row);
  }

  // Of a tile's rows in 8 bits.
  static size_t ProductBytes(const EncoderSizes& sizes, DType precision) {
    if (precision != DType::kInt8) return 0;
    using Core = Int8Core<S>;
    const int64_t most =
        sizes.hidden > sizes.inner ? sizes.hidden : sizes.inner;
    return kTile * Core::RowBytes(RoundUp(most, Core::kFeatureStep));
  }

  static void Project(const EncoderPass& pass, const EncoderRows& rows,
                      const EncoderPart& part) {
    const PackedLayout<S> layout(pass.sizes, pass.precision);
    const float* bias = Floats(pass, layout.query_key_value.bias);
    Multiply(pass, layout.query_key_value, rows.operands,
             pass.strides.hidden_operand, part,
             [&](int64_t row, int64_t column, int64_t count, const float* in) {
               float* out =
                   rows.projected + row * pass.strides.projected + column;
               for (int64_t i = 0; i < count; i += kLanes) {
                 S::Store(out + i, S::Add(S::Load(in + i),
                                          S::Load(bias + column + i)));
               }
             });
  }

  static size_t AttentionBytes(const EncoderSizes& sizes, int64_t tokens) {
    return AttentionScratch(sizes, tokens, nullptr).bytes;
  }

  static void Attend(const EncoderPass& pass, const EncoderRows& rows,
                     int64_t first_row, int64_t tokens, int64_t first_head,
                     int64_t last_head, void* memory) {
    const AttentionScratch scratch(pass.sizes, tokens, memory);
    for (int64_t head = first_head; head < last_head; ++head) {
      AttendHead(pass, rows, first_row, tokens, head, scratch);
    }
  }

  static void AddAttention(const EncoderPass& pass, const EncoderRows& rows,
                           const EncoderPart& part) {
    const PackedLayout<S> layout(pass.sizes, pass.precision);
    AddProduct(pass, layout.attention_output, rows.attended,
               pass.strides.hidden_operand, rows, part);
  }

  static void Widen(const EncoderPass& pass, const EncoderRows& rows,
                    const EncoderPart& part) {
    pass.approximate ? WidenBy<true>(pass, rows, part)
                     : WidenBy<false>(pass, rows, part);
  }

  static void AddInner(const EncoderPass& pass, const EncoderRows& rows,
                       const EncoderPart& part) {
    const PackedLayout<S> layout(pass.sizes, pass.precision);
    AddProduct(pass, layout.output, rows.inner, pass.strides.inner_operand,
               rows, part);
  }

  static void Normalise(const EncoderPass& pass, const EncoderRows& rows,
                        bool after_layer, int64_t first_row,
                        int64_t last_row) {
    const PackedLayout<S> layout(pass.sizes, pass.precision);
    const float* gamma = Floats(
        pass, after_layer ? layout.output_gamma : layout.attention_gamma);
    const float* beta =
        Floats(pass, after_layer ? layout.output_beta : layout.attention_beta);
    const float epsilon = Floats(pass, layout.epsilons)[after_layer ? 1 : 0];
    for (int64_t r = first_row; r < last_row; ++r) {
      NormaliseRow(rows.sums + r * pass.strides.hidden, pass.sizes.hidden,
                   gamma, beta, epsilon,
                   rows.states + r * pass.strides.hidden);
    }
    NarrowRows(pass, rows, first_row, last_row);
  }

  static void Write(const float* states, int64_t count, DType dtype,
                    void* target) {
    for (int64_t i = 0; i < count; i += kLanes) {
      const int64_t left = count - i;
      StoreAs<S>(target, dtype, i, left < kLanes ? left : kLanes,
                 LoadAs<S>(states, DType::kFloat32, i,
                           left < kLanes ? left : kLanes));
    }
  }

 private:
  static constexpr int64_t kTile = 12 * S::kForwardRows;
  static constexpr int64_t kPanel = S::kForwardVectors * kLanes;

  struct AttentionScratch {
    float* keys;       // K^T in panels of tokens
    float* values;     // V in panels of features
    float* scores;     // [kForwardRows, padded tokens]
    float* attended;   // [kForwardRows, padded head]
    size_t bytes;

    AttentionScratch(const EncoderSizes& sizes, int64_t tokens, void* memory) {
      const int64_t head = sizes.hidden / sizes.heads;
      char* const base = static_cast<char*>(memory);
      bytes = 0;
      const auto take = [&](int64_t numbers) {
        char* const place = base == nullptr ? nullptr : base + bytes;
        bytes += RoundUp(numbers * 4, 64);
        return reinterpret_cast<float*>(place);
      };
      const int64_t padded_tokens = RoundUp(tokens, kLanes);
      const int64_t padded_head = RoundUp(head, kLanes);
      keys = take(head * padded_tokens);
      values = take(tokens * padded_head);
      scores = take(S::kForwardRows * padded_tokens);
      attended = take(S::kForwardRows * padded_head);
    }
  };

  static const float* Floats(const EncoderPass& pass, size_t offset) {
    return reinterpret_cast<const float*>(
        static_cast<const char*>(pass.packed) + offset);
  }

  static void* Operand(const EncoderPass& pass, void* operands, int64_t row,
                       int64_t stride) {
    return static_cast<char*>(operands) +
           row * stride * pass.strides.operand_bytes;
  }

  static DType OperandType(const EncoderPass& pass) {
    return pass.strides.separate_operands ? DType::kBFloat16
                                          : DType::kFloat32;
  }

  // The states as bfloat16, where products read them so.
  static void NarrowRows(const EncoderPass& pass, const EncoderRows& rows,
                         int64_t first_row, int64_t last_row) {
    if constexpr (S::kHasBFloat16Dot) {
      if (!pass.strides.separate_operands) return;
      using Core = BFloat16Core<S>;
      const int64_t hidden = pass.sizes.hidden;
      for (int64_t r = first_row; r < last_row; ++r) {
        Core::CopyRow(
            rows.states + r * pass.strides.hidden, DType::kFloat32, hidden,
            RoundUp(hidden, Core::kFeatureStep),
            Operand(pass, rows.operands, r, pass.strides.hidden_operand));
      }
    }
  }

  // The product takes whole steps of a bfloat16 row.
  static void ClearPadding(void* row, int64_t count) {
    const int64_t padded = RoundUp(count, BFloat16Core<S>::kFeatureStep);
    __builtin_memset(static_cast<uint16_t*>(row) + count, 0,
                     (padded - count) * sizeof(uint16_t));
  }

  // Calls epilogue(row, column, padded count, numbers) with what rows and
  // panels of the part give, a panel's width of a row at a time.
  template <class Epilogue>
  static void Multiply(const EncoderPass& pass, const PackedProduct& product,
                       void* operands, int64_t stride, const EncoderPart& part,
                       const Epilogue& epilogue) {
    if (pass.precision == DType::kInt8) {
      return MultiplyBy<Int8Core<S>>(pass, product, operands, stride, part,
                                     epilogue);
    }
    if constexpr (S::kHasBFloat16Dot) {
      if (MultipliesBFloat16<S>(pass.precision)) {
        return MultiplyBy<BFloat16Core<S>>(pass, product, operands, stride,
                                           part, epilogue);
      }
    }
    MultiplyBy<FloatCore<S>>(pass, product, operands, stride, part, epilogue);
  }

  template <class Core, class Epilogue>
  static void MultiplyBy(const EncoderPass& pass, const PackedProduct& product,
                         void* operands, int64_t stride,
                         const EncoderPart& part, const Epilogue& epilogue) {
    using Matrix = Product<S, Core>;
    alignas(64) float tile[kTile * kPanel];
    const void* pointers[kTile];
    typename Core::Row quantised[kTile];
    const auto* packed = reinterpret_cast<const typename Core::Panel*>(
        static_cast<const char*>(pass.packed) + product.kernel);
    const int64_t panels = Matrix::Panels(product.vectors);
    const int64_t terms = product.features / Core::kFeaturesATerm;
    for (int64_t first = part.first_row; first < part.last_row;
         first += kTile) {
      const int64_t left = part.last_row - first;
      const int64_t count = left < kTile ? left : kTile;
      for (int64_t r = 0; r < count; ++r) {
        pointers[r] = Operand(pass, operands, first + r, stride);
        if constexpr (Core::kQuantises) {
          auto* const row = static_cast<uint8_t*>(part.scratch) +
                            r * Core::RowBytes(product.features);
          quantised[r] =
              Core::Quantise(static_cast<const float*>(pointers[r]),
                             product.given, product.features, row);
          pointers[r] = row;
        }
      }
      // Blocks of rows as even as can be: few rows take nearly as long as many.
      const int64_t blocks = (count + Core::kRows - 1) / Core::kRows;
      for (int64_t p = part.first_panel; p < part.last_panel; ++p) {
        const int64_t begin = PanelStart(p, panels, product.vectors);
        const int64_t vectors =
            PanelStart(p + 1, panels, product.vectors) - begin;
        const int64_t width = vectors * kLanes;
        const auto* panel = packed + begin * kLanes * terms;
        for (int64_t e = 0; e < product.features; e += Core::kBlock) {
          for (int64_t b = 0; b < blocks; ++b) {
            const int64_t row = count * b / blocks;
            const int64_t rows = count * (b + 1) / blocks - row;
            Matrix::template Choose<typename Matrix::Block>(rows, vectors)(
                pointers + row, nullptr, e, product.features, panel,
                tile + row * width, width);
          }
        }
        for (int64_t r = 0; r < count; ++r) {
          if constexpr (Core::kQuantises) {
            if (quantised[r].rests > 0) {
              Core::AddRests(static_cast<const uint8_t*>(pointers[r]),
                             product.features, quantised[r].rests, panel,
                             vectors, tile + r * width);
            }
            Core::Dequantise(
                tile + r * width, width, quantised[r],
                Floats(pass, product.scales) + begin * kLanes,
                reinterpret_cast<const int32_t*>(
                    Floats(pass, product.offsets)) + begin * kLanes);
          }
          epilogue(first + r, begin * kLanes, width, tile + r * width);
        }
      }
    }
  }

  // To the sums: the states, the product and its bias.
  static void AddProduct(const EncoderPass& pass, const PackedProduct& product,
                         void* operands, int64_t stride,
                         const EncoderRows& rows, const EncoderPart& part) {
    const float* bias = Floats(pass, product.bias);
    Multiply(pass, product, operands, stride, part,
             [&](int64_t row, int64_t column, int64_t count, const float* in) {
               const int64_t place = row * pass.strides.hidden + column;
               for (int64_t i = 0; i < count; i += kLanes) {
                 const Vec sum = S::Add(S::Load(in + i),
                                        S::Load(bias + column + i));
                 S::Store(rows.sums + place + i,
                          S::Add(sum, S::Load(rows.states + place + i)));
               }
             });
  }

  template <bool kTanh>
  static void WidenBy(const EncoderPass& pass, const EncoderRows& rows,
                      const EncoderPart& part) {
    const PackedLayout<S> layout(pass.sizes, pass.precision);
    const float* bias = Floats(pass, layout.intermediate.bias);
    const DType dtype = OperandType(pass);
    Multiply(pass, layout.intermediate, rows.operands,
             pass.strides.hidden_operand, part,
             [&](int64_t row, int64_t column, int64_t count, const float* in) {
               void* out = Operand(pass, rows.inner, row,
                                   pass.strides.inner_operand);
               for (int64_t i = 0; i < count; i += kLanes) {
                 Vec value;
                 Gelu<S, kTanh>(S::Add(S::Load(in + i),
                                       S::Load(bias + column + i)),
                                &value, nullptr);
                 StoreAs<S>(out, dtype, column + i, kLanes, value);
               }
             });
  }

  static void AttendHead(const EncoderPass& pass, const EncoderRows& rows,
                         int64_t first_row, int64_t tokens, int64_t head,
                         const AttentionScratch& scratch) {
    using Matrix = Product<S, FloatCore<S>>;
    const int64_t width = pass.sizes.hidden / pass.sizes.heads;
    const int64_t stride = pass.strides.projected;
    const float* query =
        rows.projected + first_row * stride + head * width;
    const float* key = query + pass.sizes.hidden;
    const float* value = key + pass.sizes.hidden;
    const int64_t token_vectors = RoundUp(tokens, kLanes) / kLanes;
    const int64_t head_vectors = RoundUp(width, kLanes) / kLanes;
    PackKeys(key, stride, tokens, width, scratch.keys);
    PackValues(value, stride, tokens, width, scratch.values);
    const int64_t blocks = (tokens + S::kForwardRows - 1) / S::kForwardRows;
    const int64_t padded_tokens = token_vectors * kLanes;
    const int64_t padded_head = head_vectors * kLanes;
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t first = tokens * b / blocks;
      const int64_t count = tokens * (b + 1) / blocks - first;
      const void* pointers[S::kForwardRows];
      float inverse[S::kForwardRows];
      for (int64_t r = 0; r < count; ++r) {
        pointers[r] = query + (first + r) * stride;
      }
      MultiplyPanels<Matrix>(pointers, count, width, scratch.keys,
                             token_vectors, scratch.scores, padded_tokens);
      for (int64_t r = 0; r < count; ++r) {
        float* scores = scratch.scores + r * padded_tokens;
        inverse[r] = 1.0f / Exponentials(scores, tokens, padded_tokens);
        pointers[r] = scores;
      }
      MultiplyPanels<Matrix>(pointers, count, tokens, scratch.values,
                             head_vectors, scratch.attended, padded_head);
      for (int64_t r = 0; r < count; ++r) {
        void* out = Operand(pass, rows.attended, first_row + first + r,
                            pass.strides.hidden_operand);
        const float* in = scratch.attended + r * padded_head;
        for (int64_t i = 0; i < width; i += kLanes) {
          const int64_t left = width - i;
          StoreAs<S>(out, OperandType(pass), head * width + i,
                     left < kLanes ? left : kLanes,
                     S::Mul(S::Load(in + i), S::Set1(inverse[r])));
        }
      }
    }
  }

  template <class Matrix>
  static void MultiplyPanels(const void* const* rows, int64_t count,
                             int64_t features, const float* packed,
                             int64_t vectors, float* out, int64_t stride) {
    const int64_t panels = Matrix::Panels(vectors);
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t begin = PanelStart(p, panels, vectors);
      Matrix::Choose(count, PanelStart(p + 1, panels, vectors) - begin)(
          rows, nullptr, features, packed + begin * kLanes * features,
          out + begin * kLanes, stride);
    }
  }

  // K^T [width, tokens] in panels of tokens, which are padded with zeros.
  static void PackKeys(const float* keys, int64_t stride, int64_t tokens,
                       int64_t width, float* out) {
    const int64_t vectors = RoundUp(tokens, kLanes) / kLanes;
    const int64_t panels = Product<S, FloatCore<S>>::Panels(vectors);
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t begin = PanelStart(p, panels, vectors) * kLanes;
      const int64_t end = PanelStart(p + 1, panels, vectors) * kLanes;
      for (int64_t t = begin; t < end; ++t) {
        const float* key = keys + t * stride;
        for (int64_t d = 0; d < width; ++d) {
          out[d * (end - begin) + t - begin] = t < tokens ? key[d] : 0.0f;
        }
      }
      out += width * (end - begin);
    }
  }

  // V [tokens, width] in panels of features, which are padded with zeros.
  static void PackValues(const float* values, int64_t stride, int64_t tokens,
                         int64_t width, float* out) {
    const int64_t vectors = RoundUp(width, kLanes) / kLanes;
    const int64_t panels = Product<S, FloatCore<S>>::Panels(vectors);
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t begin = PanelStart(p, panels, vectors) * kLanes;
      const int64_t end = PanelStart(p + 1, panels, vectors) * kLanes;
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t d = begin; d < end; d += kLanes, out += kLanes) {
          const int64_t left = width - d;
          S::Store(out, left > 0 ? LoadAs<S>(values + t * stride,
                                             DType::kFloat32, d,
                                             left < kLanes ? left : kLanes)
                                 : S::Set1(0.0f));
        }
      }
    }
  }

  // Puts exp(score - the largest) in the scores' place; gives their sum.
  // Padding beyond `tokens` is not read after this.
  static float Exponentials(float* scores, int64_t tokens, int64_t padded) {
    for (int64_t i = tokens; i < padded; ++i) scores[i] = scores[0];
    Vec most = S::Load(scores);
    for (int64_t i = kLanes; i < padded; i += kLanes) {
      most = S::Max(S::Load(scores + i), most);
    }
    alignas(64) float lanes[kLanes];
    S::Store(lanes, most);
    float largest = lanes[0];
    for (int64_t i = 1; i < kLanes; ++i) {
      if (lanes[i] > largest) largest = lanes[i];
    }
    Vec sum = S::Set1(0.0f);
    const Vec shift = S::Set1(largest);
    for (int64_t i = 0; i < padded; i += kLanes) {
      // log2(e); below 2^-126 nothing is left of a float.
      const Vec power = S::Mul(S::Sub(S::Load(scores + i), shift),
                               S::Set1(1.44269504f));
      const Vec e = Exp2<S>(S::Max(S::Set1(-126.0f), power));
      S::Store(scores + i, e);
      if (i + kLanes <= tokens) sum = S::Add(sum, e);
    }
    float total = S::Sum(sum);
    for (int64_t i = tokens / kLanes * kLanes; i < tokens; ++i) {
      total += scores[i];
    }
    return total;
  }

  static void NormaliseRow(const float* sums, int64_t count,
                           const float* gamma, const float* beta,
                           float epsilon, float* out) {
    Vec sum = S::Set1(0.0f);
    for (int64_t i = 0; i < count; i += kLanes) {
      sum = S::Add(sum, Part(sums, i, count, 0.0f));
    }
    const float mean = S::Sum(sum) / static_cast<float>(count);
    const Vec centre = S::Set1(mean);
    Vec squares = S::Set1(0.0f);
    for (int64_t i = 0; i < count; i += kLanes) {
      const Vec x = S::Sub(Part(sums, i, count, mean), centre);
      squares = S::Fma(x, x, squares);
    }
    const float variance = S::Sum(squares) / static_cast<float>(count);
    const Vec scale = S::Set1(1.0f / __builtin_sqrtf(variance + epsilon));
    for (int64_t i = 0; i < count; i += kLanes) {
      const Vec x = S::Sub(Part(sums, i, count, mean), centre);
      S::Store(out + i, S::Fma(x, S::Mul(scale, S::Load(gamma + i)),
                               S::Load(beta + i)));
    }
  }

  // A vector of a row; beyond its end, `rest`.
  static Vec Part(const float* row, int64_t index, int64_t count, float rest) {
    if (index + kLanes <= count) return S::Load(row + index);
    alignas(64) float part[kLanes];
    for (int64_t i = 0; i < kLanes; ++i) {
      part[i] = index + i < count ? row[index + i] : rest;
    }
    return S::Load(part);
  }
};

template <class S>
constexpr EncoderKernels MakeEncoderKernels(const char* name) {
  using Engine = EncoderEngine<S>;
  return {name,
          EncoderPacking<S>::Bytes,
          EncoderPacking<S>::Pack,
          Engine::Strides,
          Engine::Panels,
          Engine::Prepare,
          Engine::ProductBytes,
          Engine::Project,
          Engine::AttentionBytes,
          Engine::Attend,
          Engine::AddAttention,
          Engine::Widen,
          Engine::AddInner,
          Engine::Normalise,
          Engine::Write};
}
