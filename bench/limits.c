/* What this CPU multiplies at most: its instruction for small products, over and over in registers.

   Usage: limits KIND THREADS, prints billions of products a second. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

enum { TURNS = 4000000, SUMS = 12, WIDENED = 16 };

#if defined(__x86_64__)
#define LOOP(text, sums, operands)                                                                \
  for (int i = 0; i < TURNS; i++) {                                                               \
    __asm__ volatile(text                                                                         \
                     : "+v"(sums[0]), "+v"(sums[1]), "+v"(sums[2]), "+v"(sums[3]), "+v"(sums[4]), \
                       "+v"(sums[5]), "+v"(sums[6]), "+v"(sums[7]), "+v"(sums[8]), "+v"(sums[9]), \
                       "+v"(sums[10]), "+v"(sums[11])                                             \
                     : "v"(operands));                                                            \
  }
#define TWELVE(op, v)                                                                                    \
  op " " v ", " v ", %0\n" op " " v ", " v ", %1\n" op " " v ", " v ", %2\n" op " " v ", " v ", %3\n" op \
     " " v ", " v ", %4\n" op " " v ", " v ", %5\n" op " " v ", " v ", %6\n" op " " v ", " v ", %7\n" op \
     " " v ", " v ", %8\n" op " " v ", " v ", %9\n" op " " v ", " v ", %10\n" op " " v ", " v ", %11\n"

__attribute__((target("avx512f,avx512vnni"))) static void *avx512vnni(void *unused) {
  __m512i sums[SUMS] = {0}, v = _mm512_set1_epi8(1);
  LOOP(TWELVE("vpdpbusd", "%12"), sums, v)
  return unused;
}

__attribute__((target("avx2"))) static void *avxvnni(void *unused) {
  __m256i sums[SUMS] = {0}, v = _mm256_set1_epi8(1);
  LOOP(TWELVE("%{vex%} vpdpbusd", "%12"), sums, v)
  return unused;
}

/* Without VNNI a product is of use only when it is added up: sums of 16 bits take 16 products of 4-bit codes,
   less the 8 that these stand too high (16 * 2 * 8 * 127 < 2^15), and are then widened. */
// clang-format off
#define MULTIPLY(to) "vpmaddubsw %%ymm13, %%ymm12, " to "\n"
#define ADD(more, to) MULTIPLY(more) "vpaddw " more ", " to ", " to "\n"
#define FIVE(half, more) ADD(more, half) ADD(more, half) ADD(more, half) ADD(more, half) ADD(more, half)
#define SIXTEEN(half, whole, more)                                 \
  MULTIPLY(half) FIVE(half, more) FIVE(half, more) FIVE(half, more) \
  "vpmaddwd %%ymm14, " half ", " half "\nvpaddd " half ", " whole ", " whole "\n"
// clang-format on

__attribute__((target("avx2"))) static void *avx2(void *unused) {
  for (int i = 0; i < TURNS / WIDENED; i++)
    __asm__ volatile(SIXTEEN("%%ymm0", "%%ymm6", "%%ymm4") SIXTEEN("%%ymm1", "%%ymm7", "%%ymm5")
                         SIXTEEN("%%ymm2", "%%ymm8", "%%ymm10") SIXTEEN("%%ymm3", "%%ymm9", "%%ymm11")::
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                               "xmm10", "xmm11");
  return unused;
}

__attribute__((target("amx-tile,amx-int8"))) static void *amx(void *unused) {
  static const struct { /* constant, as GCC 12 leaves out what is written to it just before */
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
  } shapes = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
  _tile_loadconfig(&shapes);
  for (int i = 0; i < TURNS / 4; i++) {
    _tile_dpbssd(0, 6, 7);
    _tile_dpbssd(1, 6, 7);
    _tile_dpbssd(2, 6, 7);
    _tile_dpbssd(3, 6, 7);
  }
  _tile_release();
  return unused;
}

#else

#define ARM_LOOP(text)                                                              \
  int32x4_t sums[SUMS] = {0};                                                       \
  const int8x16_t v = vdupq_n_s8(1);                                                \
  for (int i = 0; i < TURNS; i++)                                                   \
    for (int s = 0; s < SUMS; s++) __asm__ volatile(text : "+w"(sums[s]) : "w"(v)); \
  return unused;

__attribute__((target("arch=armv8.2-a+dotprod"))) static void *neon(void *unused) {
  ARM_LOOP("sdot %0.4s, %1.16b, %1.16b")
}

__attribute__((target("arch=armv8.2-a+i8mm"))) static void *i8mm(void *unused) {
  ARM_LOOP("smmla %0.4s, %1.16b, %1.16b")
}
#endif

static const struct {
  const char *name;
  void *(*run)(void *);
  double products; /* of a thread */
} KINDS[] = {
#if defined(__x86_64__)
    {"avx512vnni", avx512vnni, 64.0 * SUMS * TURNS},
    {"avxvnni", avxvnni, 32.0 * SUMS * TURNS},
    {"avx2", avx2, 32.0 * 4 * TURNS},
    {"amx", amx, 16.0 * 16 * 64 * 4 * (TURNS / 4)},
#else
    {"neon", neon, 16.0 * SUMS * TURNS},
    {"i8mm", i8mm, 32.0 * SUMS * TURNS},
#endif
};

/* The time of all threads together, in which whatever else the machine does takes no part. */
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv) {
  const int threads = argc == 3 ? atoi(argv[2]) : 0;
  pthread_t workers[256];
  if (threads < 1 || threads > 256) return 2;
#if defined(__x86_64__)
  syscall(SYS_arch_prctl, 0x1023, 18); /* asks for AMX's tiles; where there are none, in vain */
#endif
  for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++) {
    if (strcmp(KINDS[k].name, argv[1])) continue;
    double best = 0;
    for (int round = 0; round < 3; round++) {
      const double start = now();
      for (int i = 0; i < threads; i++) pthread_create(&workers[i], NULL, KINDS[k].run, NULL);
      for (int i = 0; i < threads; i++) pthread_join(workers[i], NULL);
      const double rate = KINDS[k].products * threads * threads / (now() - start) / 1e9;
      best = rate > best ? rate : best;
    }
    printf("%.1f\n", best);
    return 0;
  }
  return 3;
}
