"""How an engine that opens a graph by its path gets at the weights beside it, if those are a link.

The content of both was verified. But onnxruntime opens no weights that a link leads out of the
graph's folder, so those are read and handed over; openvino takes none from memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import OptionError
from ..machine.shell import quoted

# Since then it follows links of both to one folder, as in Hugging Face's cache.
_FOLLOWS_BOTH = (1, 25)


def out_of_reach(graph: Path, weights: Path, version: str) -> bool:
    """Whether onnxruntime of a version refuses to open a graph's weights by their path."""
    place = weights.resolve().parent
    if place == graph.parent.resolve():
        return False
    major, minor = (int(number) for number in version.split(".")[:2])
    return (major, minor) < _FOLLOWS_BOTH or place != graph.resolve().parent


def give(settings: Any, file: Path, version: str) -> npt.NDArray[np.uint8]:
    """Have onnxruntime take a file of weights from memory, which must stay until it has opened.

    Raises:
        OptionError: when this version cannot.

    """
    take = getattr(settings, "add_external_initializers_from_files_in_memory", None)
    if take is None:
        raise OptionError(
            f"onnxruntime {version} cannot take weights from memory; install a newer one, or leave "
            "copied weights to the native kernels"
        )
    weights = np.fromfile(file, np.uint8)
    take([file.name], [weights], [weights.nbytes])
    return weights


def check_openvino_follows(graph: Path, weights: Path) -> None:
    """Make sure that openvino opens a graph's weights.

    Raises:
        OptionError: when they are a link out of the graph's folder.

    """
    if weights.resolve().parent != graph.parent.resolve():
        folder = graph.parent.parent
        raise OptionError(
            f"{weights} is a link, which openvino does not follow out of its folder; leave "
            f"openvino out, or copy the bundle with: cp -rL {quoted(str(folder))} COPY"
        )
