"""Exporting: a saved model in, one ONNX file out that scores raw columns without oddrow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from oddrow.artifact import Artifact
from oddrow.errors import ParameterError, counted, first_names
from oddrow.export import N_PARITY_ROWS, check_packages, check_parity, input_columns, to_onnx
from oddrow.files import check_output_file, replaced_file
from oddrow.typing import Tell, silent


def export(model: str | Path, onnx_path: str | Path, *, tell: Tell = silent) -> Path:
    """Write a saved model as one ONNX file, encoder included, and return where.

    The file is written once it has scored 4,096 made-up rows as the model does. Raises `ParameterError` for what ONNX
    cannot hold and where the extra `onnx` is not installed, `ArtifactError` where scores differ.
    """
    check_packages()
    place = Path(onnx_path)
    _check_place(place, Path(model))
    artifact = Artifact.load(model)
    exported = to_onnx(artifact.detector, dict(_properties(artifact)))
    difference = check_parity(artifact.detector, exported)
    with replaced_file(place) as unfinished:
        unfinished.write_bytes(exported)
    for note in _notes(artifact):
        tell(note)
    n_inputs = counted(len(input_columns(artifact.detector)), "column")
    tell(
        f"Wrote {place} ({len(exported) / 1e6:.1f} MB): {n_inputs} in, anomaly_score out. "
        f"On {N_PARITY_ROWS:,} made-up rows it differs from the model by {difference:.1g} of the score at most."
    )
    return place


def _check_place(place: Path, model: Path) -> None:
    if place.suffix != ".onnx":
        raise ParameterError(f"{place}: a model is written as ONNX. Give a name that ends in .onnx.")
    if place.resolve().parent == model.resolve():
        raise ParameterError(f"{place}: the model's folder holds the model alone. Give a place outside {model}.")
    check_output_file(place)


def _properties(artifact: Artifact) -> Iterator[tuple[str, str]]:
    """What whoever runs the file must know to decide: the ONNX model's metadata."""
    yield "oddrow_version", version("oddrow")
    yield "detector", type(artifact.detector).__name__
    for name, cut in (("threshold", artifact.threshold), ("block", artifact.block)):
        if cut is not None:
            yield name, repr(float(cut.value))
            yield f"{name}_rule", cut.rule
            yield f"{name}_in_words", cut.in_words
    if artifact.history is not None:
        yield "history", json.dumps(_made_before(artifact))


def _notes(artifact: Artifact) -> Iterator[str]:
    """What the file leaves to whoever runs it."""
    if names := _made_before(artifact):
        yield f"{counted(len(names), 'column')} of history are inputs too, to be made before: {first_names(names)}."
    for cut in (artifact.threshold, artifact.block):
        if cut is not None and not cut.is_by_row:
            yield f"Not in the file, which gives scores alone: {cut.in_words}"


def _made_before(artifact: Artifact) -> list[str]:
    """The columns that the model's history makes, among those that the network sees."""
    made = set() if artifact.history is None else set(artifact.history.names)
    return [column.name for column in input_columns(artifact.detector) if column.name in made]
