/* ARM of 64 bits with dot products (sdot, from ARMv8.2 on): 4 products of signed bytes added to each of 4
   whole sums at once. Codes are made signed as they are read, so that nothing is to be taken off. */
#if defined(__aarch64__)
#include "target.h"
#if defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#elif defined(__linux__)
#include <sys/auxv.h>
#endif
TARGET("arch=armv8.2-a+dotprod")

#define KIND neon
#define LANES 4
#include "rows.h"

static int here(void) {
#if defined(__APPLE__)
  return 1;
#elif defined(_WIN32)
  return IsProcessorFeaturePresent(43) != 0; /* PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE */
#elif defined(__linux__)
  return getauxval(AT_HWCAP) >> 20 & 1; /* HWCAP_ASIMDDP */
#else
  return 0;
#endif
}

typedef struct {
  int8x16_t vectors[8];
} Codes;

INLINE Codes codes_of(const int bits, const uint8_t *from) {
  Codes codes;
  if (bits == 4)
    for (int i = 0; i < 4; i++) { /* even values, then odd ones, of 32 */
      const uint8x16_t both = vld1q_u8(from + 16 * i);
      const int8x16_t zero = vdupq_n_s8(8);
      codes.vectors[2 * i] = vsubq_s8(vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15))), zero);
      codes.vectors[2 * i + 1] = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(both, 4)), zero);
    }
  else
    for (int i = 0; i < 8; i++)
      codes.vectors[i] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(from + 16 * i), vdupq_n_u8(128)));
  return codes;
}

INLINE Numbers whole_of(const int bits, const Codes *codes, const int8_t *values, int32_t sum) {
  (void)bits, (void)sum;
  int32x4_t whole = vdupq_n_s32(0), other = vdupq_n_s32(0);
  for (int i = 0; i < 8; i += 2) {
    whole = vdotq_s32(whole, codes->vectors[i], vld1q_s8(values + 16 * i));
    other = vdotq_s32(other, codes->vectors[i + 1], vld1q_s8(values + 16 * i + 16));
  }
  return (Numbers)vaddq_s32(whole, other);
}

INLINE float sum_of(Floats v) { return vaddvq_f32((float32x4_t)v); }

INLINE void widen(const uint16_t *halves, int count, float *out) {
  for (int i = 0; i < count; i++) out[i] = half_to_float(halves[i]);
}

static void round_16(const float *x, int cols, const Rounded *to, int t) { rows_round(16, x, cols, to, t); }

#include "products.h"

const Cpu cpu_neon = {"neon", LANES, here, product, neon_norm, round_16, neon_attend, neon_gate, 0, 0};
TARGET_END
#else
#include "edge.h"

const Cpu cpu_neon = {.name = "neon"};
#endif
