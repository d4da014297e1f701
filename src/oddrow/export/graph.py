"""`Graph`: builds an ONNX graph node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import ParameterError

# The name of a value in the graph, or a constant.
Value = str | npt.NDArray[Any] | np.generic

# Old enough for every runtime of recent years. Here ReduceSum takes its axes as an input, other reductions as an
# attribute.
OPSET, ML_OPSET, IR_VERSION = 17, 3, 8

ML = "ai.onnx.ml"

# ONNX type codes.
FLOAT, INT64, STRING, DOUBLE = 1, 7, 8, 11

NEEDS = "export needs onnx and ONNX Runtime: pip install 'oddrow[onnx]'."


class Graph:
    """An ONNX graph under construction.

    Methods add nodes and return the names of their outputs. Raises `ParameterError` if the package onnx is missing.

    Parameters
    ----------
    inputs : mapping of str to tuple of int and str
        The ONNX type and the description of each input, by name. Every input has the shape (rows,).
    """

    def __init__(self, inputs: Mapping[str, tuple[int, str]]) -> None:
        self._onnx = load_onnx()
        self._inputs = [
            self._onnx.helper.make_tensor_value_info(name, kind, ["rows"], doc_string=description)
            for name, (kind, description) in inputs.items()
        ]
        self._taken = set(inputs)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, *inputs: Value, **attributes: Any) -> str:
        """Add an operator and return its output."""
        return self.add_several(operator, 1, *inputs, **attributes)[0]

    def add_several(self, operator: str, n_outputs: int, *inputs: Value, **attributes: Any) -> list[str]:
        """Add an operator and return all its outputs."""
        names = [value if isinstance(value, str) else self._constant(np.asarray(value)) for value in inputs]
        outputs = [self._new_name(operator) for _ in range(n_outputs)]
        self._nodes.append(self._onnx.helper.make_node(operator, names, outputs, **attributes))
        return outputs

    def concat(self, matrices: Sequence[str]) -> str:
        """Join matrices (rows, …) column-wise."""
        return matrices[0] if len(matrices) == 1 else self.add("Concat", *matrices, axis=1)

    def as_column(self, values: str) -> str:
        """Reshape values (rows,) to (rows, 1)."""
        return self.add("Unsqueeze", values, np.array([1]))

    def columns(self, matrix: str, places: Sequence[int]) -> str:
        """Select columns of a matrix (rows, …), in this order."""
        return self.add("Gather", matrix, np.array(places, np.int64), axis=1)

    def sum(self, values: str, *, axis: int = 1, keepdims: int = 1) -> str:
        """Sum over an axis, by default over the columns of a matrix (rows, …): (rows, 1)."""
        return self.add("ReduceSum", values, np.array([axis]), keepdims=keepdims)

    def to_bytes(self, score: str, output: str, properties: Mapping[str, str]) -> bytes:
        """Return the ONNX model, which gives `score` as float64 (rows,) under the name `output`."""
        helper = self._onnx.helper
        last = helper.make_node("Cast", [score], [output], to=DOUBLE)
        result = helper.make_tensor_value_info(output, DOUBLE, ["rows"])
        graph = helper.make_graph([*self._nodes, last], "oddrow", self._inputs, [result], self._constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="oddrow")
        helper.set_model_props(model, dict(properties))
        return bytes(model.SerializeToString())

    def _constant(self, array: npt.NDArray[Any]) -> str:
        name = self._new_name("constant")
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def _new_name(self, like: str) -> str:
        """Return a name that no column and no other value has."""
        number = len(self._taken)
        while (name := f"{like}:{number}") in self._taken:
            number += 1
        self._taken.add(name)
        return name


def load_onnx() -> Any:
    """Import onnx. Raises `ParameterError` if it is not installed."""
    try:
        import onnx
    except ImportError as error:
        raise ParameterError(NEEDS) from error
    return onnx
