"""The native engine: one decoder step in C over the bundle's own files; see edge.h."""
