"""Measurements: how fast a bundle is here, and what reuse wins while one types."""
