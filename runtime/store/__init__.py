"""The user's cache folder, and what lies in it."""
