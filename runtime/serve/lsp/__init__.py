"""A language server whose only feature is text at the cursor, as of LSP 3.18."""
