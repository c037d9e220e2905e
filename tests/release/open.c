/* open LIBRARY: loads the library as Python does, and prints its layout and the ways in which this CPU can compute. */
#include <stdio.h>

#if defined(_WIN32)
#include <windows.h>
#define OPEN(path) LoadLibraryA(path)
#define FIND(library, name) (void *)GetProcAddress(library, name)
typedef HMODULE Library;
#else
#include <dlfcn.h>
#define OPEN(path) dlopen(path, RTLD_NOW | RTLD_LOCAL)
#define FIND(library, name) dlsym(library, name)
typedef void *Library;
#endif

int main(int argc, char **argv) {
  const Library library = argc == 2 ? OPEN(argv[1]) : NULL;
  if (!library) return printf("%s cannot be loaded\n", argc == 2 ? argv[1] : "nothing"), 1;
  const char *(*cpu)(int) = (const char *(*)(int))FIND(library, "edge_cpu");
  int (*layout)(void) = (int (*)(void))FIND(library, "edge_layout");
  if (!cpu || !layout) return printf("%s lacks edge_cpu or edge_layout\n", argv[1]), 1;
  printf("%d", layout());
  for (int i = 0; cpu(i); i++) printf(" %s", cpu(i));
  printf("\n");
  return 0;
}
