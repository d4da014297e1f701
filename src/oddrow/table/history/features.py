"""Features of an entity's history, as they are declared: one block of them, and its columns."""

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
from oddrow.table.times import SECONDS, duration

# Features of the event's own time; of the events in a window; of their amounts.
CALENDAR: Final = ("weekend", "night")

COUNTED: Final = ("count", "risk")

TOTALLED: Final = ("sum", "mean")

SINCE_LAST: Final = "since last"

# The name of the labels among the numbers that windows add up; a column cannot be declared without a name.
LABEL: Final = ""

_CHOICES = "weekend, night, count, sum COLUMN, mean COLUMN, risk, since last"

_DESCRIPTIONS: Final = {
    "weekend": "weekend",
    "night": "night",
    "count": "rows",
    "sum": "sum of {}",
    "mean": "mean {}",
    "risk": "share of known frauds",
    SINCE_LAST: "time since the last row",
}


class Feature(NamedTuple):
    """A kind of feature, and the column of the amounts that it totals, if any."""

    kind: str
    column: str = ""

    @classmethod
    def parse(cls, text: str) -> Feature:
        """Read a declared feature; raise `ParameterError` for an unknown one.

        >>> Feature.parse("mean amount")
        Feature(kind='mean', column='amount')
        """
        alone = (*CALENDAR, *COUNTED, SINCE_LAST)
        if text in alone:
            return cls(text)
        kind, _, column = text.partition(" ")
        if kind in TOTALLED and column.strip():
            return cls(kind, column.strip())
        if kind in TOTALLED:
            raise ParameterError(f"'{kind}' needs a column. Write '{kind} COLUMN', such as '{kind} amount'.")
        alike = (*alone, *(f"{known} {column}".strip() for known in TOTALLED))
        raise ParameterError(f"feature {text!r} is unknown.{did_you_mean(text, alike) or f' Choose from {_CHOICES}.'}")

    @property
    def is_windowed(self) -> bool:
        """Whether it is computed in windows."""
        return self.kind in COUNTED + TOTALLED

    @property
    def type(self) -> type[np.generic]:
        """The type of its values."""
        return np.int32 if self.kind == "count" else np.int8 if self.kind in CALENDAR else np.float64


@dataclass(frozen=True)
class FeatureBlock:
    """Features of the history of one entity column, in the same windows.

    Time spans are text: a number and s, m, h or d, such as "7d", for dates and times; a number in its unit, such as
    "3600", for a numeric time.

    Parameters
    ----------
    features : tuple of str
        Features as in the table of `History`, such as "count" and "mean amount".
    by : str or None, default=None
        Column that names the entity, such as a card or a customer. None allows only `weekend` and `night`.
    windows : tuple of str, default=()
        Lengths of the windows.
    delay : str or None, default=None
        Time between the end of every window and the row.

    Examples
    --------
    >>> FeatureBlock(("count", "mean amount"), by="card", windows=("1d",)).names
    ['card_count_1d', 'card_mean_amount_1d']
    """

    features: tuple[str, ...] = ()
    by: str | None = None
    windows: tuple[str, ...] = ()
    delay: str | None = None

    @classmethod
    def of(cls, block: Mapping[str, Any]) -> FeatureBlock:
        """Build a block from plain values.

        Parameters
        ----------
        block : mapping
            Values by parameter name, as TOML and JSON hold them. Spans may be numbers.

        Returns
        -------
        FeatureBlock
            The block, not yet checked as `problems` does.

        Raises
        ------
        ParameterError
            For an unknown key or a value of another type.
        """
        if isinstance(block, Mapping):
            spans = {name: _spans_as_text(block[name]) for name in ("windows", "delay") if name in block}
            block = {**block, **spans}
        return build(cls, block)

    @cached_property
    def windowed(self) -> list[Feature]:
        """Features that are computed in windows."""
        return [feature for feature in map(Feature.parse, self.features) if feature.is_windowed]

    @cached_property
    def _columns(self) -> list[tuple[Feature, str]]:
        """Feature and window of each column that the block adds: window by window, then the features without one."""
        in_windows = [(feature, window) for window in self.windows for feature in self.windowed]
        alone = [feature for feature in map(Feature.parse, self.features) if not feature.is_windowed]
        return [*in_windows, *((feature, "") for feature in alone)]

    @cached_property
    def names(self) -> list[str]:
        """Columns that the block adds, in order."""
        ago = f"{self.delay}_ago" if self.delay else ""
        parts = (
            (self.by or "is", kind.replace(" ", "_"), column, window, ago if window else "")
            for (kind, column), window in self._columns
        )
        return ["_".join(filter(None, part)) for part in parts]

    @property
    def descriptions(self) -> list[str]:
        """Descriptions of these columns, such as "rows of the card in 7 days"."""
        whose = f" of the {self.by}" if self.by else ""
        ago = f", {_describe_span(self.delay)} ago" if self.delay else ""
        return [
            _DESCRIPTIONS[kind].format(column) + whose + (f" in {_describe_span(window)}{ago}" if window else "")
            for (kind, column), window in self._columns
        ]

    @property
    def types(self) -> list[type[np.generic]]:
        """NumPy types of these columns."""
        return [feature.type for feature, _ in self._columns]

    @cached_property
    def amounts(self) -> list[str]:
        """Columns whose values are totalled, each once."""
        return list(dict.fromkeys(feature.column for feature in self.windowed if feature.column))

    @cached_property
    def numbers(self) -> list[str]:
        """What windows add up: the amounts, and the labels for risk."""
        return [*self.amounts, *([LABEL] if "risk" in self.features else [])]

    @property
    def spans(self) -> list[str]:
        """Windows and delay."""
        return [*self.windows, *([self.delay] if self.delay else [])]

    @property
    def reach(self) -> float:
        """Delay plus longest window, in seconds or units of a numeric time; 0 without either."""
        return max(map(span_length, self.windows), default=0.0) + (span_length(self.delay) if self.delay else 0.0)

    def problems(self) -> Iterator[str]:
        """Find what does not fit together.

        Yields
        ------
        str
            One sentence for each problem.
        """
        if not self.features:
            yield f"it has no features. Choose from {_CHOICES}."
        for text in self.features:
            yield from self._feature_problems(text)
        windowed = [text for text in self.features if text.split(" ")[0] in COUNTED + TOTALLED]
        if windowed and not self.windows:
            yield f'\'{windowed[0]}\' needs windows, such as windows = ["1d", "7d"].'
        if self.features and not windowed and self.windows:
            yield f"windows have no effect on {', '.join(self.features)}. Remove them."
        if self.delay is not None and self.by is None:
            yield "a delay has no effect without by. Remove it."
        yield from (_SPAN_PROBLEM.format(span) for span in self.spans if not _is_span(span))

    def _feature_problems(self, text: str) -> Iterator[str]:
        try:
            kind = Feature.parse(text).kind
        except ParameterError as error:
            yield str(error)
            return
        if kind in CALENDAR and self.by is not None:
            yield f"'{text}' describes the row's own time, not the {self.by}. Move it to a block without by."
        elif kind not in CALENDAR and self.by is None:
            yield f"'{text}' needs an entity. Name its column, such as by = \"customer_id\"."
        elif kind == "risk" and self.delay is None:
            yield "'risk' needs a delay, the time until a label is known, such as delay = \"7d\"."
        elif kind == SINCE_LAST and self.delay is not None:
            yield f"'{SINCE_LAST}' cannot have a delay. Move it to a block without one."


def is_numeric_span(span: str) -> bool:
    """Return whether a span is a number in the unit of a numeric time."""
    return span[-1:] not in SECONDS


def span_length(span: str) -> float:
    """Return the length of a span in seconds, or in the unit of a numeric time.

    >>> span_length("7d"), span_length("3600")
    (604800.0, 3600.0)
    """
    return duration(span, _NUMERIC_TIMES if is_numeric_span(span) else _DATES_AND_TIMES)


_NUMERIC_TIMES, _DATES_AND_TIMES = pl.Series([0]), pl.Series([datetime(1970, 1, 1)])

# The resolution of times, and a limit that leaves room in 64 bits for the sum of three spans.
_SHORTEST, _LONGEST = 1e-6, 1e12

_SPAN_PROBLEM = (
    "{!r} is not a time span above 0. Write a number and s, m, h or d, such as 7d; "
    "for a numeric time, a number in its unit, such as 3600."
)


def _is_span(span: str) -> bool:
    try:
        return _SHORTEST <= span_length(span) <= _LONGEST and span == span.strip()
    except ParameterError:
        return False


def _describe_span(span: str) -> str:
    """Return a span in words.

    >>> _describe_span("7d"), _describe_span("1h"), _describe_span("3600")
    ('7 days', '1 hour', '3600')
    """
    if is_numeric_span(span):
        return span
    number, unit = span[:-1], {"s": "second", "m": "minute", "h": "hour", "d": "day"}[span[-1]]
    return f"{number} {unit}" + ("" if number == "1" else "s")


def _spans_as_text(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_spans_as_text(item) for item in value]
    return f"{value:.15g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else value
