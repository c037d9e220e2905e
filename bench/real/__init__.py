"""Checks and measurements on real weights: where they come from, and what is done to them first."""
