"""Dataclasses from plain values: what is accepted, what is refused and how, and the way back."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddrow.errors import ParameterError
from oddrow.structure import build, to_plain


@dataclass(frozen=True)
class Part:
    name: str
    size: int = 1
    ratio: float | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ParameterError(f"size={self.size} is below 0.")


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...] = ()
    main: Part | None = None
    kinds: Mapping[str, float] = field(default_factory=dict)
    mode: Literal["novelty", "outlier"] = "outlier"
    is_on: bool = False
    anything: Any = None


FULL = {
    "parts": [{"name": "a", "size": 2, "ratio": 0.5, "tags": ["x"]}, {"name": "b"}],
    "main": {"name": "c"},
    "kinds": {"k": 1},
    "mode": "novelty",
    "is_on": True,
    "anything": {"of": [1, None]},
}


def test_nested_values_are_built_and_come_back() -> None:
    built = build(Whole, FULL)
    assert built.parts == (Part("a", 2, 0.5, ("x",)), Part("b"))
    assert (built.main, built.kinds, built.mode, built.is_on) == (Part("c"), {"k": 1}, "novelty", True)
    assert build(Whole, to_plain(built), complete=True) == built
    assert to_plain(built)["parts"][0] == FULL["parts"][0]  # type: ignore[index]
    assert build(Whole, {}) == Whole()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mian": {}}, "unknown key 'mian'. Did you mean 'main'?"),
        ({"main": {"name": "a", "siez": 1}}, "unknown key 'main.siez'. Did you mean 'size'?"),
        ({"main": {"name": "a", "zzz": 1}}, "unknown key 'main.zzz'. Known: name, size, ratio, tags."),
        ({"main": {}}, "key 'main.name' is missing."),
        ({"main": 5}, "'main' is a section, not a value: write main.NAME=VALUE."),
        ({"parts": [{"name": "a"}, {"name": 7}]}, "parts[1].name=7 is not text."),
        ({"main": {"name": "a", "size": 1.5}}, "main.size=1.5 is not a whole number."),
        ({"main": {"name": "a", "size": True}}, "main.size=True is not a whole number."),
        ({"main": {"name": "a", "size": -1}}, "size=-1 is below 0."),
        ({"main": {"name": "a", "ratio": float("inf")}}, "main.ratio=inf is not a finite number."),
        ({"main": {"name": "a", "ratio": 10**999}}, "is not a finite number."),
        ({"main": {"name": "a", "tags": "x"}}, "main.tags='x' is not a list. Write ['x']."),
        ({"main": {"name": "a", "tags": ["x", 1]}}, "main.tags[1]=1 is not text."),
        ({"kinds": {"k": "v"}}, "kinds.k='v' is not a finite number."),
        ({"mode": "novel"}, "mode='novel' is not one of novelty, outlier. Did you mean 'novelty'?"),
        ({"is_on": 1}, "is_on=1 is not true or false."),
        ([], "[] is not a section of keys and values."),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_with_its_path(values: Any, message: str) -> None:
    with pytest.raises(ParameterError) as refusal:
        build(Whole, values)
    assert message in str(refusal.value)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ParameterError) as refusal:
        build(Whole, {"is_on": 0, "main": {"size": "x"}, "extra": 1}, "model")
    assert str(refusal.value).splitlines() == [
        "unknown key 'model.extra'. Known: parts, main, kinds, mode, is_on, anything.",
        "key 'model.main.name' is missing.",
        "model.main.size='x' is not a whole number.",
        "model.is_on=0 is not true or false.",
    ]


def test_complete_values_leave_nothing_to_a_default() -> None:
    with pytest.raises(ParameterError, match=r"key 'size' is missing\.\nkey 'ratio' is missing"):
        build(Part, {"name": "a", "tags": []}, complete=True)


def test_a_person_may_write_numbers_and_dates_for_text_and_one_value_for_a_list() -> None:
    written = {"name": datetime.date(2024, 2, 1), "tags": [1, True, 1.5, "x"]}
    assert build(Part, written, lenient=True) == Part("2024-02-01", tags=("1", "true", "1.5", "x"))
    assert build(Part, {"name": 7, "tags": "a,b"}, lenient=True) == Part("7", tags=("a", "b"))
    assert build(Part, {"name": "a", "tags": 140}, lenient=True).tags == ("140",)
    with pytest.raises(ParameterError, match="name=None is not text"):
        build(Part, {"name": None}, lenient=True)


parts = st.builds(
    Part,
    name=st.text(),
    size=st.integers(0),
    ratio=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    tags=st.lists(st.text()).map(tuple),
)


@given(st.builds(Whole, parts=st.lists(parts).map(tuple), main=st.none() | parts, is_on=st.booleans()))
def test_whatever_is_built_comes_back(whole: Whole) -> None:
    assert build(Whole, to_plain(whole), complete=True) == whole
