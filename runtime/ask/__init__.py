"""Asking the model on the command line: complete and chat."""
