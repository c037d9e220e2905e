"""Judging programs: a sandbox and what runs in it."""
