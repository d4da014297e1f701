"""Thresholds: from which score on a row deserves an alert, by which rule, chosen on which rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import EvaluationError, ParameterError, check_choice, check_number

Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]

SKETCH_SIZE = 1024
SOURCES = ("validation", "train")


@dataclass(frozen=True)
class Fingerprint:
    """Which rows something came from: how many, SHA-256 over their sorted hashes, the 1,024 smallest ones.

    >>> rows = np.arange(5, dtype=np.uint64)
    >>> Fingerprint.of(rows).overlap(rows[:3])
    1.0
    """

    n_rows: int
    sha256: str
    sketch: tuple[int, ...]

    @classmethod
    def of(cls, hashes: Hashes) -> Fingerprint:
        """The fingerprint of rows with these hashes, (n,) uint64."""
        ordered = np.sort(hashes)
        smallest = np.unique(ordered[: 4 * SKETCH_SIZE])
        if len(smallest) < SKETCH_SIZE:
            smallest = np.unique(ordered)
        return cls(len(hashes), hashlib.sha256(ordered.tobytes()).hexdigest(), tuple(smallest[:SKETCH_SIZE].tolist()))

    def is_of(self, hashes: Hashes) -> bool:
        """Whether these are the same rows, in whatever order."""
        return self.n_rows == len(hashes) and self.sha256 == hashlib.sha256(np.sort(hashes).tobytes()).hexdigest()

    def overlap(self, hashes: Hashes) -> float:
        """The share of the given rows that are among the fingerprinted ones; an estimate above 1,024 rows.

        Hashes are uniform, so the smallest of them are a fair sample of the rows (bottom-k sketch, Cohen 1997).
        """
        if not self.sketch or not len(hashes):
            return 0.0
        is_whole = len(self.sketch) < SKETCH_SIZE
        comparable = hashes if is_whole else hashes[hashes <= np.uint64(self.sketch[-1])]
        return float(np.isin(comparable, np.array(self.sketch, dtype=np.uint64)).mean()) if len(comparable) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Fingerprint:
        """The fingerprint written by `to_dict`."""
        return cls(values["n_rows"], values["sha256"], tuple(values["sketch"]))


@dataclass(frozen=True)
class Threshold:
    """A cut: rows with score >= value are alerts. Knows its rule, and the rows it was chosen on.

    >>> Threshold(2.0, "fixed:2").alerts(np.array([1.0, 2.0]))
    array([False,  True])
    """

    value: float
    rule: str
    source: str = "given"
    fingerprint: Fingerprint | None = None

    def alerts(self, scores: Floats) -> npt.NDArray[np.bool_]:
        """Mask (n,): True where the score reaches the threshold."""
        return scores >= self.value

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Threshold:
        """The threshold written by `to_dict`."""
        fingerprint = values["fingerprint"]
        of = None if fingerprint is None else Fingerprint.from_dict(fingerprint)
        return cls(values["value"], values["rule"], values["source"], of)


@dataclass(frozen=True)
class Rule:
    """How to choose a threshold: a name, its number, and whose scores: validation (where there are any) or train."""

    name: str
    number: float
    source: str = "validation"

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read `name:number` with `@train` or `@validation` behind it, where wanted.

        >>> Rule.parse("quantile:0.99@train")
        Rule(name='quantile', number=0.99, source='train')
        """
        rule, at, source = text.partition("@")
        name, colon, number = rule.partition(":")
        check_choice("threshold rule", name, RULES)
        if at:
            check_choice(f"the rows of threshold rule {text!r}", source, SOURCES)
        try:
            value = float(number) if colon else RULES[name].usual
        except ValueError as error:
            raise ParameterError(f"threshold rule {text!r}: {number!r} is not a number.") from error
        check_number(f"threshold rule {name}", value, RULES[name].low, RULES[name].high)
        return cls(name, value, source if at else "validation")

    def __str__(self) -> str:
        # As many digits as it takes to read the same number back.
        return f"{self.name}:{float(self.number)!r}".removesuffix(".0")

    def choose(self, scores: Floats, weight: Floats | None = None) -> float:
        """The value of the threshold for scores (n,), with weights (n,) where rows count unequally."""
        if self.name != "fixed" and (len(scores) == 0 or not np.isfinite(scores).all()):
            raise EvaluationError(f"threshold rule {self}: {len(scores)} scores, all of which must be finite.")
        weight = np.ones(len(scores)) if weight is None else weight
        if self.name != "fixed" and not weight.sum() > 0:
            raise EvaluationError(f"threshold rule {self}: the weights of the {len(scores)} rows add up to 0.")
        return float(RULES[self.name].choose(self.number, scores, weight))


def _fixed(number: float, scores: Floats, weight: Floats) -> float:
    return number


def _quantile(share: float, scores: Floats, weight: Floats) -> float:
    """The smallest score that at least this share of the rows does not exceed."""
    return float(np.quantile(scores, share, weights=weight, method="inverted_cdf"))


def _mean_std(k: float, scores: Floats, weight: Floats) -> float:
    mean = np.average(scores, weights=weight)
    return float(mean + k * np.sqrt(np.average((scores - mean) ** 2, weights=weight)))


def _contamination(share: float, scores: Floats, weight: Floats) -> float:
    """The lowest cut that flags at most this share of the rows, but at least one row."""
    highest_first = np.argsort(-scores, kind="stable")
    ordered, flagged = scores[highest_first], np.cumsum(weight[highest_first])
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    within = ends[flagged[ends] <= share * flagged[-1] * (1 + 1e-12)]
    return float(ordered[within[-1]] if len(within) else ordered[0])


@dataclass(frozen=True)
class _Kind:
    choose: Callable[[float, Floats, Floats], float]
    usual: float
    low: float
    high: float


RULES = {
    "fixed": _Kind(_fixed, 1.0, -np.inf, np.inf),
    "quantile": _Kind(_quantile, 0.99, 0, 1),
    "mean-std": _Kind(_mean_std, 3.0, -np.inf, np.inf),
    "contamination": _Kind(_contamination, 0.01, 0, 1),
}
