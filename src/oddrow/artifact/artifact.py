"""`Artifact`, a saved model, and its model card."""

from __future__ import annotations

import json
import platform
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save_file

from oddrow.artifact.saved_folder import (
    CARD,
    CLASSES,
    FORMAT,
    MANIFEST,
    TENSORS,
    Manifest,
    Origin,
    SavedDetector,
    SavedEstimator,
    check_writable,
    read_manifest,
    read_tensors,
)
from oddrow.detectors.base import Detector
from oddrow.detectors.row_scorer import RowScorer
from oddrow.errors import ArtifactError, OddrowError, counted
from oddrow.files import replaced_folder
from oddrow.structure import to_plain
from oddrow.table.dataset import describe_span
from oddrow.table.delimited import ReadOptions
from oddrow.table.history import History
from oddrow.table.roles import Roles
from oddrow.thresholds.threshold import Threshold


class Decision(NamedTuple):
    """The decision on one row: its score, whether that reaches the threshold, and its band.

    The band is "pass" below the threshold, "block" from the second threshold on (if the model has one), else "review".
    A threshold with a cap, or one that limits the share of false alerts, picks alerts among all rows of a day or batch
    that reach it: use `Threshold.alerts` for these.

    Parameters
    ----------
    score : float
        The anomaly score.
    reached : bool
        Whether the score reaches the threshold.
    band : {"pass", "review", "block"}
        What to do with the row.

    Examples
    --------
    >>> Decision(7.2, True, "review").band
    'review'
    """

    score: float
    reached: bool
    band: str


class RowDecider:
    """Scores a row and compares it with a model's thresholds; made by `Artifact.row_decider`, safe to share by threads.

    Parameters
    ----------
    detector : Detector
        A fitted detector.
    threshold : Threshold
        Rows that reach it are reviewed.
    block : Threshold or None
        Rows that reach both are blocked.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> from oddrow import OddRowDetector
    >>> rows = pl.DataFrame(np.random.default_rng(0).normal(size=(200, 2)), schema=["a", "b"])
    >>> decide = RowDecider(OddRowDetector(random_state=0).fit(rows), Threshold(5.0, "fixed:5"), None)
    >>> decide({"a": 0.0, "b": 9.0}).band
    'review'
    """

    def __init__(self, detector: Detector, threshold: Threshold, block: Threshold | None) -> None:
        self._scorer = RowScorer(detector)
        self._review = threshold.value
        self._block = float("inf") if block is None else block.value

    def __call__(self, row: Mapping[str, Any]) -> Decision:
        """Return the decision on a row; raise `TableError` as `RowScorer` does."""
        score = self._scorer(row)
        reached = score >= self._review
        band = "pass" if not reached else "block" if score >= self._block else "review"
        return Decision(score, reached, band)


# Whose versions a model remembers.
PACKAGES = ("oddrow", "jax", "equinox", "optax", "numpy", "polars", "scikit-learn")

FINGERPRINT, COMMAND = "Fingerprint of the training rows", "Command"

LIMITS = (
    "A score says how much a row differs from the training rows. It is not a probability of fraud, and rows that "
    "differ for harmless reasons score high too."
)


@dataclass(frozen=True)
class Artifact:
    """A saved model: a fitted detector, its threshold and all it needs to read new tables.

    Parameters
    ----------
    detector : Detector
        The fitted detector.
    threshold : Threshold
        Rows whose score reaches it are alerts.
    read : ReadOptions, optional
        How text files are read.
    roles : Roles, optional
        Which columns are the label, the time, the id and so on.
    origin : Origin or None, default=None
        The rows that the detector was fitted to; None if they came from memory.
    block : Threshold or None, default=None
        A second, higher threshold: alerts that reach it are blocked, the others reviewed.
    earlier : tuple of Threshold, default=()
        Thresholds that the model had before.
    history : History or None, default=None
        Features of what each entity did before, added to every table.

    See Also
    --------
    oddrow.workflow.fit : Fit a model to files and save it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from oddrow import OddRowDetector
    >>> rows = np.random.default_rng(0).normal(size=(200, 3))
    >>> detector = OddRowDetector(random_state=0).fit(rows)
    >>> with TemporaryDirectory() as folder:
    ...     Artifact(detector, Threshold(3.0, "fixed:3")).save(f"{folder}/model")
    ...     model = Artifact.load(f"{folder}/model")
    >>> model.threshold.alerts(model.detector.anomaly_score([[0.0, 0.0, 9.0]]))
    array([ True])
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
        """Save the model as a folder, replacing an older model there.

        The folder is written completely or not at all.

        Parameters
        ----------
        folder : str or Path
            The folder; it gets `manifest.json`, `tensors.safetensors` and `card.md`.

        Raises
        ------
        ArtifactError
            If the folder cannot be written or holds something other than a model.
        """
        folder = Path(folder).absolute()
        if not isinstance(self.threshold, Threshold):
            raise ArtifactError(f'threshold={self.threshold!r} is not a Threshold. Pass Threshold(2.5, "fixed:2.5").')
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
        """Load a saved model.

        Loading never runs code from the files: the manifest is checked against the classes, parameters and shapes
        that a model may have, and only then are objects made.

        Parameters
        ----------
        folder : str or Path
            The folder that `save` wrote.

        Returns
        -------
        Artifact
            The model.

        Raises
        ------
        ArtifactError
            If the folder is not a model, is damaged, or was saved in another format.
        """
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

    def row_decider(self) -> RowDecider:
        """Return a fast function that scores single rows.

        Making it takes some seconds, each row less than 0.2 ms. It does not apply a cap on the alerts of a day, and it
        expects the columns of a history, which `HistoryState.update` adds.

        Returns
        -------
        RowDecider
            Takes a row as a mapping and returns its score, whether that reaches the threshold, and its band.
        """
        return RowDecider(self.detector, self.threshold, self.block)

    def card(self) -> str:
        """Return the model card.

        Returns
        -------
        str
            What a reader must know about the model, as Markdown.
        """
        columns = self.detector.schema_.columns
        used = [
            f"| {_escape(column.name)} | {column.kind} | {column.reason} |" for column in columns if column.is_feature
        ]
        unused = [
            f"- {_escape(column.name)}: {column.kind}, {column.reason}" for column in columns if not column.is_feature
        ]
        lines = [
            "# oddrow model card",
            "",
            *(f"- {name}: {text}" for name, text in facts(self)),
            "",
            LIMITS,
            "",
            "## Columns used",
            "",
            "| column | kind | reason |",
            "|---|---|---|",
            *used,
            *(["", "## Columns not used", "", *unused] if unused else []),
        ]
        return "\n".join(lines) + "\n"


def facts(model: Artifact) -> list[tuple[str, str]]:
    """Return what a reader must know about a model, as names and texts."""
    origin, detector = model.origin, model.detector
    return [
        ("Detector", f"{type(detector).__name__}, {_changed_parameters(detector)}"),
        ("Trained on", _training_rows(model)),
        *([("Held out", f"{counted(origin.n_validation, 'row')} to set the threshold")] if origin else []),
        *([("Fitting", "; ".join(notes))] if (notes := detector._training_notes) else []),
        ("Epochs", f"{detector.n_epochs_:,}"),
        ("Threshold", f"alert {describe_threshold(model.threshold)}"),
        *([("Block", describe_threshold(model.block))] if model.block else []),
        *(("Earlier threshold", f"{cut.value:.6g} ({cut.chosen_by})") for cut in model.earlier),
        *([(FINGERPRINT, origin.fingerprint.sha256)] if origin else []),
        *([(COMMAND, f"`{origin.command}`")] if origin and origin.command else []),
    ]


def describe_threshold(cut: Threshold) -> str:
    """Return the threshold, its rule and its guarantee in words."""
    return f"at a score of {cut.value:.6g} or more ({cut.chosen_by}). {cut.guarantee_in_words}"


def _training_rows(model: Artifact) -> str:
    origin, n_known = model.origin, model.detector.n_known_anomalies_
    rows = f"{counted(origin.n_rows - n_known, 'row')} of {origin.named}" if origin else "rows in memory"
    if origin and model.roles.time and (origin.start or origin.until):
        rows += f" with {describe_span(model.roles.time, origin.start, origin.until)}"
    used = "learned as anomalies" if model.detector._learns_from_known else "excluded"
    return f"{rows}; {counted(n_known, 'known anomaly', 'known anomalies')} {'was' if n_known == 1 else 'were'} {used}"


def _changed_parameters(estimator: Any) -> str:
    parameters, defaults = estimator.get_params(deep=False), type(estimator)().get_params(deep=False)
    changed = {name: value for name, value in parameters.items() if repr(value) != repr(defaults[name])}
    return ", ".join(f"{name}={' '.join(repr(value).split())}" for name, value in changed.items()) or "all defaults"


def _escape(name: str) -> str:
    """Return a name in which Markdown sees no markup."""
    return re.sub(r"([|<>\\])", r"\\\1", name)
