// GELU and its derivative, on vectors.

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
