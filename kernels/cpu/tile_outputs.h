// What becomes of Z, token by token: Y and P forward; dZ, dV and db backward.

template <class S>
class TileOutputs {
 public:
  using Scratch = TileScratch<S>;
  using Vec = typename S::Vec;
  static constexpr int64_t kLanes = S::kLanes;

  // V of a position (0 where it is shared) as [layers, outputs, units].
  static void PackProjection(const Pass& pass, int64_t position, float* out) {
    const Problem& problem = *pass.problem;
    const float* v = problem.projection + position * problem.layers *
                                              problem.units * problem.outputs;
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
          *out++ = packed[(l * problem.outputs + c) * pass.padded_units + a];
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
  static void PooledToZ(const Pass& pass, int64_t first, int64_t last, float* z,
                        float* bias_sum) {
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
};
