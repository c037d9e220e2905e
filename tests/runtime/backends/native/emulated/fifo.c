/* Runs a program whose threads change places only when they wait: by FIFO scheduling, on one core.

   Usage: fifo PROGRAM ARGUMENTS */
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
  const struct sched_param lowest = {.sched_priority = 1};
  if (argc < 2 || sched_setscheduler(0, SCHED_FIFO, &lowest)) return perror("fifo"), 125;
  execvp(argv[1], argv + 1);
  return perror(argv[1]), 127;
}
