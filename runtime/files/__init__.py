"""Files: written whole or not at all, plain ones, of this user, and whether they changed."""
