"""Fitting detectors side by side: those whose networks have one form train in one go."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence, Sized
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np

from oddrow.detectors.state import named_leaves
from oddrow.detectors.training_set import TrainingSet
from oddrow.errors import NotFiniteError, ParameterError
from oddrow.train.compilation import forget_compiled_code
from oddrow.train.epochs import Trained
from oddrow.train.loop import train_together
from oddrow.train.shards import Shards
from oddrow.train.training import Training

if TYPE_CHECKING:
    from oddrow.detectors.base import Detector


T = TypeVar("T")


def fit_many(
    detectors: Sequence[Detector],
    tables: Iterable[Any],
    labels: Iterable[Any] | None = None,
    validation: Iterable[Any] | None = None,
) -> list[Detector]:
    """Fit detectors of one kind side by side, each to its own table: twenty seeds cost little more than one.

    Those whose networks have the same form, whose `training` is the same and whose epochs have as many steps train
    together, each as it would alone. Tables are taken one after the other and let go once they are encoded. Returns
    the detectors, fitted.
    """
    for name, given in {"tables": tables, "labels": labels, "validation": validation}.items():
        _check_as_many(name, given, len(detectors))
    nothing = [None] * len(detectors)
    # No name for the zip: it would hold on to the last table until training is over.
    prepared = [
        detector._prepare(X, y, held_out)
        for detector, X, y, held_out in zip(detectors, tables, labels or nothing, validation or nothing, strict=True)
    ]
    networks = [
        detector._in_training(detector._new_network(ready.seed), ready)
        for detector, ready in zip(detectors, prepared, strict=True)
    ]
    alike: dict[Any, list[int]] = {}
    for place, each in enumerate(zip(detectors, networks, prepared, strict=True)):
        alike.setdefault(_form(*each), []).append(place)
    for group, places in enumerate(alike.values()):
        folder = f"group-{group}" if len(alike) > 1 else None
        if group:
            forget_compiled_code()
        _train(_of(places, detectors), _of(places, prepared), _of(places, networks), folder=folder)
    return list(detectors)


def _check_as_many(name: str, given: Any, n_detectors: int) -> None:
    if isinstance(given, Sized) and len(given) != n_detectors:
        raise ParameterError(f"{name}: {len(given)} were given for {n_detectors} detectors.")


def _of(places: Sequence[int], everything: Sequence[T]) -> list[T]:
    return [everything[place] for place in places]


def _form(detector: Detector, network: Any, ready: TrainingSet) -> tuple[Any, ...]:
    """What runs that train together have in common."""
    training = detector._used_training
    shapes = tuple((name, leaf.shape) for name, leaf in named_leaves(network))
    has_held_out = ready.held_out is not None
    # The form of the network holds what stands in it besides arrays, such as lambda_energy.
    return (
        jax.tree.structure(network),
        shapes,
        repr(training.get_params()),
        training.steps_for(ready.n_trained_on),
        detector._trim_share,
        ready.known is None,
        has_held_out,
    )


def _train(
    detectors: Sequence[Detector], prepared: Sequence[TrainingSet], networks: Sequence[Any], *, folder: str | None
) -> None:
    """Train runs of one form; with `folder`, their files lie in one of that name, apart from those of other forms."""
    training = detectors[0]._used_training.below(folder)
    if detectors[0]._trim_share > 0:
        longest = max(ready.n_trained_on for ready in prepared)
        trial = _trained(detectors, prepared, networks, training.trial(longest))
        prepared = [_trimmed(*each) for each in zip(detectors, trial, prepared, strict=True)]
    done = _trained(detectors, prepared, networks, training)
    for detector, of_run, ready in zip(detectors, done, prepared, strict=True):
        detector._complete(detector._after_training(of_run.network), of_run.history, ready)


def _trimmed(detector: Detector, done: Trained[Any], ready: TrainingSet) -> TrainingSet:
    """The rows without those that the detector would rather not learn from."""
    assert not isinstance(ready.fitting, Shards)
    kept = detector._kept(detector._after_training(done.network), tuple(map(np.asarray, ready.fitting)))
    return replace(ready, kept=tuple(part[kept] for part in ready.fitting))


def _trained(
    detectors: Sequence[Detector], prepared: Sequence[TrainingSet], networks: Sequence[Any], training: Training
) -> list[Trained[Any]]:
    held_out = [ready.held_out for ready in prepared if ready.held_out is not None]
    try:
        return train_together(
            networks,
            [ready.trained_on for ready in prepared],
            training,
            seeds=[ready.seed for ready in prepared],
            validation=held_out or None,
            signature=_joint_signature(detectors, prepared) if training.checkpoint is not None else "",
        )
    except NotFiniteError as error:
        raise detectors[0]._diverged(error) from error


def _joint_signature(detectors: Sequence[Detector], prepared: Sequence[TrainingSet]) -> str:
    each = [detector._signature(ready) for detector, ready in zip(detectors, prepared, strict=True)]
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()[:32]
