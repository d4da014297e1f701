"""Export: a saved model as an ONNX file that scores raw columns without oddrow."""

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
    """Export a saved model to an ONNX file, encoder included.

    Before the file is written, it has scored 4,096 random rows as the model does.

    Parameters
    ----------
    model : str or Path
        Folder of the model.
    onnx_path : str or Path
        File to write; its name ends in `.onnx`.
    tell : callable, optional
        Receives what is reported, as text.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ParameterError
        If ONNX cannot express the model, or the extra `onnx` is not installed.
    ArtifactError
        If the scores of the file differ from those of the model.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from oddrow import Artifact, OddRowDetector, Threshold, workflow
    >>> detector = OddRowDetector(random_state=0).fit(np.random.default_rng(0).normal(size=(100, 2)))
    >>> with TemporaryDirectory() as folder:
    ...     Artifact(detector, Threshold(5.0, "fixed:5")).save(f"{folder}/model")
    ...     workflow.export(f"{folder}/model", f"{folder}/model.onnx").name
    'model.onnx'
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
        f"On {N_PARITY_ROWS:,} random rows its scores differ by at most {difference:.1g} (relative) from the model's."
    )
    return place


def _check_place(place: Path, model: Path) -> None:
    if place.suffix != ".onnx":
        raise ParameterError(f"{place}: the name of an ONNX file must end in .onnx.")
    if place.resolve().parent == model.resolve():
        raise ParameterError(
            f"{place}: the folder of the model must hold nothing else. Choose a place outside {model}."
        )
    check_output_file(place)


def _properties(artifact: Artifact) -> Iterator[tuple[str, str]]:
    """Yield the metadata of the file: what is needed to decide by its scores."""
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
    """Yield what the user of the file must do besides."""
    if names := _made_before(artifact):
        yield f"Compute {counted(len(names), 'history column')} before scoring, as inputs: {first_names(names)}."
    for cut in (artifact.threshold, artifact.block):
        if cut is not None and not cut.is_by_row:
            yield f"The file returns scores only; apply this yourself: {cut.in_words}"


def _made_before(artifact: Artifact) -> list[str]:
    """Return the input columns that the model's history makes."""
    made = set() if artifact.history is None else set(artifact.history.names)
    return [column.name for column in input_columns(artifact.detector) if column.name in made]
