"""`fit_many`: fit detectors side by side; those whose networks have the same form train together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import jax
import numpy as np

from oddrow.detectors.fitted_state import named_leaves
from oddrow.detectors.training_set import TrainingSet
from oddrow.errors import NotFiniteError, ParameterError
from oddrow.train.compilation import forget_compiled_code
from oddrow.train.epochs import Trained
from oddrow.train.loop import train_together
from oddrow.train.shards import Shards
from oddrow.train.training import Training
from oddrow.typing import Mask


class Fittable(Protocol):
    """What `fit_many` asks of a detector; `DetectorHooks` says what each hook is for."""

    @property
    def _used_training(self) -> Training: ...

    @property
    def _trim_share(self) -> float: ...

    def _prepare(self, X: Any, y: Any, validation: Any) -> TrainingSet: ...

    def _new_network(self, seed: int) -> Any: ...

    def _in_training(self, network: Any, rows: TrainingSet) -> Any: ...

    def _after_training(self, network: Any) -> Any: ...

    def _rows_to_keep(self, network: Any, fitting: Any) -> Mask: ...

    def _signature(self, rows: TrainingSet) -> str: ...

    def _diverged(self, error: NotFiniteError) -> NotFiniteError: ...

    def _complete(self, network: Any, loss_curve: list[dict[str, float]], rows: TrainingSet) -> None: ...


AnyDetector = TypeVar("AnyDetector", bound=Fittable)


def fit_many(
    detectors: Sequence[AnyDetector],
    tables: Iterable[Any],
    labels: Iterable[Any] | None = None,
    validation: Iterable[Any] | None = None,
) -> list[AnyDetector]:
    """Fit several detectors side by side, each to its own table.

    Detectors train together, each exactly as it would alone, if their networks have the same form, their `training` is
    the same and their epochs have equally many steps. Twenty random seeds then cost little more than one.

    Parameters
    ----------
    detectors : sequence of Detector
        The detectors to fit.
    tables : iterable of frame, table or array
        The training rows of each detector. Tables are taken one after the other and released once encoded, so an
        iterator keeps memory low.
    labels : iterable of array-like or None
        The `y` of each detector, or None for each; None for no labels at all.
    validation : iterable of frame, table or array or None
        The validation rows of each detector, or None for each to hold out a share of its training rows.

    Returns
    -------
    list of Detector
        The same detectors, fitted.

    Raises
    ------
    ParameterError
        If there are more or fewer tables, labels or validation tables than detectors, or a parameter has a value
        without meaning.
    TableError
        If a table cannot be learned from.
    TrainingError
        If training diverged.

    Examples
    --------
    >>> from oddrow import AutoencoderDetector, Training
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> seeds = [AutoencoderDetector(hidden=(4,), training=Training(epochs=1), random_state=seed) for seed in range(3)]
    >>> [detector.anomaly_score(X).shape for detector in fit_many(seeds, [X] * 3)]
    [(100,), (100,), (100,)]
    """
    everything: dict[str, Any] = {"tables": tables, "labels": labels, "validation": validation}
    for name, given in everything.items():
        if isinstance(given, Sized) and len(given) != len(detectors):
            raise ParameterError(f"{name}: {len(given)} given for {len(detectors)} detectors.")
    nothing = [None] * len(detectors)
    # The zip has no name of its own: it would hold the last table until training is over.
    prepared = [
        detector._prepare(X, y, rows_to_validate)
        for detector, X, y, rows_to_validate in zip(
            detectors, tables, labels or nothing, validation or nothing, strict=True
        )
    ]
    alike: dict[Any, list[_Run]] = {}
    for detector, rows in zip(detectors, prepared, strict=True):
        run = _Run(detector, rows, detector._in_training(detector._new_network(rows.seed), rows))
        alike.setdefault(run.form, []).append(run)
    for place, runs in enumerate(alike.values()):
        if place:
            forget_compiled_code()
        _fit(runs, folder=f"group-{place}" if len(alike) > 1 else None)
    return list(detectors)


@dataclass(frozen=True)
class _Run:
    """A detector, the rows it trains on and its network as the loop trains it."""

    detector: Fittable
    rows: TrainingSet
    network: Any

    @property
    def form(self) -> tuple[Any, ...]:
        """What runs that train together have in common."""
        training = self.detector._used_training
        return (
            # Holds what a network has besides arrays too, such as lambda_energy.
            jax.tree.structure(self.network),
            tuple((name, leaf.shape) for name, leaf in named_leaves(self.network)),
            repr(training.get_params()),
            training._steps_per_epoch(self.rows.n_trained_on),
            self.detector._trim_share,
            self.rows.known is None,
            self.rows.validation is None,
        )

    def trimmed(self, trial: Trained[Any]) -> _Run:
        """Return the run without the rows that its detector rejects after a trial training."""
        fitting = self.rows.training
        assert not isinstance(fitting, Shards)
        network = self.detector._after_training(trial.network)
        keep = self.detector._rows_to_keep(network, tuple(map(np.asarray, fitting)))
        return replace(self, rows=replace(self.rows, kept=tuple(part[keep] for part in fitting)))


def _fit(runs: Sequence[_Run], *, folder: str | None) -> None:
    """Fit runs of one form; `folder` keeps their files apart from those of other forms."""
    training = runs[0].detector._used_training._in_subfolder(folder)
    if runs[0].detector._trim_share > 0:
        trial = training._trial(max(run.rows.n_trained_on for run in runs))
        runs = [run.trimmed(trained) for run, trained in zip(runs, _train(runs, trial), strict=True)]
    for run, trained in zip(runs, _train(runs, training), strict=True):
        run.detector._complete(run.detector._after_training(trained.network), trained.loss_curve, run.rows)


def _train(runs: Sequence[_Run], training: Training) -> list[Trained[Any]]:
    validation_rows = [run.rows.validation for run in runs if run.rows.validation is not None]
    try:
        return train_together(
            [run.network for run in runs],
            [run.rows.trained_on for run in runs],
            training,
            seeds=[run.rows.seed for run in runs],
            validation=validation_rows or None,
            signature=_joint_signature(runs) if training.checkpoint is not None else "",
        )
    except NotFiniteError as error:
        raise runs[0].detector._diverged(error) from error


def _joint_signature(runs: Sequence[_Run]) -> str:
    each = [run.detector._signature(run.rows) for run in runs]
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()[:32]
