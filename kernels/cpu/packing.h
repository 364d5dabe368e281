// W and its transpose, packed as the products read them.

template <class S>
class Packing {
 public:
  using Layout = TileLayout<S>;
  using Vec = typename S::Vec;
  static constexpr int64_t kLanes = S::kLanes;

  static size_t PackedKernelBytes(const Pass& pass) {
    return pass.padded_features * pass.padded_units *
           (Layout::UsesBFloat16(pass) ? 2 : 4);
  }

  static void PackKernel(const Pass& pass, void* packed) {
    if constexpr (S::kHasBFloat16Dot) {
      if (Layout::UsesBFloat16(pass))
        return Pack<BFloat16Core<S>>(pass, packed);
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

 private:
  template <class Core>
  static void Pack(const Pass& pass, void* packed) {
    const int64_t vectors = pass.padded_units / kLanes;
    const int64_t panels = Product<S, Core>::Panels(vectors);
    const int64_t features = Layout::Features(pass);
    auto* out = static_cast<typename Core::Panel*>(packed);
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t begin = PanelStart(p, panels, vectors) * kLanes;
      const int64_t end = PanelStart(p + 1, panels, vectors) * kLanes;
      Core::PackPanel(*pass.problem, features, begin, end - begin, out);
      out += (end - begin) * (features / Core::kFeaturesATerm);
    }
  }
};
