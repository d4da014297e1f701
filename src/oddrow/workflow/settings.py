"""`Settings`: what `fit` is asked to do, from a TOML file, `--set` and options."""

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

# Parameters of detectors that have a section of their own or follow from other settings.
GIVEN_ELSEWHERE = {"training", "encoder", "kinds", "random_state"}


@dataclass(frozen=True)
class Settings:
    """What `oddrow.workflow.fit` is asked to do, besides the tables.

    Parameters
    ----------
    roles : Roles, optional
        Which columns are the label, the time, the id and so on.
    read : ReadOptions, optional
        How text files are read.
    kinds : mapping of str to str, optional
        Kinds of columns that override what their values suggest.
    detector : {"oddrow", "autoencoder", "dagmm"}, default="oddrow"
        The detector.
    clean : bool, default=False
        Whether every training row is normal.
    parameters : mapping, optional
        Parameters of the detector.
    training : mapping, optional
        Parameters of `Training`.
    encoder : mapping, optional
        Parameters of `TableEncoder`.
    threshold : Rule, optional
        The rule that sets the threshold; `quantile:0.99` by default.
    block : Rule or None, default=None
        The rule of a second, higher threshold.
    history : History or None, default=None
        Features of what each entity did before.
    start, until : str or None, default=None
        The first time to include, and the first to exclude.
    join : Join or None, default=None
        A second table, and the key column.
    seed : int, default=0
        The random seed.

    Examples
    --------
    >>> settings = Settings.gather(sets=["training.epochs=5", "drop=a,b"], options={"label": "is_fraud"})
    >>> settings.roles.drop, settings.training
    (('a', 'b'), {'epochs': 5})
    """

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
        cls, config: str | Path | None = None, sets: Iterable[str] = (), options: Mapping[str, Any] | None = None
    ) -> Settings:
        """Return the settings of a TOML file, of `--set` and of options; later ones override earlier ones.

        Parameters
        ----------
        config : str, Path or None, default=None
            A TOML file.
        sets : iterable of str, default=()
            Settings as the command line has them: `training.epochs=5`.
        options : mapping or None, default=None
            Settings by name; those that are None are not given.

        Returns
        -------
        Settings
            The settings.

        Raises
        ------
        ParameterError
            If a name is unknown or a value cannot be read.
        """
        values = _with_section_of_detector(_read_toml(Path(config))) if config is not None else {}
        for text in sets:
            _put(values, text)
        for name, value in (options or {}).items():
            if value is not None and value != []:
                _put_value(values, name, value)
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Return the settings that nested plain values describe.

        Parameters
        ----------
        values : mapping
            The keys and sections of a TOML file.

        Returns
        -------
        Settings
            The settings.

        Raises
        ------
        ParameterError
            If a key is unknown or a value has no meaning.
        """
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
        """Return the detector, not yet fitted.

        Parameters
        ----------
        checkpoint : str or None, default=None
            Where training saves its state, unless the settings say.
        progress : bool, default=False
            Whether training shows a progress bar, unless the settings say.

        Returns
        -------
        Detector
            The detector.

        Raises
        ------
        ParameterError
            If a parameter has no meaning.
        """
        training = self.new_training(Training(checkpoint=checkpoint, progress=progress))
        parameters = {**self._mode(), **_plain(self.parameters)}
        detector = DETECTORS[self.detector](training=training, random_state=self.seed, **parameters)
        detector.set_params(encoder=detector._default_encoder().set_params(**_plain(self.encoder)))
        detector._check_parameters()
        return detector

    def select(
        self, tables: str | Path | Sequence[str | Path], *, both: bool = False, memory: MemoryBudget | None = None
    ) -> Dataset:
        """Read tables and return the rows that these settings ask for.

        Parameters
        ----------
        tables : str, Path or sequence of those
            Files or patterns.
        both : bool, default=False
            Whether both classes must be among the labels.
        memory : MemoryBudget or None, default=None
            Rows that do not fit into it stay on disk.

        Returns
        -------
        Dataset
            The rows.

        Raises
        ------
        TableError
            If a file or column is missing, or no row is in the time span.
        """
        return read_dataset(
            tables,
            self.read,
            self.roles,
            self.start,
            self.until,
            join=self.join,
            history=self.history,
            both=both,
            memory=memory,
        )

    def new_training(self, default: Training) -> Training:
        """Return how to train: a default with the changes that these settings ask for.

        Parameters
        ----------
        default : Training
            How to train otherwise.

        Returns
        -------
        Training
            How to train.

        Raises
        ------
        ParameterError
            If a value has no meaning.
        """
        training = default._copy(**_plain(self.training))
        training._check()
        return training

    def schema_of(self, table: Table) -> Schema:
        """Return the schema of a table, from its values, the roles of its columns and the kinds given for them.

        Parameters
        ----------
        table : Table
            The table.

        Returns
        -------
        Schema
            Its schema.

        Raises
        ------
        ParameterError
            If a kind is given for a column that has a role and so is not a feature.
        """
        reasons = self.roles.reasons(table.frame)
        for name in self.kinds.keys() & reasons.keys():
            raise ParameterError(
                f"schema.{name}: the column is not a feature ({reasons[name]}). Leave out its kind or its role."
            )
        entities = [] if self.history is None else self.history.entities
        reasons = {**{name: "identifies the entity" for name in entities if name not in self.kinds}, **reasons}
        return Schema.infer(table.frame, {**dict.fromkeys(reasons, "dropped"), **self.kinds}, reasons)

    def _mode(self) -> dict[str, str]:
        # Without a label or --clean, anomalies may be among the training rows.
        mode = "novelty" if self.clean or self.roles.label is not None else "outlier"
        return {"mode": mode} if _has_modes(self.detector) else {}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TableError(f"{path}: there is no such file.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ParameterError(f"{path}: this cannot be read as TOML ({error}).") from error


def _with_section_of_detector(values: Mapping[str, Any]) -> dict[str, Any]:
    """Read `detector = "dagmm"` as `[detector] name = "dagmm"`."""
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
        raise ParameterError(f"'{section}' is one value, not a section: '{name}' does not exist.")


def _parse(text: str) -> Any:
    """Read a TOML value, else items separated by commas, else text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if text in ("none", "None"):
            return None
        return [_parse(item) for item in text.split(",")] if "," in text else text


def _check_parameters(values: Mapping[str, Any], detector: str) -> None:
    """Refuse parameters that the detector does not have, and name the detector that has them."""
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
        raise ParameterError(f"clean: the detector {detector} always treats training rows as normal. Leave it out.")
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
    """Turn lists into tuples and 'none', as TOML has no null, into None."""
    spoken = {name: None if value in ("none", "None") else value for name, value in values.items()}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in spoken.items()}
