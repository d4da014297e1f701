"""Who is measured in a recipe: the detector, its untrained twin, the plain autoencoder, the trivial baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.detectors.base import Detector
from oddrow.detectors.dagmm import DAGMMDetector
from oddrow.detectors.together import fit_together
from oddrow.evaluate.baselines import Baseline, Forest, Mahalanobis, OneClass
from oddrow.nets.parameters import named_activations
from oddrow.settings import Settings
from oddrow.table.numbers import Numbers
from oddrow.table.table import Table

BASELINES: dict[str, Callable[[int], Baseline]] = {
    "mahalanobis": lambda seed: Mahalanobis(),
    "isolation-forest": Forest,
    "one-class-svm": OneClass,
}


def fit_contestant(
    name: str, settings: Settings, tables: Iterable[Table], held_out: Iterable[Table], seeds: Sequence[int]
) -> list[Any]:
    """Fit a contestant to the tables of several runs; each fitted one has `anomaly_score`."""
    if name in BASELINES:
        return [OnNumbers(BASELINES[name](seed), settings, table) for table, seed in zip(tables, seeds, strict=True)]
    detectors = [_detector(name, settings, seed) for seed in seeds]
    return fit_together(detectors, tables, validation=held_out)


def _detector(name: str, settings: Settings, seed: int) -> Detector:
    detector = settings.new_detector().set_params(random_state=seed)
    if name == "defaults":
        return AutoencoderDetector(random_state=seed)
    if name == f"{settings.detector}-untrained":
        return detector.set_params(training__epochs=0)  # type: ignore[no-any-return]
    if name == "autoencoder" and isinstance(detector, DAGMMDetector):
        return _plain_autoencoder(detector)
    return detector  # type: ignore[no-any-return]


def _plain_autoencoder(detector: DAGMMDetector) -> Detector:
    """The compression network alone, trained alike and scored by its reconstruction error."""
    down = [int(width) for width in detector.hidden or ()]
    names = named_activations(detector.activations, len(down))
    return AutoencoderDetector(
        hidden=[*down, detector.latent, *reversed(down)],
        activations=[*names, "linear", *reversed(names)],
        noise=0.0,
        scoring="mse",
        training=detector.training,
        encoder=detector.encoder,
        random_state=detector.random_state,
    )


class OnNumbers:
    """A baseline on the numbers that the recipe's own encoder gives."""

    def __init__(self, model: Baseline, settings: Settings, table: Table) -> None:
        numbers = Numbers(table, settings.new_detector().encoder)
        self.anomaly_score = numbers.scorer(model.fit(numbers(table)))
