/* What the system and the CPU say of themselves; see machine.h. */
#include "machine.h"

#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/able_x86.h"
#elif defined(__aarch64__)
#include "kernels/able_arm.h"
#endif

#if defined(_WIN32)

/* Where the process may run. One that spans several groups of 64 CPUs has no mask: all of their CPUs are its own. */
typedef struct {
  USHORT groups[64], count;
  DWORD_PTR mask;
} Affinity;

static int read_affinity(Affinity *own) {
  DWORD_PTR all;
  own->count = sizeof own->groups / sizeof *own->groups;
  if (!GetProcessGroupAffinity(GetCurrentProcess(), &own->count, own->groups))
    own->count = 1, own->groups[0] = 0; /* Wine does not say */
  return GetProcessAffinityMask(GetCurrentProcess(), &own->mask, &all);
}

static int may_use(const Affinity *own, const PROCESSOR_RELATIONSHIP *core) {
  const GROUP_AFFINITY *at = &core->GroupMask[0]; /* a core lies in one group */
  for (int i = 0; i < own->count; i++)
    if (own->groups[i] == at->Group) return own->count > 1 || !own->mask || (own->mask & at->Mask);
  return 0;
}

/* The larger a core's class of efficiency, the faster it is. */
static int count_fastest(const char *cores, DWORD bytes, const Affinity *own) {
  int count = 0, fastest = -1;
  for (DWORD at = 0; at < bytes;) {
    const SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX *item = (const void *)(cores + at);
    const int class = item->Processor.EfficiencyClass;
    if (may_use(own, &item->Processor)) {
      if (class > fastest) count = 0, fastest = class;
      count += class == fastest;
    }
    at += item->Size;
  }
  return count;
}

int edge_fast_cores(void) {
  Affinity own;
  DWORD bytes = 0;
  GetLogicalProcessorInformationEx(RelationProcessorCore, NULL, &bytes);
  char *cores = read_affinity(&own) ? malloc(bytes) : NULL;
  int count = 0;
  if (cores && GetLogicalProcessorInformationEx(RelationProcessorCore, (void *)cores, &bytes))
    count = count_fastest(cores, bytes, &own);
  free(cores);
  return count;
}

#elif defined(__APPLE__)

static int number_of(const char *name) {
  int number = 0;
  size_t size = sizeof number;
  return sysctlbyname(name, &number, &size, NULL, 0) ? 0 : number;
}

int edge_fast_cores(void) {
  const int fastest = number_of("hw.perflevel0.physicalcpu"); /* from macOS 12 on */
  return fastest ? fastest : number_of("hw.physicalcpu");
}

#else

int edge_fast_cores(void) { return 0; }

#endif

static void append(char *to, int room, const char *word) {
  const size_t length = strlen(to);
  if (length + strlen(word) + 2 > (size_t)room) return;
  if (length) strcat(to, " ");
  strcat(to, word);
}

#if defined(__x86_64__)

void edge_cpu_name(char *to, int room) {
  unsigned name[13] = {0}; /* 3 leaves of 4 registers, and an end */
  unsigned *at = name;
  for (unsigned leaf = 0x80000002; leaf <= 0x80000004; leaf++, at += 4)
    if (!__get_cpuid(leaf, at, at + 1, at + 2, at + 3)) *name = 0;
  const char *text = (const char *)name;
  while (*text == ' ') text++; /* Intel puts blanks before it, AMD behind */
  size_t length = strlen(text);
  while (length && text[length - 1] == ' ') length--;
  if (length >= (size_t)room) length = (size_t)room - 1;
  memcpy(to, text, length);
  to[length] = 0;
}

void edge_cpu_features(char *to, int room) {
  const Features f = features_here();
  const int avx2 = has_avx2(&f), zmm = avx2 && (f.saved & 0xe6) == 0xe6, tiles = (f.saved >> 17 & 3) == 3;
  const struct {
    const char *name;
    int there;
  } all[] = {
      {"avx2", avx2},
      {"fma", avx2},
      {"f16c", avx2},
      {"avx_vnni", has_avxvnni(&f)},
      {"avx512f", zmm && f.leaf7b >> 16 & 1},
      {"avx512_vnni", has_avx512vnni(&f)},
      {"avx512_bf16", zmm && f.leaf7_1a >> 5 & 1},
      {"amx_int8", has_amx_int8(&f)},
      {"amx_bf16", tiles && has_all(f.leaf7d, 1u << 22 | 1u << 24)},
  };
  *to = 0;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i].there) append(to, room, all[i].name);
}

uint64_t edge_flush_denormals(int flush, uint64_t state) {
  const unsigned before = _mm_getcsr();
  _mm_setcsr(flush ? before | 0x8040 /* results and operands */ : (unsigned)state);
  return before;
}

#elif defined(__aarch64__)

void edge_cpu_name(char *to, int room) {
  *to = 0;
#if defined(__APPLE__)
  size_t size = (size_t)room;
  if (sysctlbyname("machdep.cpu.brand_string", to, &size, NULL, 0)) *to = 0;
#else
  (void)room;
#endif
}

void edge_cpu_features(char *to, int room) {
  *to = 0;
  append(to, room, "asimd"); /* which all have */
  if (has_dotprod()) append(to, room, "asimddp");
  if (has_i8mm()) append(to, room, "i8mm");
}

uint64_t edge_flush_denormals(int flush, uint64_t state) {
  uint64_t before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  const uint64_t after = flush ? before | 1u << 24 /* FZ, results and operands */ : state;
  __asm__ volatile("msr fpcr, %0" : : "r"(after));
  return before;
}

#else

void edge_cpu_name(char *to, int room) { *to = 0, (void)room; }
void edge_cpu_features(char *to, int room) { *to = 0, (void)room; }
uint64_t edge_flush_denormals(int flush, uint64_t state) { return (void)flush, (void)state, 0; }

#endif
