"""The errors that oddrow raises, and checks and phrases that all modules share.

    OddrowError
    ├── TableError      (ValueError)    rows or columns are not as expected
    ├── ParameterError  (ValueError)    a parameter, rule or setting has no meaning
    ├── TrainingError   (RuntimeError)  training stopped
    │   └── NotFiniteError              the loss became infinite or NaN
    ├── ArtifactError   (ValueError)    a saved model cannot be read, trusted or written
    └── EvaluationError (ValueError)    an evaluation would mislead, or there is nothing to measure

A message says what is wrong, with the value and where it stands, what was expected and what to do.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any


class OddrowError(Exception):
    """Base class of all errors of oddrow. The command line prints them without a traceback."""


class TableError(OddrowError, ValueError):
    """Rows or columns of a table are not as expected."""


class ParameterError(OddrowError, ValueError):
    """A parameter, a rule or a setting has a value without meaning."""


class TrainingError(OddrowError, RuntimeError):
    """Training cannot go on."""


class NotFiniteError(TrainingError):
    """The loss became infinite or NaN."""


class ArtifactError(OddrowError, ValueError):
    """A saved model cannot be read, trusted or written."""


class EvaluationError(OddrowError, ValueError):
    """An evaluation would mislead, or there is nothing to measure."""


def did_you_mean(name: str, options: Iterable[str], *, likeness: float = 0.6) -> str:
    """Return `" Did you mean 'amount'?"` if one of the options is similar to the name, else an empty string."""
    folded = {str(option).casefold(): str(option) for option in options}
    alike = {option: difflib.SequenceMatcher(None, option, name.casefold()).ratio() for option in folded}
    # Of options equally close, take the first: difflib.get_close_matches would take the last in the alphabet.
    closest = max(alike, key=lambda option: alike[option], default="")
    return f" Did you mean '{folded[closest]}'?" if alike.get(closest, 0) >= likeness else ""


def offenders(rows: Sequence[int], values: Sequence[object]) -> str:
    """Name the first three rows and their values: `row 17 'N/A', row 402 '-', row 9001 '?'`."""
    shown = [f"row {row} {value!r}" for row, value in zip(rows[:3], values[:3], strict=True)]
    return ", ".join(shown)


def first_names(names: Sequence[str]) -> str:
    """Quote the first three names and count the others: `'a', 'b', 'c' and 4 more`."""
    shown = ", ".join(f"'{name}'" for name in names[:3])
    return shown + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 epoch`, `1,200 epochs`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def raise_all(problems: Sequence[str], error: type[OddrowError] = TableError) -> None:
    """Raise one error with all problems, one a line; do nothing if there are none."""
    if problems:
        raise error("\n".join(problems))


def check_choice(name: str, value: Any, options: Iterable[str]) -> None:
    """Raise `ParameterError` if a value is not one of the options."""
    options = list(options)
    if value not in options:
        hint = did_you_mean(str(value), options)
        raise ParameterError(f"{name}={value!r} is not one of {', '.join(options)}.{hint}")


def check_number(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    whole: bool = False,
    above: bool = False,
) -> None:
    """Raise `ParameterError` if a value is not a finite number in [low, high], or in (low, high] with `above`."""
    is_number = hasattr(value, "__index__" if whole else "__float__") and not isinstance(value, (bool, str))
    inside = is_number and low <= value <= high and abs(value) < math.inf and not (above and value == low)
    if not inside:
        kind = "a whole number" if whole else "a finite number"
        bounds = f"above {low:,.10g}" if above else f"of at least {low:,.10g}" if low > -math.inf else ""
        bounds += (" and at most" if bounds else "of at most") + f" {high:,.10g}" if high < math.inf else ""
        raise ParameterError(f"{name}={value!r} is not {kind} {bounds}.".replace("  ", " ").replace(" .", "."))
