"""What the user asks for: options, `--set a.b=v` and a TOML file, read into one object with closed names."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oddrow.detectors.base import Detector
from oddrow.detectors.registry import DETECTORS
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import ParameterError, TableError, check_choice, check_number, raise_all
from oddrow.structure import build, unknown_keys
from oddrow.table.dataset import Dataset, read_dataset
from oddrow.table.delimited import ReadOptions
from oddrow.table.history import History
from oddrow.table.join import Join
from oddrow.table.parquet import MemoryBudget
from oddrow.table.roles import Roles
from oddrow.table.schema import Schema
from oddrow.table.table import Table
from oddrow.thresholds.rule import Rule
from oddrow.train.training import Training

ROLES = ("label", "anomaly", "normal", "time", "id", "weight", "amount", "entity", "drop")

TOP = (*ROLES, "clean", "from", "until", "join", "on", "threshold", "block", "seed")

SECTIONS = ("table", "schema", "detector", "training", "encoder")

GIVEN_ELSEWHERE = {"training", "encoder", "kinds", "random_state"}


@dataclass(frozen=True)
class Settings:
    """Everything that `fit` needs to know besides the tables."""

    roles: Roles = field(default_factory=Roles)
    read: ReadOptions = field(default_factory=ReadOptions)
    kinds: Mapping[str, str] = field(default_factory=dict)
    detector: str = "oddrow"
    clean: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    threshold: Rule = field(default_factory=lambda: Rule.parse("quantile"))
    block: Rule | None = None
    history: History | None = None
    start: str | None = None
    until: str | None = None
    join: Join | None = None
    seed: int = 0

    @classmethod
    def gather(
        cls, config: Path | None = None, sets: Iterable[str] = (), options: Mapping[str, Any] | None = None
    ) -> Settings:
        """Read the TOML file, then `--set a.b=v`, then the options that were given; the later one wins.

        Raises `ParameterError` for an unknown name (did you mean) or a value that cannot be read.

        >>> Settings.gather(sets=["training.epochs=5", "drop=a,b"]).roles.drop
        ('a', 'b')
        """
        values = _with_section_of_detector(_read_toml(config)) if config is not None else {}
        for text in sets:
            _put(values, text)
        for name, value in (options or {}).items():
            if value is not None and value != []:
                _put_value(values, name, value)
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from nested plain values, as a TOML file holds them."""
        raise_all(unknown_keys(values, (*TOP, *SECTIONS, "history")), ParameterError)
        values = _with_section_of_detector(values)
        section = {name: build(dict[str, Any], values.get(name, {}), name) for name in SECTIONS}
        detector = section["detector"].pop("name", "oddrow")
        check_choice("detector", detector, DETECTORS)
        _check_parameters(section["detector"], detector)
        raise_all(unknown_keys(section["training"], sorted(Training().get_params()), "training"), ParameterError)
        raise_all(unknown_keys(section["encoder"], sorted(TableEncoder().get_params()), "encoder"), ParameterError)
        block, seed = _text(values, "block"), build(int, values.get("seed", 0), "seed")
        check_number("seed", seed, 0, 2**32 - 1, whole=True)
        return cls(
            roles=build(Roles, {name: values[name] for name in ROLES if name in values}, lenient=True),
            read=build(ReadOptions, section["table"], "table", lenient=True),
            kinds=build(dict[str, str], section["schema"], "schema", lenient=True),
            detector=detector,
            clean=_clean(values, detector, section["detector"]),
            parameters=section["detector"],
            training=section["training"],
            encoder=section["encoder"],
            threshold=Rule.parse(_text(values, "threshold") or "quantile"),
            block=None if block is None else Rule.parse(block),
            history=History.of(values["history"]) if "history" in values else None,
            start=_text(values, "from"),
            until=_text(values, "until"),
            join=Join.of(_text(values, "join"), _text(values, "on")),
            seed=seed,
        )

    def new_detector(self, *, checkpoint: str | None = None, progress: bool = False) -> Detector:
        """The detector that these settings describe, not yet fitted."""
        training = self.new_training(Training(checkpoint=checkpoint, progress=progress))
        parameters = {**self._mode(), **_plain(self.parameters)}
        detector = DETECTORS[self.detector](training=training, random_state=self.seed, **parameters)
        detector.set_params(encoder=detector._default_encoder().set_params(**_plain(self.encoder)))
        detector._check_parameters()
        return detector

    def _mode(self) -> dict[str, str]:
        """Whether anomalies may be among the training rows, for a detector that asks: not where a label tells them."""
        mode = "novelty" if self.clean or self.roles.label is not None else "outlier"
        return {"mode": mode} if _has_modes(self.detector) else {}

    def select(self, tables: str | Sequence[str], *, both: bool = False, memory: MemoryBudget | None = None) -> Dataset:
        """Read the tables and take the rows that these settings ask for, as `read_dataset` does."""
        asked = (self.read, self.roles, self.start, self.until)
        return read_dataset(tables, *asked, join=self.join, history=self.history, both=both, memory=memory)

    def new_training(self, usual: Training) -> Training:
        """How to train: as is usual, but for what these settings say."""
        training = Training(**{**usual.get_params(), **_plain(self.training)})
        training._check()
        return training

    def schema_of(self, table: Table) -> Schema:
        """The schema of a table by its values, its columns' roles and the kinds that were given.

        Raises `ParameterError` where a kind was given for a column that is no feature.
        """
        reasons = self.roles.reasons(table.frame)
        for name in self.kinds.keys() & reasons.keys():
            raise ParameterError(
                f"schema.{name}: the column is no feature ({reasons[name]}). Take one of the two back."
            )
        reasons = {**self._whose(), **reasons}
        return Schema.infer(table.frame, {**dict.fromkeys(reasons, "dropped"), **self.kinds}, reasons)

    def _whose(self) -> dict[str, str]:
        """The columns that say whose history a row has: no features, unless a kind is given for them."""
        names = [] if self.history is None else self.history.entities
        return {name: "whose history it is" for name in names if name not in self.kinds}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TableError(f"{path}: there is no such file.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ParameterError(f"{path}: this cannot be read as TOML ({error}).") from error


def _with_section_of_detector(values: Mapping[str, Any]) -> dict[str, Any]:
    """`detector = "dagmm"` means what `[detector] name = "dagmm"` means."""
    detector = values.get("detector", {})
    return {**values, "detector": {"name": detector} if isinstance(detector, str) else detector}


def _put(values: dict[str, Any], text: str) -> None:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ParameterError(f"--set {text!r}: expected NAME=VALUE, such as training.epochs=20.")
    _put_value(values, name, _parse(value))


def _put_value(values: dict[str, Any], name: str, value: Any) -> None:
    section, dot, key = name.partition(".")
    if not dot:
        values[name] = value
    elif isinstance(values.setdefault(section, {}), dict):
        values[section][key] = value
    else:
        raise ParameterError(f"'{section}' is one value, not a section: '{name}' means nothing.")


def _parse(text: str) -> Any:
    """A TOML value; else items between commas; else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if text in ("none", "None"):
            return None
        return [_parse(item) for item in text.split(",")] if "," in text else text


def _check_parameters(values: Mapping[str, Any], detector: str) -> None:
    """Refuse parameters that the detector does not have; say so where another one has them."""
    known = {name: set(kind().get_params(deep=False)) - GIVEN_ELSEWHERE for name, kind in DETECTORS.items()}
    for name in values:
        having = [other for other in known if name in known[other]]
        if having and detector not in having:
            raise ParameterError(
                f"detector.{name}: the detector {detector} has no such parameter, but {having[0]} does. "
                f"Choose that detector with --detector {having[0]}."
            )
    raise_all(unknown_keys(values, sorted(known[detector]), "detector"), ParameterError)


def _clean(values: Mapping[str, Any], detector: str, parameters: Mapping[str, Any]) -> bool:
    clean = build(bool, values.get("clean", False), "clean")
    if clean and not _has_modes(detector):
        raise ParameterError(f"clean: the detector {detector} always takes training rows for normal. Leave it out.")
    if clean and parameters.get("mode", "novelty") != "novelty":
        raise ParameterError(
            f"clean contradicts detector.mode={parameters['mode']}, which expects odd rows in the training rows. "
            "Leave one of them out."
        )
    return clean


def _has_modes(detector: str) -> bool:
    return "mode" in DETECTORS[detector]().get_params(deep=False)


def _text(values: Mapping[str, Any], name: str) -> str | None:
    return None if values.get(name) is None else build(str, values[name], name, lenient=True)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as constructors take them: lists as tuples, and 'none', because TOML has no word for it, as None."""
    spoken = {name: None if value in ("none", "None") else value for name, value in values.items()}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in spoken.items()}
