/* The kinds of kernels that this CPU and its system can run, a line each. */
#include <stdio.h>

#include "edge.h"

int main(void) {
  for (int i = 0; edge_cpu(i); i++) puts(edge_cpu(i));
  return 0;
}
