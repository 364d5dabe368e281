// GELU and its derivative, on vectors.

// 2^x for |x| <= 126, with a minimax fit on [-1/2, 1/2]: an error of two units
// in the last place.
template <class S>
inline typename S::Vec Exp2(typename S::Vec x) {
  const auto n = S::RoundToInteger(x);
  const auto f = S::Sub(x, n);
  auto p = S::Set1(0x1.5bba04p-10f);
  p = S::Fma(p, f, S::Set1(0x1.3cea88p-7f));
  p = S::Fma(p, f, S::Set1(0x1.c6b754p-5f));
  p = S::Fma(p, f, S::Set1(0x1.ebf9bcp-3f));
  p = S::Fma(p, f, S::Set1(0x1.62e42ap-1f));
  p = S::Fma(p, f, S::Set1(1.0f));
  return S::Scale(p, n);
}

// z where it is near enough to zero for GELU to bend: beyond 13 a float sees
// GELU(z) = z and GELU'(z) = 1, or 0 both. Further out the factors of what is
// lost would still make infinity and NaN of it. NaN stays NaN.
template <class S>
inline typename S::Vec NoLess(typename S::Vec z) {
  return S::Max(S::Set1(-13.0f), z);
}
template <class S>
inline typename S::Vec NoMore(typename S::Vec z) {
  return S::Min(S::Set1(13.0f), z);
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
  // Beyond 13 the tail is nothing to a float.
  const auto u = S::Min(S::Abs(z), S::Set1(13.0f));
  const auto t = S::Reciprocal(S::Fma(u, S::Set1(0.25f), one));
  const auto density = Exp2<S>(S::Mul(S::Mul(u, u), S::Set1(-0.72134752f)));
  auto r = S::Set1(-0x1.780fdap-4f);
  r = S::Fma(r, t, S::Set1(0x1.5ea584p-2f));
  r = S::Fma(r, t, S::Set1(-0x1.12a576p-2f));
  r = S::Fma(r, t, S::Set1(0x1.20c2dcp-2f));
  r = S::Fma(r, t, S::Set1(0x1.92c826p-6f));
  r = S::Fma(r, t, S::Set1(0x1.cb85e4p-4f));
  r = S::Fma(r, t, S::Set1(0x1.94cc48p-4f));
  const auto tail = S::Mul(density, S::Mul(r, t));
  const auto phi = S::WhereNegative(z, tail, S::Sub(one, tail));
  z = NoLess<S>(z);
  *value = S::Mul(z, phi);
  if (slope != nullptr) {
    *slope = S::Fma(S::Mul(NoMore<S>(z), density), S::Set1(0.39894228f), phi);
  }
}

// GELU(z) = z s with s = sigmoid(2 sqrt(2 / pi) (z + 0.044715 z^3)), the tanh
// form: 1 + tanh(x) = 2 sigmoid(2x).
template <class S>
inline void TanhGelu(typename S::Vec z, typename S::Vec* value,
                     typename S::Vec* slope) {
  const auto one = S::Set1(1.0f);
  z = NoLess<S>(z);
  const auto near = NoMore<S>(z);
  const auto square = S::Mul(near, near);
  const auto twice = S::Set1(1.5957691f);
  const auto inner = S::Fma(square, S::Set1(0.044715f), one);
  // -x log2(e)
  auto power = S::Mul(S::Mul(near, inner), S::Set1(-2.3022082f));
  power = S::Max(S::Min(power, S::Set1(126.0f)), S::Set1(-126.0f));
  const auto e = Exp2<S>(power);
  const auto s = S::Reciprocal(S::Add(one, e));
  *value = S::Mul(z, s);
  if (slope != nullptr) {
    const auto inner_slope =
        S::Mul(twice, S::Fma(square, S::Set1(3 * 0.044715f), one));
    // s (1 - s), with 1 - s = e s, which loses nothing where s is near 1.
    const auto s_slope = S::Mul(S::Mul(s, s), e);
    *slope = S::Fma(S::Mul(near, inner_slope), s_slope, s);
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
