"""`Graph`: an ONNX graph, written node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import ParameterError

# The name of a value, or a constant.
Value = str | npt.NDArray[Any] | np.generic

# Old enough for every runtime of the last years. Reductions but for sums take their axes as an attribute there.
OPSET, ML_OPSET, IR_VERSION = 17, 3, 8

ML = "ai.onnx.ml"

# ONNX's numbers for types.
FLOAT, INT64, STRING, DOUBLE = 1, 7, 8, 11

NEEDS = "exporting needs onnx and ONNX Runtime: pip install 'oddrow[onnx]'."


class Graph:
    """Values by name, and the nodes that lead from one to the next.

    `inputs` maps the name of each input, (rows,), to its type and to what is to be known of it. Raises `ParameterError`
    where the package onnx is missing.
    """

    def __init__(self, inputs: Mapping[str, tuple[int, str]]) -> None:
        self._onnx = onnx()
        self._inputs = [
            self._onnx.helper.make_tensor_value_info(name, kind, ["rows"], doc_string=says)
            for name, (kind, says) in inputs.items()
        ]
        self._taken = set(inputs)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, *inputs: Value, **attributes: Any) -> str:
        """What an operator makes of values."""
        return self.add_several(operator, 1, *inputs, **attributes)[0]

    def add_several(self, operator: str, n_outputs: int, *inputs: Value, **attributes: Any) -> list[str]:
        """The values that an operator makes of others."""
        names = [value if isinstance(value, str) else self._constant(np.asarray(value)) for value in inputs]
        outputs = [self._new_name(operator) for _ in range(n_outputs)]
        self._nodes.append(self._onnx.helper.make_node(operator, names, outputs, **attributes))
        return outputs

    def side_by_side(self, matrices: Sequence[str]) -> str:
        """Matrices (rows, …) as one."""
        return matrices[0] if len(matrices) == 1 else self.add("Concat", *matrices, axis=1)

    def as_column(self, values: str) -> str:
        """Values (rows,) as (rows, 1)."""
        return self.add("Unsqueeze", values, np.array([1]))

    def columns(self, matrix: str, places: Sequence[int]) -> str:
        """Some columns of a matrix (rows, …), in this order."""
        return self.add("Gather", matrix, np.array(places, np.int64), axis=1)

    def sum(self, values: str, *, axis: int = 1, keepdims: int = 1) -> str:
        """The sum over an axis: by default of each row of a matrix (rows, …), (rows, 1)."""
        return self.add("ReduceSum", values, np.array([axis]), keepdims=keepdims)

    def to_bytes(self, score: str, output: str, properties: Mapping[str, str]) -> bytes:
        """The whole as an ONNX model that gives `score` under the name `output`, float64 (rows,)."""
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
        """A name that neither a column nor another value has."""
        number = len(self._taken)
        while (name := f"{like}:{number}") in self._taken:
            number += 1
        self._taken.add(name)
        return name


def onnx() -> Any:
    """The package onnx. Raises `ParameterError` where it is missing."""
    try:
        import onnx
    except ImportError as error:
        raise ParameterError(NEEDS) from error
    return onnx
