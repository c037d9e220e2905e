/* Rounding of activations to 8 bits, for ARM's vectors of 128 bits: the same bits as rows_round's. A CPU's file includes
   this after rows.h.

   Largest values, rounding to the nearest even number and narrowing are an instruction each, for 4 or 8 values. */

/* The largest size of 128 values; what is no number has none. */
INLINE float top_of(const float *x) {
  float32x4_t tops[4];
  for (int i = 0; i < 4; i++) tops[i] = vdupq_n_f32(0);
  for (int i = 0; i < BLOCK; i += 16)
    for (int k = 0; k < 4; k++) {
      const float32x4_t size = vabsq_f32(vld1q_f32(x + i + 4 * k));
      tops[k] = vbslq_f32(vcgtq_f32(size, tops[k]), size, tops[k]);
    }
  return vmaxvq_f32(vmaxq_f32(vmaxq_f32(tops[0], tops[1]), vmaxq_f32(tops[2], tops[3])));
}

/* 16 values to the nearest whole numbers, halves to even. None is larger than the block's top, which is 127, so nothing
   is to be cut off; what is no number becomes 0. */
INLINE int8x16_t rounded_16(const float *x, float inverse) {
  int16x8_t v[4];
  for (int i = 0; i < 4; i++)
    v[i] = vreinterpretq_s16_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4 * i), inverse)));
  const int8x16_t low = vreinterpretq_s8_s16(vuzp1q_s16(v[0], v[1]));
  return vuzp1q_s8(low, vreinterpretq_s8_s16(vuzp1q_s16(v[2], v[3])));
}

/* 16 values of a token; in a group of two the other token's are between its eights. */
INLINE void put(const int group, int8_t *to, int at, int8x16_t v) {
  if (group == 1) {
    vst1q_s8(to + at, v);
  } else {
    vst1_s8(to + 2 * at, vget_low_s8(v));
    vst1_s8(to + 2 * at + 16, vget_high_s8(v));
  }
}

/* As rows_round, with the even and odd values of 32 apart in `nibble_order`. In groups of two, tokens 2i and 2i + 1 lie
   together: 8 values of one, 8 of the other. */
INLINE void round_128(const int group, const float *from, int cols, const Rounded *to, int t) {
  for (int b = 0; b * BLOCK < cols; b++) {
    const ptrdiff_t at_block = (ptrdiff_t)b * to->padded_tokens + t;
    const ptrdiff_t first = group == 1 ? at_block * BLOCK : (at_block - t % 2) * BLOCK + t % 2 * 8;
    float last[BLOCK] = {0};
    const float *x = from + b * BLOCK;
    if (cols - b * BLOCK < BLOCK) x = memcpy(last, x, sizeof(float) * (size_t)(cols - b * BLOCK));
    const float scale = scale_of(top_of(x)), inverse = scale > 0 ? 1.0f / scale : 0;
    int32x4_t sum = vdupq_n_s32(0);
    for (int i = 0; i < BLOCK; i += 32) {
      const int8x16_t v = rounded_16(x + i, inverse), w = rounded_16(x + i + 16, inverse);
      sum = vdotq_s32(vdotq_s32(sum, v, vdupq_n_s8(1)), w, vdupq_n_s8(1));
      put(group, to->plain + first, i, v), put(group, to->plain + first, i + 16, w);
      put(group, to->nibble_order + first, i, vuzp1q_s8(v, w)),
          put(group, to->nibble_order + first, i + 16, vuzp2q_s8(v, w));
    }
    to->scales[at_block] = scale;
    to->sums[at_block] = vaddvq_s32(sum);
  }
}
