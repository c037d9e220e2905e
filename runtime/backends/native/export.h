/* What the library offers is marked EXPORT; all else stays inside. */
#ifndef EDGE_EXPORT_H
#define EDGE_EXPORT_H

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#endif
