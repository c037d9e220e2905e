/* Scales are stored as halves. */
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

#endif
