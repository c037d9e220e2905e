"""A process for programs in any language: JSON-RPC 2.0 on standard input and output."""
