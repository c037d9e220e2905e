"""Opening a bundle: which engine runs which variant where."""
