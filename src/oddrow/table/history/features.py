"""What is to be told of a row's past: one block of features, as declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from oddrow.errors import ParameterError, did_you_mean
from oddrow.structure import build
from oddrow.table.split import SECONDS, duration

CALENDAR: Final = ("weekend", "night")

COUNTED: Final = ("count", "risk")

TOTALLED: Final = ("sum", "mean")

SINCE_LAST: Final = "since last"

LABEL: Final = ""

"""The name of the labels among the numbers: no column that is totalled has it."""

SPOKEN: Final = {
    "weekend": "weekend",
    "night": "night",
    "count": "rows",
    "sum": "sum of {}",
    "mean": "mean {}",
    "risk": "share of known frauds",
    SINCE_LAST: "time since the last row",
}

UNITS: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day"}

_KNOWN = "weekend, night, count, sum COLUMN, mean COLUMN, risk, since last"

# A microsecond, the finest that is told apart, and what the sum of three such spans leaves room for in 64 bits.
_SHORTEST, _LONGEST = 1e-6, 1e12

_NUMBERS = pl.Series([0])

_TIMES = pl.Series([datetime(1970, 1, 1)])


class Feature(NamedTuple):
    """A feature's kind, and the column it totals, if it does."""

    kind: str
    column: str = ""

    @classmethod
    def parse(cls, text: str) -> Feature:
        """Read `count`, `mean amount`, …; raises `ParameterError` (did you mean).

        >>> Feature.parse("mean amount")
        Feature(kind='mean', column='amount')
        """
        if text in (*CALENDAR, *COUNTED, SINCE_LAST):
            return cls(text)
        kind, _, column = text.partition(" ")
        if kind in TOTALLED and column.strip():
            return cls(kind, column.strip())
        if kind in TOTALLED:
            raise ParameterError(f"'{kind}' of which column? Write '{kind} COLUMN', such as '{kind} amount'.")
        alike = (*CALENDAR, *COUNTED, SINCE_LAST, *(f"{known} {column}".strip() for known in TOTALLED))
        raise ParameterError(f"feature {text!r} is unknown.{did_you_mean(text, alike) or f' Known: {_KNOWN}.'}")

    @property
    def is_windowed(self) -> bool:
        """Whether it looks at the rows of a window."""
        return self.kind in COUNTED + TOTALLED


@dataclass(frozen=True)
class FeatureBlock:
    """One block: which features, of the rows that share the row's value of `by`, in which windows, how long ago.

    `by=None` stands for the row's own time and allows `weekend` and `night` only. `delay` ends every window that long
    before the row. Spans are texts: `7d` (s, m, h, d) for dates and times, plain numbers for a time that is a number.
    """

    features: tuple[str, ...] = ()
    by: str | None = None
    windows: tuple[str, ...] = ()
    delay: str | None = None

    @classmethod
    def of(cls, block: Mapping[str, Any]) -> FeatureBlock:
        """Return a block from plain values; raise `ParameterError` for unknown keys and values of another type."""
        if isinstance(block, Mapping):
            spans = {name: _as_text(block[name]) for name in ("windows", "delay") if name in block}
            block = {**block, **spans}
        return build(cls, block)

    @cached_property
    def windowed(self) -> list[Feature]:
        """The features that look at a window."""
        return [feature for feature in map(Feature.parse, self.features) if feature.is_windowed]

    @cached_property
    def names(self) -> list[str]:
        """The columns the block adds, in order: window by window, then what has none."""
        ago = f"_{self.delay}_ago" if self.delay else ""
        looking = ["_".join(filter(None, feature)) for feature in self.windowed]
        alone = [text.replace(" ", "_") for text in self.features if not Feature.parse(text).is_windowed]
        prefix = f"{self.by}_" if self.by else "is_"
        return [prefix + name for name in (*(f"{n}_{w}{ago}" for w in self.windows for n in looking), *alone)]

    @property
    def descriptions(self) -> list[str]:
        """These columns in words, in the same order."""
        ago = f", {spoken(self.delay)} ago" if self.delay else ""
        looking = [SPOKEN[feature.kind].format(feature.column) for feature in self.windowed]
        parsed = [Feature.parse(text).kind for text in self.features]
        alone = [SPOKEN[kind] for kind in parsed if kind not in COUNTED + TOTALLED]
        whose = f" of the {self.by}" if self.by else ""
        windows = [f"{said}{whose} in {spoken(window)}{ago}" for window in self.windows for said in looking]
        return [*windows, *(f"{said}{whose}" for said in alone)]

    @property
    def types(self) -> list[type[np.generic]]:
        """The type of each of these columns."""
        alone = [Feature.parse(text).kind for text in self.features if not Feature.parse(text).is_windowed]
        kinds = [feature.kind for _ in self.windows for feature in self.windowed] + alone
        return [np.int32 if kind == "count" else np.int8 if kind in CALENDAR else np.float64 for kind in kinds]

    @property
    def amounts(self) -> list[str]:
        """The columns that are totalled."""
        return [feature.column for feature in self.windowed if feature.column]

    @cached_property
    def numbers(self) -> list[str]:
        """What its windows add up: the totalled columns, and the labels for risk."""
        return [*self.amounts, *([LABEL] if "risk" in self.features else [])]

    @property
    def reach(self) -> float:
        """Delay and longest window as `clock` counts; 0 without windows."""
        return max(map(length, self.windows), default=0.0) + (length(self.delay) if self.delay else 0.0)

    @property
    def spans(self) -> list[str]:
        """Its windows, and its delay if it has one."""
        return [*self.windows, *([self.delay] if self.delay else [])]

    def problems(self) -> Iterator[str]:
        """What does not go together, and what means nothing."""
        if not self.features:
            yield f"it has no features. Known: {_KNOWN}."
        for text in self.features:
            yield from self._feature_problems(text)
        yield from self._window_problems()
        yield from filter(None, map(_span_problem, self.spans))

    def _feature_problems(self, text: str) -> Iterator[str]:
        try:
            kind = Feature.parse(text).kind
        except ParameterError as error:
            yield str(error)
            return
        if kind in CALENDAR and self.by is not None:
            yield f"'{text}' is of the row's own time, not by {self.by}. Give it a block without by."
        elif kind not in CALENDAR and self.by is None:
            yield f"'{text}' of whose rows? Name the column that tells: by = \"customer_id\"."
        elif kind == "risk" and self.delay is None:
            yield "'risk' needs a delay: how long until a label is known, such as delay = \"7d\"."
        elif kind == SINCE_LAST and self.delay is not None:
            yield f"'{SINCE_LAST}' has no delay. Give it a block without one."

    def _window_problems(self) -> Iterator[str]:
        looking = [text for text in self.features if text.split(" ")[0] in COUNTED + TOTALLED]
        if looking and not self.windows:
            yield f'\'{looking[0]}\' needs windows, such as windows = ["1d", "7d"].'
        if self.features and not looking and self.windows:
            yield f"windows mean nothing to {', '.join(self.features)}. Leave them out."
        if self.delay is not None and self.by is None:
            yield "a delay means nothing without by. Leave it out."


def is_plain(span: str) -> bool:
    """Whether a span is a number in the unit of a time that is a number, rather than one of s, m, h, d."""
    return span[-1:] not in SECONDS


def spoken(span: str) -> str:
    """A span in words.

    >>> spoken("7d"), spoken("1h"), spoken("3600")
    ('7 days', '1 hour', '3600')
    """
    if is_plain(span):
        return span
    number, unit = span[:-1], UNITS[span[-1]]
    return f"{number} {unit}" + ("" if number == "1" else "s")


def length(span: str) -> float:
    """A span as `clock` counts: seconds, or the unit of a time that is a number.

    >>> length("7d"), length("3600")
    (604800.0, 3600.0)
    """
    return duration(span, _NUMBERS if is_plain(span) else _TIMES)


def _span_problem(span: str) -> str:
    try:
        fits = _SHORTEST <= length(span) <= _LONGEST and span == span.strip()
    except ParameterError:
        fits = False
    if fits:
        return ""
    return (
        f"{span!r} is no span of time above 0. Expected a number with s, m, h or d behind it, such as 7d; "
        "for a time that is a number, a plain number in its unit, such as 3600."
    )


def _as_text(value: Any) -> Any:
    """Spans as text; a time that is a number has spans that are numbers."""
    if isinstance(value, (list, tuple)):
        return [_as_text(item) for item in value]
    return f"{value:.15g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else value
