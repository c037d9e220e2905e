"""Lets `python -m refact_edge` run the command line."""

from .runtime.__main__ import main

if __name__ == "__main__":
    main()
