"""Who is measured: the detectors with their defaults, and the default one without each of its parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

import oddrow.detectors.oddrow as parts_of_oddrow
from oddrow import AutoencoderDetector, OddRowDetector, Table, TableEncoder, Training
from oddrow.detectors.block_scoring import score_in_blocks
from oddrow.nets.oddrow import LEAD, OddRow

Floats = npt.NDArray[np.float64]
OURS = "OddRowDetector"
MODES = {"A": "novelty", "B": "outlier"}


@dataclass(frozen=True)
class Scored:
    """The scores of the rows, and the seconds of fitting and scoring; NaN where these are another's."""

    name: str
    scores: Floats
    fit_s: float
    score_s: float


def contestants(setting: str, seed: int, train: Floats, test: Floats) -> Iterator[Scored]:
    """Everybody fitted to some rows, one after the other, and what each makes of others."""
    detector, found = _measured(OURS, lambda: OddRowDetector(mode=MODES[setting], random_state=seed), train, test)
    yield found
    if setting == "A":
        yield from _parts(detector, test)
    for name, (new, changed) in _others(setting, seed).items():
        with changed:
            found = _measured(name, new, train, test)[1]
        yield found


def _measured(name: str, new: Callable[[], Any], train: Floats, test: Floats) -> tuple[Any, Scored]:
    laps = [time.perf_counter()]
    detector = new().fit(train)
    laps.append(time.perf_counter())
    scores = detector.anomaly_score(test)
    laps.append(time.perf_counter())
    return detector, Scored(name, scores, laps[1] - laps[0], laps[2] - laps[1])


def _parts(detector: OddRowDetector, test: Floats) -> Iterator[Scored]:
    """What the parts of a score find alone and without each other."""
    conformed = detector.schema_.conform(Table.from_array(test).in_memory)
    found = score_in_blocks(OddRow.parts, detector.network_, tuple(detector.encoder_.transform(conformed)))
    surprises = [
        np.asarray(tail(jnp.asarray(part))) for tail, part in zip(detector.network_.tails, found.T, strict=True)
    ]
    rows, codes, error = (part.astype(np.float64) for part in surprises)
    nan = float("nan")
    yield Scored("kept rows alone", rows, nan, nan)
    yield Scored("codes alone", codes, nan, nan)
    yield Scored("error alone", error, nan, nan)
    yield Scored("without the codes", np.maximum(rows, error - LEAD), nan, nan)
    yield Scored("without the kept rows", np.maximum(codes, error - LEAD), nan, nan)
    yield Scored("without the error", rows + codes, nan, nan)


def _others(setting: str, seed: int) -> Mapping[str, tuple[Callable[[], Any], AbstractContextManager[Any]]]:
    """By name, how to make a detector, and what of the module is another while it is fitted."""
    as_is, mode = nullcontext(), MODES[setting]
    untrained = Training(epochs=0)
    both = {
        "no row held (reference_rows=0)": (
            lambda: OddRowDetector(mode=mode, n_reference_rows=0, random_state=seed),
            as_is,
        ),
        "AutoencoderDetector": (lambda: AutoencoderDetector(random_state=seed), as_is),
    }
    if setting == "A":
        twin = {"untrained copy": (lambda: OddRowDetector(mode=mode, training=untrained, random_state=seed), as_is)}
        return {**twin, **both}
    new: Callable[..., Any] = lambda **given: OddRowDetector(mode=mode, random_state=seed, **given)  # noqa: E731
    return {
        "all rows trusted": (new, patch.object(parts_of_oddrow, "UNTRUSTED_SHARE", 0.0)),
        "the nearest alone": (new, patch.dict(parts_of_oddrow.N_NEIGHBOURS, outlier=1)),
        "numbers not pressed together": (lambda: new(encoder=TableEncoder(soft_limit=None)), as_is),
        "novelty mode": (lambda: OddRowDetector(mode="novelty", random_state=seed), as_is),
        **both,
    }
