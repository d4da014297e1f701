"""`sampling_strategy`: how many rows of which class to make, as imbalanced-learn reads it for over-sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from oddrow.errors import ParameterError, check_choice, check_number, did_you_mean

Strategy = str | float | Mapping[Any, int] | Callable[[Any], Mapping[Any, int]]

WORDS: dict[str, Callable[[int, int, int], bool]] = {
    "auto": lambda count, least, most: count < most,
    "not majority": lambda count, least, most: count < most,
    "minority": lambda count, least, most: count == least,
    "not minority": lambda count, least, most: count > least,
    "all": lambda count, least, most: True,
}


def rows_to_make(strategy: Strategy, counts: Mapping[Any, int], y: Any) -> dict[Any, int]:
    """How many rows to add to each class, of those that get any; `counts` says how many there are.

    A word levels the classes it names with the largest one, a float is minority / majority afterwards, a dictionary
    says how many rows of each class there are to be afterwards, and a function makes one of y.

    >>> rows_to_make(0.5, {0: 100, 1: 10}, None)
    {1: 40}

    Raises `ParameterError` for a word or class that is unknown, and where there are more rows already than asked for.
    """
    if callable(strategy):
        strategy = strategy(y)
    if isinstance(strategy, str):
        check_choice("sampling_strategy", strategy, WORDS)
        least, most = min(counts.values()), max(counts.values())
        return {label: most - count for label, count in counts.items() if WORDS[strategy](count, least, most)}
    if isinstance(strategy, Mapping):
        return _by_class(strategy, counts)
    check_number("sampling_strategy", strategy, 0, 1, above=True)
    if len(counts) != 2:
        raise ParameterError(
            f"sampling_strategy={strategy:g}: a float is minority / majority, and there are {len(counts)} classes. "
            "Give a dictionary of the rows that each class is to have."
        )
    label = min(counts, key=lambda each: counts[each])
    return _by_class({label: int(strategy * max(counts.values()))}, counts)


def _by_class(wanted: Mapping[Any, int], counts: Mapping[Any, int]) -> dict[Any, int]:
    for label, n_wanted in wanted.items():
        if label not in counts:
            hint = did_you_mean(str(label), map(str, counts))
            raise ParameterError(f"sampling_strategy: no row is of class {label!r}.{hint}")
        check_number(f"sampling_strategy for class {label!r}", n_wanted, whole=True)
        if n_wanted < counts[label]:
            raise ParameterError(
                f"sampling_strategy asks for {n_wanted:,} rows of class {label!r}, and there are {counts[label]:,} "
                "already. A sampler only adds rows: ask for as many at least."
            )
    return {label: n_wanted - counts[label] for label, n_wanted in wanted.items()}
