"""The demo checkpoint: a toy GPTRefact trained on the Python standard library."""
