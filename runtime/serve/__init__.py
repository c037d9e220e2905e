"""The local server: HTTP in the dialects that clients already speak, and a language server."""
