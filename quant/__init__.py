"""Quantization: weights to codes and back, and what was lost on the way."""
