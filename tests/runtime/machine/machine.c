/* Prints what the library says of this machine, and halves the smallest normal number: as it is, while numbers next to
   zero are flushed, and when the state is given back. */
#include "machine.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

static int is_zero(void) {
  volatile float smallest = FLT_MIN;
  volatile float half = smallest * 0.5f;
  uint32_t bits; /* a comparison of floats would flush its operands */
  memcpy(&bits, (const void *)&half, sizeof bits);
  return bits == 0;
}

int main(void) {
  char name[64], features[256], narrow[8], four[4];
  edge_cpu_name(name, sizeof name);
  edge_cpu_features(features, sizeof features);
  edge_cpu_features(narrow, sizeof narrow);
  edge_cpu_name(four, sizeof four);
  const int before = is_zero();
  const uint64_t state = edge_flush_denormals(1, 0);
  const int inside = is_zero();
  const uint64_t flushing = edge_flush_denormals(0, state);
  const int after = is_zero(), given_back = edge_flush_denormals(0, state) == state;
  printf("name=%s\nfeatures=%s\nnarrow=%s\nfour=%s\ncores=%d\n", name, features, narrow, four,
         edge_fast_cores());
  printf("zeros=%d%d%d changed=%d given_back=%d\n", before, inside, after, flushing != state, given_back);
  return 0;
}
