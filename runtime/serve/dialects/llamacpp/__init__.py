"""llama.cpp's server's dialect."""
