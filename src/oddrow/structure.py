"""Dataclasses from plain values, as TOML and JSON hold them, and back."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import date
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from oddrow.errors import OddrowError, ParameterError, did_you_mean, raise_all

T = TypeVar("T")

_EXPECTED: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}


def build(declared: type[T], value: Any, path: str = "", *, lenient: bool = False, complete: bool = False) -> T:
    """Return plain values as an object of the declared type, checked through all their parts.

    Parameters
    ----------
    declared : type
        A dataclass, or what its fields may be: bool, int, float, str, `Any`, a `Literal`, an optional, a tuple, list
        or mapping of these, another dataclass.
    value : object
        Plain values: a mapping for a dataclass, a list for a tuple.
    path : str, default=""
        Where the value stands, for messages: `training` makes them speak of `training.epochs`.
    lenient : bool, default=False
        Accept what a person may write: a number or a date for text, and one value or "a,b" for a list of texts.
    complete : bool, default=False
        Require every field, whether it has a default or not.

    Returns
    -------
    object
        An instance of the declared type.

    Raises
    ------
    ParameterError
        With one line for each unknown key, missing key and value of another type.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Training:
    ...     epochs: int = 10
    >>> build(Training, {"epochs": 3})
    Training(epochs=3)
    >>> build(Training, {"epoch": 3}, "training")
    Traceback (most recent call last):
    oddrow.errors.ParameterError: unknown key 'training.epoch'. Did you mean 'epochs'?
    """
    builder = _Builder(lenient, complete)
    built: T = builder.build(declared, value, path)
    raise_all(builder.problems, ParameterError)
    return built


def to_plain(value: Any) -> Any:
    """Return dataclasses as dictionaries and tuples as lists, through all their parts: what JSON holds."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: to_plain(item) for name, item in value.items()}
    return [to_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def unknown_keys(keys: Iterable[Any], known: Iterable[str], path: str = "") -> list[str]:
    """Return a message for every key that is not known, with the one that was probably meant."""
    known = list(known)
    unknown = [str(key) for key in keys if key not in known]
    return [f"unknown key '{_join(path, k)}'.{did_you_mean(k, known) or f' Known: {_list(known)}.'}" for k in unknown]


class _Builder:
    """Builds one object, noting every problem on the way."""

    def __init__(self, lenient: bool, complete: bool) -> None:
        self.lenient, self.complete = lenient, complete
        self.problems: list[str] = []

    def build(self, declared: Any, value: Any, path: str) -> Any:
        origin, inner = get_origin(declared), get_args(declared)
        if declared is Any:
            return value
        if is_dataclass(declared):
            return self._dataclass(declared, value, path)
        if origin in (Union, UnionType):
            (kind,) = (kind for kind in inner if kind is not NoneType)
            return None if value is None else self.build(kind, value, path)
        if origin is Literal:
            return value if value in inner else self._refuse(path, value, f"one of {_list(inner)}", inner)
        if origin in (tuple, list, Sequence):
            return self._sequence(list if origin is list else tuple, inner[0], value, path)
        if origin in (dict, Mapping):
            section = self._section(value, path)
            return {str(key): self.build(inner[1], item, _join(path, key)) for key, item in section.items()}
        return self._single(declared, value, path)

    def _dataclass(self, declared: Any, value: Any, path: str) -> Any:
        if isinstance(value, declared):
            return value
        known, n_before = _fields(declared), len(self.problems)
        values = self._section(value, path)
        if len(self.problems) > n_before:
            return None
        self.problems += unknown_keys(values, known, path)
        needed = (name for name, (field, _) in known.items() if self.complete or _is_required(field))
        self.problems += [f"key '{_join(path, name)}' is missing." for name in needed if name not in values]
        parts = {name: self.build(known[name][1], values[name], _join(path, name)) for name in known if name in values}
        if len(self.problems) > n_before:
            return None
        try:
            return declared(**parts)
        except OddrowError as error:
            self.problems.append(str(error))

    def _section(self, value: Any, path: str) -> Mapping[Any, Any]:
        if isinstance(value, Mapping):
            return value
        named = f"'{path}' is a section, not a value: write {path}.NAME=VALUE."
        self.problems.append(named if path else f"{value!r:.60} is not a section of keys and values.")
        return {}

    def _sequence(self, kind: type[Any], inner: Any, value: Any, path: str) -> Any:
        if self.lenient and inner is str and not isinstance(value, (list, tuple, Mapping, NoneType)):
            value = value.split(",") if isinstance(value, str) else [value]
        if not isinstance(value, (list, tuple)):
            return self._refuse(path, value, f"a list. Write [{value!r:.60}]")
        if inner in _EXPECTED and all(_is(inner, item) for item in value):
            return kind(value)
        return kind(self.build(inner, item, f"{path}[{place}]") for place, item in enumerate(value))

    def _single(self, declared: Any, value: Any, path: str) -> Any:
        if _is(declared, value):
            return value
        if self.lenient and declared is str and isinstance(value, (bool, int, float, date)):
            # True is 'true', as files and options have it.
            return str(value).lower() if isinstance(value, bool) else str(value)
        return self._refuse(path, value, _EXPECTED.get(declared, f"a {declared.__name__}"))

    def _refuse(self, path: str, value: Any, expected: str, options: Iterable[Any] = ()) -> None:
        if isinstance(value, Mapping) and path:
            return self.problems.append(f"'{path}' is one value, not a section: write {path}=VALUE.")
        self.problems.append(f"{path}={value!r:.60} is not {expected}.{did_you_mean(str(value), map(str, options))}")


def _is(declared: type[Any], value: Any) -> bool:
    if declared is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, declared) and isinstance(value, bool) == (declared is bool)


@cache
def _fields(declared: type[Any]) -> dict[str, tuple[Field[Any], Any]]:
    # Cached: finding the types takes longer than all else about a value.
    hints = get_type_hints(declared)
    return {field.name: (field, hints[field.name]) for field in fields(declared) if field.init}


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _join(path: str, name: Any) -> str:
    return f"{path}.{name}" if path else str(name)


def _list(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names))
