"""`to_onnx`: a fitted detector as one ONNX model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy.typing as npt
import polars as pl

from oddrow.detectors.base import Detector
from oddrow.errors import ParameterError, raise_all
from oddrow.export.encoding import encoded_categories, encoded_numbers
from oddrow.export.graph import DOUBLE, STRING, Graph
from oddrow.export.networks import InputValues, of_autoencoder, of_dagmm, of_oddrow
from oddrow.nets.autoencoder import Autoencoder
from oddrow.nets.dagmm import DAGMM
from oddrow.nets.oddrow import OddRow
from oddrow.table.schema import Column

SCORE = "anomaly_score"


def columns_seen(detector: Detector) -> list[Column]:
    """The columns that the network sees anything of: not a time of which no part is encoded."""
    encoder = detector.encoder_
    seen = {source for source, _ in [*encoder.number_sources_, *encoder.category_sources_]}
    return [column for column in detector.schema_.features if column.name in seen]


def described(kind: str) -> tuple[int, str]:
    """The type of an input for a column of this kind, and what is to be known of it."""
    return {
        "numeric": (DOUBLE, "a number; NaN where it is missing"),
        "time": (DOUBLE, "seconds since 1970 by the clock on the wall; NaN where it is missing"),
        "category": (STRING, "text; empty where it is missing"),
        "boolean": (STRING, "true or false; empty where it is missing"),
    }[kind]


def inputs_of(columns: list[Column], rows: pl.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Rows that `Schema.conform` has returned as inputs of an exported model."""
    return {column.name: _input(rows[column.name], column.kind) for column in columns}


def _input(values: pl.Series, kind: str) -> npt.NDArray[Any]:
    if kind == "numeric":
        return values.to_numpy()
    if kind == "time":
        return (values.dt.epoch("us").cast(pl.Float64) / 1e6).to_numpy()
    return values.cast(pl.String).fill_null("").to_numpy().astype(object)


def check_expressible(detector: Detector) -> None:
    """Raise one `ParameterError` with all that keeps a detector from being an ONNX model."""
    raise_all(list(_hindrances(detector)), ParameterError)


def _hindrances(detector: Detector) -> Iterator[str]:
    for column in columns_seen(detector):
        if column.name in ("", SCORE):
            yield f"column '{column.name}': an ONNX model cannot have an input of that name. Rename it and fit again."
    for category in detector.encoder_.category_columns_:
        if "" in category.levels:
            yield (
                f"column '{category.source}': the empty text is one of its levels, and means missing to an ONNX model. "
                "Make it missing in the training rows, or name it otherwise, and fit again."
            )


SCORES: dict[type[Any], Callable[[Graph, Any, InputValues], str]] = {
    Autoencoder: of_autoencoder,
    DAGMM: of_dagmm,
    OddRow: of_oddrow,
}


def score(graph: Graph, network: Any, rows: InputValues) -> str:
    """The score of each row (rows,). Raises `ParameterError` for a network that nobody has written down here."""
    if type(network) not in SCORES:
        known = ", ".join(kind.__name__ for kind in SCORES)
        raise ParameterError(f"a network of type {type(network).__name__} cannot be exported, only {known}.")
    return SCORES[type(network)](graph, network, rows)


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
    scores = score(graph, detector.network_, InputValues(numbers, categories))
    return graph.to_bytes(scores, SCORE, properties or {})
