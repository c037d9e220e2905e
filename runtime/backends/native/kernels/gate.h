/* The middle of an MLP: gates, and the rotation of what they give. */

/* Within 2e-7 of the share of a normal distribution that lies below x: Abramowitz and Stegun, 7.1.26. */
INLINE Floats normal_share(Floats x) {
  const Floats z = pick(x < 0.0f, -x, x) * 0.70710678f, t = 1.0f / (1.0f + 0.3275911f * z);
  Floats p = all(1.061405429f);
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const Floats tail = 0.5f * (p * t * exponential(-z * z));
  return pick(x < 0.0f, tail, 1.0f - tail);
}

INLINE Floats silu(Floats x) { return x / (1.0f + exponential(-x)); }
INLINE Floats gelu(Floats x) { return x * normal_share(x); }
/* x / 2 * (1 + tanh(u)), and (1 + tanh(u)) / 2 is 1 / (1 + e^-2u). */
INLINE Floats gelu_tanh(Floats x) {
  return x / (1.0f + exponential(-1.59576912f * (x + 0.044715f * x * x * x)));
}

/* out = activation(gate), times `up` unless that is NULL; count is a multiple of LANES. */
static void OF_KIND(gate)(Activation activation, const float *gate, const float *up, int count, float *out) {
  for (int i = 0; i < count; i += LANES) {
    const Floats g = load(gate + i);
    const Floats open = activation == SILU ? silu(g) : activation == GELU ? gelu(g) : gelu_tanh(g);
    save(out + i, up ? open * load(up + i) : open);
  }
}

/* x rotated in pieces of `size`; count is a multiple of that. */
static void OF_KIND(rotate)(const float *rotation, int size, int count, float *x) {
  float before[MOST_ROTATION];
  for (float *to = x; to < x + count; to += size) {
    memcpy(before, to, sizeof(float) * (size_t)size);
    int i = 0;
    for (; i + 2 * LANES <= size; i += 2 * LANES) {
      Floats a = all(0), b = all(0);
      for (int k = 0; k < size; k++) {
        const float *row = rotation + (ptrdiff_t)k * size + i;
        a += before[k] * load(row), b += before[k] * load(row + LANES);
      }
      save(to + i, a), save(to + i + LANES, b);
    }
    for (int left; (left = size - i) > 0; i += LANES) { /* see sum_last_values */
      const int some = left < LANES ? left : LANES;
      Floats a = all(0);
      for (int k = 0; k < size; k++) a += before[k] * load_some(rotation + (ptrdiff_t)k * size + i, some);
      save_some(to + i, a, some);
    }
  }
}
