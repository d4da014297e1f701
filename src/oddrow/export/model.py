"""`to_onnx`: a fitted detector as one ONNX model."""

from __future__ import annotations

from collections.abc import Mapping

from oddrow.detectors.base import Detector
from oddrow.export.encoding import encoded_categories, encoded_numbers
from oddrow.export.graph import Graph
from oddrow.export.inputs import SCORE, check_expressible, columns_seen, described
from oddrow.export.networks import Rows
from oddrow.export.scores import score


def to_onnx(detector: Detector, properties: Mapping[str, str] | None = None) -> bytes:
    """A fitted detector with its encoder as an ONNX model: an input (rows,) for each column that the network sees,
    under the column's name, and the output `anomaly_score`, float64 (rows,). `properties` become its metadata.

    Raises `ParameterError` for what an ONNX model cannot hold, and where the package onnx is missing.
    """
    check_expressible(detector)
    columns = columns_seen(detector)
    graph = Graph({column.name: described(column.kind) for column in columns})
    booleans = {column.name for column in columns if column.kind == "boolean"}
    numbers = encoded_numbers(graph, detector.encoder_, booleans)
    categories = encoded_categories(graph, detector.encoder_, booleans)
    scores = score(graph, detector.network_, Rows(numbers, categories))
    return graph.to_bytes(scores, SCORE, properties or {})
