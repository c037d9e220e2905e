"""Plain torch modules for architectures that transformers lacks."""
