"""What oddrow raises, and the few checks that everything shares.

    OddrowError
    ├── TableError      (ValueError)    the rows or columns are not what was asked for
    ├── ParameterError  (ValueError)    a parameter, rule or configuration key
    ├── TrainingError   (RuntimeError)  the loss or the network went wrong
    │   └── NotFiniteError              the loss stopped being finite
    ├── ArtifactError   (ValueError)    a saved model cannot be trusted or written
    └── EvaluationError (ValueError)    the numbers would not be honest

A message says what is wrong with which value, where, what was expected and what to do.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any


class OddrowError(Exception):
    """Everything that oddrow refuses. The command line prints it without a traceback."""


class TableError(OddrowError, ValueError):
    """The rows or columns of a table are not what was asked for."""


class ParameterError(OddrowError, ValueError):
    """A parameter, a rule or a configuration key has a value that means nothing."""


class TrainingError(OddrowError, RuntimeError):
    """Training cannot go on."""


class NotFiniteError(TrainingError):
    """The loss stopped being finite."""


class ArtifactError(OddrowError, ValueError):
    """A saved model cannot be read, trusted or written."""


class EvaluationError(OddrowError, ValueError):
    """An evaluation would not be honest, or has nothing to measure."""


def did_you_mean(name: str, options: Iterable[str], *, likeness: float = 0.6) -> str:
    """`" Did you mean 'amount'?"` for a close name, else an empty string."""
    folded = {str(option).casefold(): str(option) for option in options}
    alike = {option: difflib.SequenceMatcher(None, option, name.casefold()).ratio() for option in folded}
    # Where two are equally close the one named first is meant more often; difflib would take the last in the alphabet.
    closest = max(alike, key=lambda option: alike[option], default="")
    return f" Did you mean '{folded[closest]}'?" if alike.get(closest, 0) >= likeness else ""


def offenders(rows: Sequence[int], values: Sequence[object]) -> str:
    """The first three offending rows: `row 17 'N/A', row 402 '-', row 9001 '?'`."""
    shown = [f"row {row} {value!r}" for row, value in zip(rows[:3], values[:3], strict=True)]
    return ", ".join(shown)


def first_names(names: Sequence[str]) -> str:
    """The first three names, quoted, and how many more there are."""
    shown = ", ".join(f"'{name}'" for name in names[:3])
    return shown + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def counted(number: int, noun: str) -> str:
    """A number and its noun: `1 epoch`, `1,200 epochs`."""
    return f"{number:,} {noun}" + ("s" if number != 1 else "")


def raise_all(problems: Sequence[str], error: type[OddrowError] = TableError) -> None:
    """Raise one error that holds every problem; do nothing where there is none."""
    if problems:
        raise error("\n".join(problems))


def check_choice(name: str, value: Any, options: Iterable[str]) -> None:
    """Refuse a value that is not one of the named options."""
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
    """Refuse a value outside [low, high], or (low, high] with `above`, and infinity; `whole` asks for an integer."""
    is_number = hasattr(value, "__index__" if whole else "__float__") and not isinstance(value, (bool, str))
    inside = is_number and low <= value <= high and abs(value) < math.inf and not (above and value == low)
    if not inside:
        kind = "a whole number" if whole else "a finite number"
        bounds = f"above {low:,.10g}" if above else f"of at least {low:,.10g}" if low > -math.inf else ""
        bounds += (" and at most" if bounds else "of at most") + f" {high:,.10g}" if high < math.inf else ""
        raise ParameterError(f"{name}={value!r} is not {kind} {bounds}.".replace("  ", " ").replace(" .", "."))
