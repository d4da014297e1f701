"""`Artifact`: a saved model. Loading parses, checks against the allow-list and the shapes, and only then constructs."""

from __future__ import annotations

import json
import platform
import re
import shutil
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from oddrow.artifact.manifest import (
    CARD,
    CLASSES,
    FORMAT,
    MANIFEST,
    TENSORS,
    Manifest,
    SavedDetector,
    SavedEstimator,
    check_writable,
    read_manifest,
    read_tensors,
)
from oddrow.artifact.origin import Origin
from oddrow.artifact.row_decider import RowDecider
from oddrow.detectors.base import Detector
from oddrow.errors import ArtifactError, OddrowError
from oddrow.files import replaced_folder
from oddrow.structure import to_plain
from oddrow.table.dataset import describe_span
from oddrow.table.delimited import ReadOptions
from oddrow.table.history import History
from oddrow.table.roles import Roles
from oddrow.thresholds.threshold import Threshold

# Whose versions a model remembers.
PACKAGES = ("oddrow", "jax", "equinox", "optax", "numpy", "polars", "scikit-learn")

FINGERPRINT, REPRODUCE = "Fingerprint of the training rows", "Reproduce"

LIMITS = (
    "A score says how unlike the training rows a row is. It is no probability of fraud, and rows that differ from the "
    "training rows for harmless reasons score high too."
)


def facts(model: Artifact) -> list[tuple[str, str]]:
    """What a reader must know of the model, as names and texts."""
    origin, detector = model.origin, model.detector
    return [
        ("Detector", f"{type(detector).__name__}, {_short_parameters(detector)}"),
        ("Trained on", _trained_on(model)),
        *([("Training rows", "; ".join(said))] if (said := detector._training_notes) else []),
        ("Epochs run", f"{detector.n_epochs_:,}"),
        ("Threshold", f"alert {cut_in_words(model.threshold)}"),
        *([("Block", cut_in_words(model.block))] if model.block else []),
        *(("Before", f"{cut.value:.6g}, {cut.rule}, chosen on {cut.source} rows") for cut in model.earlier),
        *([(FINGERPRINT, origin.fingerprint.sha256)] if origin else []),
        *([(REPRODUCE, f"`{origin.command}`")] if origin and origin.command else []),
    ]


def model_card(model: Artifact) -> str:
    """What a reader must know of the model, as Markdown."""
    columns = model.detector.schema_.columns
    used = [f"| {_plain(column.name)} | {column.kind} | {column.why} |" for column in columns if column.is_feature]
    unused = [f"- {_plain(column.name)}: {column.kind}, {column.why}" for column in columns if not column.is_feature]
    lines = [
        "# oddrow model card",
        "",
        *(f"- {name}: {text}" for name, text in facts(model)),
        "",
        LIMITS,
        "",
        "## Columns used",
        "",
        "| column | kind | why |",
        "|---|---|---|",
        *used,
        *(["", "## Columns not used", "", *unused] if unused else []),
    ]
    return "\n".join(lines) + "\n"


def _plain(name: str) -> str:
    """A name that Markdown takes for nothing else."""
    return re.sub(r"([|<>\\])", r"\\\1", name)


def _trained_on(model: Artifact) -> str:
    """Which rows taught, and what became of known anomalies beside them."""
    origin, n_known = model.origin, model.detector.n_known_anomalies_
    rows = [f"{origin.n_rows - n_known:,} rows of {origin.named}"] if origin else ["rows in memory"]
    if origin and model.roles.time and (origin.start or origin.until):
        rows.append(f"rows with {describe_span(model.roles.time, origin.start, origin.until)}")
    rows += [f"{origin.n_held_out:,} more held out for the threshold"] if origin else []
    return f"{'; '.join(rows)}; {n_known:,} known anomalies beside them were {_use_of_known(model)}"


def _use_of_known(model: Artifact) -> str:
    return "learned from, not to be rebuilt" if model.detector._learns_from_known else "left out"


def cut_in_words(cut: Threshold) -> str:
    """Return from which score on, by which rule, and what it guarantees."""
    return f"from score {cut.value:.6g} on; rule {cut.rule}, chosen on {cut.source} rows. {cut.guarantee_in_words}"


def _short_parameters(estimator: Any) -> str:
    """The parameters that are not as usual."""
    parameters, usual = estimator.get_params(deep=False), type(estimator)().get_params(deep=False)
    changed = {name: value for name, value in parameters.items() if repr(value) != repr(usual[name])}
    return ", ".join(f"{name}={' '.join(repr(value).split())}" for name, value in changed.items()) or "as usual"


@dataclass(frozen=True)
class Artifact:
    """A fitted detector, its threshold, how its tables are read, which columns play which part, its origin.

    `block` is a second, higher cut, where there are bands; `earlier` are the cuts that it had before; `history` is what
    its tables are told of the past of each row's entities.
    """

    detector: Detector
    threshold: Threshold
    read: ReadOptions = field(default_factory=ReadOptions)
    roles: Roles = field(default_factory=Roles)
    origin: Origin | None = None
    block: Threshold | None = None
    earlier: tuple[Threshold, ...] = ()
    history: History | None = None

    def save(self, folder: str | Path) -> None:
        """Write the folder whole or not at all; an older artifact there is replaced.

        Raises `ArtifactError` where the place cannot be written or holds something that is no artifact.
        """
        folder = Path(folder).absolute()
        if not isinstance(self.threshold, Threshold):
            raise ArtifactError(f'threshold={self.threshold!r} is no Threshold. Pass Threshold(2.5, "fixed:2.5").')
        check_writable(folder)
        manifest, arrays = self._to_manifest()
        with replaced_folder(folder, ArtifactError) as unfinished:
            (unfinished / MANIFEST).write_text(json.dumps(to_plain(manifest), indent=1, allow_nan=False) + "\n")
            save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, unfinished / TENSORS)
            # safetensors writes for the owner alone: whoever may read the manifest may read the weights.
            shutil.copymode(unfinished / MANIFEST, unfinished / TENSORS)
            (unfinished / CARD).write_text(self.card(), encoding="utf-8")

    def _to_manifest(self) -> tuple[Manifest, dict[str, Any]]:
        state, arrays = self.detector._to_state()
        saved = SavedEstimator.of(self.detector)
        manifest = Manifest(
            format=FORMAT,
            versions={"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            detector=SavedDetector(saved.name, saved.parameters, state),
            threshold=self.threshold,
            block=self.block,
            earlier=self.earlier,
            history=self.history,
            read=self.read,
            roles=self.roles,
            origin=self.origin,
        )
        return manifest, arrays

    @classmethod
    def load(cls, folder: str | Path) -> Artifact:
        """Read a saved model. Raises `ArtifactError` for anything that is not one, whole and unaltered in form."""
        folder = Path(folder)
        manifest = read_manifest(folder)
        arrays = read_tensors(folder / TENSORS)
        try:
            detector: Detector = manifest.detector.construct(CLASSES)
            detector._from_state(manifest.detector.state, arrays)
        except OddrowError as error:
            raise ArtifactError(f"{folder}: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ArtifactError(f"{folder / MANIFEST}: this is damaged or was changed ({error!r}).") from error
        return cls(
            detector=detector,
            threshold=manifest.threshold,
            read=manifest.read,
            roles=manifest.roles,
            origin=manifest.origin,
            block=manifest.block,
            earlier=manifest.earlier,
            history=manifest.history,
        )

    def row_scorer(self) -> RowDecider:
        """A function that takes one row, a dict, and gives its score, whether that reaches the threshold, and the band.

        For rows that arrive one by one: under 0.2 ms each, after some seconds to make it. Of a cap on the alerts of a
        day it knows nothing. A model with a history needs its columns too: `HistoryState.update` adds them.
        """
        return RowDecider(self.detector, self.threshold, self.block)

    def card(self) -> str:
        """What a reader must know of the model, as Markdown."""
        return model_card(self)
