"""Texts that calibration and evaluation read: where they come from, and holes in them."""
