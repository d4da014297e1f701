"""`Choice`: what a rule found."""

from __future__ import annotations

from typing import NamedTuple

from oddrow.thresholds.threshold import Cap


class Choice(NamedTuple):
    """A cut, what it promises in words, and what it takes to keep the promise."""

    value: float
    promise: str
    cap: Cap | None = None
    discoveries: float | None = None
    calibration: tuple[float, ...] = ()
