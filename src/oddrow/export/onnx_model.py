"""`to_onnx`: a fitted detector with its encoder as one ONNX model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy.typing as npt
import polars as pl

from oddrow.detectors.base import Detector
from oddrow.errors import ParameterError, raise_all
from oddrow.export.encoder_nodes import encoded_categories, encoded_numbers
from oddrow.export.graph import DOUBLE, STRING, Graph
from oddrow.export.network_nodes import InputValues, autoencoder_score, dagmm_score, oddrow_score
from oddrow.nets.autoencoder import Autoencoder
from oddrow.nets.dagmm import DAGMM
from oddrow.nets.oddrow import OddRow
from oddrow.table.schema import Column

SCORE = "anomaly_score"

# The ONNX type of an input for each kind of column, and its description in the file.
INPUT_TYPES: dict[str, tuple[int, str]] = {
    "numeric": (DOUBLE, "a number; NaN if missing"),
    "time": (DOUBLE, "seconds since 1970 of the wall clock; NaN if missing"),
    "category": (STRING, "text; empty if missing"),
    "boolean": (STRING, "true or false; empty if missing"),
}

SCORES: dict[type[Any], Callable[[Graph, Any, InputValues], str]] = {
    Autoencoder: autoencoder_score,
    DAGMM: dagmm_score,
    OddRow: oddrow_score,
}


def to_onnx(detector: Detector, properties: Mapping[str, str] | None = None) -> bytes:
    """Convert a fitted detector and its encoder to an ONNX model.

    Parameters
    ----------
    detector : Detector
        A fitted detector.
    properties : mapping of str to str, optional
        Metadata to write into the model.

    Returns
    -------
    bytes
        The model. It has one input of shape (rows,) for each column that the network sees, under the name of the
        column, and the output `anomaly_score`: float64, shape (rows,).

    Raises
    ------
    ParameterError
        If ONNX cannot express the detector, or the package onnx is not installed.

    Examples
    --------
    >>> import polars as pl
    >>> from oddrow import AutoencoderDetector, Training
    >>> rows = pl.DataFrame({"amount": [5.0, 7.0, 6.0] * 20})
    >>> detector = AutoencoderDetector(hidden=(2,), training=Training(epochs=0)).fit(rows)
    >>> isinstance(to_onnx(detector, {"owner": "fraud team"}), bytes)
    True
    """
    columns = input_columns(detector)
    raise_all(list(_obstacles(detector, columns)), ParameterError)
    graph = Graph({column.name: INPUT_TYPES[column.kind] for column in columns})
    booleans = {column.name for column in columns if column.kind == "boolean"}
    numbers = encoded_numbers(graph, detector.encoder_, booleans)
    categories = encoded_categories(graph, detector.encoder_, booleans)
    write_score = SCORES[type(detector.network_)]
    score = write_score(graph, detector.network_, InputValues(numbers, categories))
    return graph.to_bytes(score, SCORE, properties or {})


def input_columns(detector: Detector) -> list[Column]:
    """Return the columns that become inputs of the exported model.

    Parameters
    ----------
    detector : Detector
        A fitted detector.

    Returns
    -------
    list of Column
        The features of its schema, except times with no encoded part.

    Examples
    --------
    >>> import polars as pl
    >>> from oddrow import AutoencoderDetector, Training
    >>> rows = pl.DataFrame({"amount": [5.0, 7.0, 6.0] * 20})
    >>> detector = AutoencoderDetector(hidden=(2,), training=Training(epochs=0)).fit(rows)
    >>> [column.name for column in input_columns(detector)]
    ['amount']
    """
    encoder = detector.encoder_
    seen = {source for source, _ in [*encoder.number_sources_, *encoder.category_sources_]}
    return [column for column in detector.schema_.features if column.name in seen]


def model_inputs(columns: list[Column], rows: pl.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Return rows that `Schema.conform` has checked as the inputs of an exported model."""
    return {column.name: _as_input(rows[column.name], column.kind) for column in columns}


def _as_input(values: pl.Series, kind: str) -> npt.NDArray[Any]:
    if kind == "numeric":
        return values.to_numpy()
    if kind == "time":
        return (values.dt.epoch("us").cast(pl.Float64) / 1e6).to_numpy()
    return values.cast(pl.String).fill_null("").to_numpy().astype(object)


def _obstacles(detector: Detector, columns: list[Column]) -> Iterator[str]:
    """Yield every reason why a detector cannot become an ONNX model."""
    for column in columns:
        if column.name in ("", SCORE):
            yield f"column '{column.name}': an ONNX model cannot have an input of that name. Rename it and fit again."
    for category in detector.encoder_.category_columns_:
        if "" in category.levels:
            yield (
                f"column '{category.source}': the empty text is one of its levels, but an ONNX model reads it as "
                "missing. Replace it in the training rows by a missing value or another text, and fit again."
            )
    if type(detector.network_) not in SCORES:
        known = ", ".join(kind.__name__ for kind in SCORES)
        yield f"a network of type {type(detector.network_).__name__} cannot be exported. Known: {known}."
