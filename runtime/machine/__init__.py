"""The machine: its CPU, its cores, its shell, and the compiled library that knows them."""
