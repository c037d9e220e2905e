/* open LIBRARY: loads the library as Python does, and prints its fields with their places and sizes, a line each, and the
   ways in which this CPU can compute. */
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
  const char *(*field)(int, int *, int *) = (const char *(*)(int, int *, int *))FIND(library, "edge_field");
  if (!cpu || !field) return printf("%s lacks edge_cpu or edge_field\n", argv[1]), 1;
  int offset, bytes;
  for (int i = 0; field(i, &offset, &bytes); i++)
    printf("%s %d %d\n", field(i, &offset, &bytes), offset, bytes);
  for (int i = 0; cpu(i); i++) printf("%s%s", i ? " " : "", cpu(i));
  printf("\n");
  return 0;
}
