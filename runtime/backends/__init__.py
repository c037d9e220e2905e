"""What computes a step: onnxruntime, the native kernels, OpenVINO, or two of them."""
