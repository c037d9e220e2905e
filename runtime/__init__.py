"""The light runtime: numpy, onnxruntime, tokenizers and click; no torch, no network."""

import logging

# Messages go where the host program has them go, and nowhere by themselves.
logging.getLogger("refact_edge").addHandler(logging.NullHandler())
