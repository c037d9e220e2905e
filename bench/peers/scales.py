"""Our graph as OpenVINO reads it: scales in fp32, as constants.

Our int4 graph stores its scales in fp16 and casts them while it runs. OpenVINO 2026.4 refuses
that: "GatherBlockQuantized: 'scales' must be a constant". Nothing else is changed, and the codes
are those of the bundle's own data file.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from refact_edge.runtime.bundle.contract import engine_graph, weights_file

SCALES = ".scales"


def with_constant_scales(bundle: Path, variant: str, folder: Path) -> Path:
    """Write a variant's engine graph into `folder`, with its scales cast now; return its path."""
    source, data = bundle / engine_graph(variant), bundle / weights_file(variant)
    model = onnx.load(str(source), load_external_data=False)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type == "Cast" and node.input[0].endswith(SCALES):
            old = stored[node.input[0]]
            scales = numpy_helper.to_array(old, base_dir=str(data.parent)).astype(np.float32)
            model.graph.initializer.remove(old)
            model.graph.initializer.append(numpy_helper.from_array(scales, node.output[0]))
            model.graph.node.remove(node)
    folder.mkdir(parents=True, exist_ok=True)
    # A copy: OpenVINO follows no link out of the folder, and onnx reads no file with hard links.
    shutil.copyfile(data, folder / data.name)
    target = folder / source.name
    target.write_bytes(model.SerializeToString())
    return target
