/* What an x86-64 CPU can, asked of it and of its system. __builtin_cpu_supports will not do: Zig's runtime (0.17)
   answers no to everything, as its table is never filled. */
#ifndef EDGE_ABLE_X86_H
#define EDGE_ABLE_X86_H

#include <cpuid.h>
#include <stdatomic.h>
#include <stdint.h>

typedef struct {
  unsigned leaf1c, leaf7b, leaf7c, leaf7d, leaf7_1a; /* registers of CPUID */
  uint64_t saved; /* XCR0: registers that the system keeps for each thread */
} Features;

static inline Features features_here(void) {
  Features f = {0};
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &f.leaf1c, &d) || !(f.leaf1c >> 27 & 1)) return (Features){0};
  if (__get_cpuid_count(7, 0, &a, &f.leaf7b, &f.leaf7c, &f.leaf7d) && a >= 1)
    __get_cpuid_count(7, 1, &f.leaf7_1a, &b, &c, &d);
  __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0)); /* XGETBV, as OSXSAVE says it may be asked */
  f.saved = (uint64_t)d << 32 | a;
  return f;
}

static inline int has_all(unsigned of, unsigned bits) { return (of & bits) == bits; }

/* AVX2, FMA and F16C, and ymm registers kept. */
static inline int has_avx2(const Features *f) {
  return (f->saved & 6) == 6 && has_all(f->leaf1c, 1u << 12 | 1u << 28 | 1u << 29) && f->leaf7b >> 5 & 1;
}
static inline int has_avxvnni(const Features *f) { return has_avx2(f) && f->leaf7_1a >> 4 & 1; }
/* AVX512F, DQ, BW, VL and VNNI, and zmm and mask registers kept. */
static inline int has_avx512vnni(const Features *f) {
  return has_avx2(f) && (f->saved & 0xe6) == 0xe6 &&
         has_all(f->leaf7b, 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31) && f->leaf7c >> 11 & 1;
}
/* Whether Intel made it: its cores follow a dozen rows at once, each from front to end, and fetch them ahead. */
static inline int is_intel(void) {
  static atomic_int answer; /* 0 before the first time: to ask takes as long as a small product */
  if (!atomic_load_explicit(&answer, memory_order_relaxed)) {
    unsigned a, b, c, d;
    const int yes = __get_cpuid(0, &a, &b, &c, &d) && b == 0x756e6547 /* "Genu" */;
    atomic_store_explicit(&answer, yes ? 1 : -1, memory_order_relaxed);
  }
  return atomic_load_explicit(&answer, memory_order_relaxed) > 0;
}
static inline int has_amx_int8(const Features *f) {
  return (f->saved >> 17 & 3) == 3 && has_all(f->leaf7d, 1u << 24 | 1u << 25);
}

#endif
