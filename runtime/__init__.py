"""The light runtime: numpy, onnxruntime, tokenizers and click; no torch, no network."""
