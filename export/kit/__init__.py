"""The kit: one folder with all that a machine without a network needs, for the systems named."""
