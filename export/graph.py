"""A thin builder over an ONNX graph: nodes by operator, constants inline, weights by reference.

Knows operators and names, nothing of models. Two identical nodes become one, so that blocks may
ask for a shape or a quantized activation wherever they need it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..runtime.bundle.places import Part

OPSET = 21
CONTRIB = "com.microsoft"
IR_VERSION = 10

Attribute = int | float | str | Sequence[int] | TensorProto

ONNX_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
}


class Graph:
    """A graph under construction. Values are named by strings, as in ONNX itself.

    Names are paths: `layers.3/attention/q/MatMulNBits` is the product in three nested scopes.
    """

    def __init__(
        self, name: str, data_file: str | None, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Start a graph whose weights lie in `data_file` beside it, or, without one, are inputs.

        `metadata` travels with the model, for whoever looks at it.
        """
        self._name, self._data_file, self._metadata = name, data_file, metadata or {}
        self._scope: tuple[str, ...] = ()
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._made: dict[tuple[object, ...], list[str]] = {}
        self._counts: dict[str, int] = {}
        self._renamed: dict[str, str] = {}

    @contextmanager
    def scope(self, path: str) -> Iterator[None]:
        """Begin the names of all nodes made inside with `path`."""
        outside = self._scope
        self._scope = (*outside, path)
        try:
            yield
        finally:
            self._scope = outside

    def input(self, name: str, type: str, shape: Sequence[int | str]) -> str:
        """Declare an input; a string in `shape` is a symbolic size."""
        self._inputs.append(helper.make_tensor_value_info(name, ONNX_TYPES[type], list(shape)))
        return name

    def output(self, value: str, name: str, type: str, shape: Sequence[int | str]) -> None:
        """Declare the output `name`, made by the one node that yields `value`."""
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [name if used == value else used for used in names]
        self._renamed[value] = name  # callers still hold the old name
        self._outputs.append(helper.make_tensor_value_info(name, ONNX_TYPES[type], list(shape)))

    def op(
        self,
        operator: str,
        *inputs: str,
        domain: str = "",
        attributes: Mapping[str, Attribute] | None = None,
    ) -> str:
        """Add a node with one output and return the output's name."""
        return self.ops(operator, *inputs, domain=domain, attributes=attributes, outputs=1)[0]

    def ops(
        self,
        operator: str,
        *inputs: str,
        outputs: int,
        unused: Sequence[int] = (),
        domain: str = "",
        attributes: Mapping[str, Attribute] | None = None,
    ) -> list[str]:
        """Add a node, or find the identical one, and return the names of its outputs.

        Outputs that are `unused` have no name, and need not be made.
        """
        inputs = tuple(self._renamed.get(name, name) for name in inputs)
        key = (operator, domain, inputs, repr(attributes), outputs)
        if key not in self._made:
            path = "/".join((*self._scope, operator))
            count = self._counts[path] = self._counts.get(path, 0) + 1
            name = path if count == 1 else f"{path}_{count}"
            names = [name] if outputs == 1 else [f"{name}.{i}" for i in range(outputs)]
            names = ["" if i in unused else each for i, each in enumerate(names)]
            node = helper.make_node(operator, list(inputs), names, name=name, domain=domain)
            for attribute, value in sorted((attributes or {}).items()):
                node.attribute.append(helper.make_attribute(attribute, value))
            self._nodes.append(node)
            self._made[key] = names
        return self._made[key]

    @property
    def nodes(self) -> Sequence[onnx.NodeProto]:
        """All nodes so far, each behind those that make its inputs."""
        return self._nodes

    def multiplied(self, weight: str) -> str:
        """Return the value that a product multiplies with `weight`."""
        return str(self._product(weight).input[0])

    def product(self, weight: str) -> str:
        """Return what a product with `weight` yields, without its bias."""
        return str(self._product(weight).output[0])

    def _product(self, weight: str) -> onnx.NodeProto:
        return next(node for node in self._nodes if weight in node.input[1:])

    def constant(self, value: npt.ArrayLike, type: str = "int64") -> str:
        """Return the name of a small constant kept in the graph itself."""
        array = np.asarray(value, type)
        digits = "_".join(str(part).replace("-", "m") for part in array.ravel()[:4])
        name = f"const.{type}.{'x'.join(map(str, array.shape))}.{digits}"
        existing = self._initializers.get(name)
        tensor = numpy_helper.from_array(array, name)
        if existing is not None and existing != tensor:
            raise ValueError(f"two constants would be called {name}")
        self._initializers[name] = tensor
        return name

    def weight(self, name: str, part: Part) -> str:
        """Return the name of an array in the data file."""
        if self._data_file is None:
            if all(value.name != name for value in self._inputs):
                self.input(name, part.type, part.shape)
            return name
        tensor = TensorProto(
            name=name,
            data_type=ONNX_TYPES[part.type],
            dims=part.shape,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in (
            ("location", self._data_file),
            ("offset", part.offset),
            ("length", part.length),
        ):
            tensor.external_data.add(key=key, value=str(value))
        self._initializers[name] = tensor
        return name

    def model(self) -> onnx.ModelProto:
        """Return the finished model."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, list(self._initializers.values())
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="refact-edge"
        )
        helper.set_model_props(model, dict(self._metadata))
        return model
