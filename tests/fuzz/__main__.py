"""Runs the fuzzer: python -m fuzz, with tests/ on the path."""

from .cli import main

if __name__ == "__main__":
    main()
