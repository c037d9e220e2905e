/* Halves: scales, and rows of caches. */
#ifndef EDGE_HALF_H
#define EDGE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float half_to_float(uint16_t half) {
  uint32_t sign = (uint32_t)(half >> 15) << 31, exponent = (half >> 10) & 31, rest = half & 1023, bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000u | rest << 13;
  } else if (exponent) {
    bits = sign | (exponent + 112) << 23 | rest << 13;
  } else { /* zero, or too small for an exponent: rest * 2^-24 */
    float value = (float)rest * 5.9604644775390625e-8f;
    return sign ? -value : value;
  }
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* To the nearest half, halves to even. */
static inline uint16_t float_to_half(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (bits >> 13 & 1023)); /* no number */
  if (bits >= 0x47800000u) return (uint16_t)(sign | 0x7c00u);                      /* 65536 and more */
  if (bits <
      0x38800000u) { /* too small for an exponent: adding 0.5, numbers next to which are 2^-24 apart, rounds */
    float sum;
    memcpy(&sum, &bits, sizeof sum);
    sum += 0.5f;
    memcpy(&bits, &sum, sizeof bits);
    return (uint16_t)(sign | (bits - 0x3f000000u));
  }
  bits += 0xfffu + (bits >> 13 & 1);
  return (uint16_t)(sign | (bits - 0x38000000u) >> 13);
}

#endif
