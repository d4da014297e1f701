"""`Recipe`: a published experiment, read from a TOML file and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Generic, TypeVar

from oddrow.errors import ParameterError, TableError, check_choice, check_number
from oddrow.structure import build
from oddrow.table.join import Join
from oddrow.thresholds.rule import Rule
from oddrow.workflow.settings import Settings

NAN = float("nan")

# The keys of a recipe besides settings.
REQUIRED_KEYS, OPTIONAL_KEYS = ("title", "source", "data", "protocol"), ("published", "cut", "kind")

# Settings that a recipe cannot have: it splits, seeds and joins the rows itself, and its models would share files.
RESERVED = ("time", "id", "weight", "from", "until", "join", "on", "seed")

RESERVED_TRAINING = ("validation_fraction", "checkpoint", "tensorboard", "progress")

BASELINE_NAMES = ("mahalanobis", "isolation-forest", "one-class-svm")

# The models to compare, by the detector of the recipe. In recipes of DAGMM, `autoencoder` is its compression network.
# `defaults` is `AutoencoderDetector` with its defaults.
CONTESTANTS = {
    "dagmm": ("dagmm", "dagmm-untrained", "autoencoder", *BASELINE_NAMES),
    "autoencoder": ("autoencoder", "autoencoder-untrained", "defaults", *BASELINE_NAMES),
}

METRICS = ("f1", "precision", "recall", "accuracy", "auroc", "ap")

SHOWN_METRICS = ("f1", "precision", "recall", "auroc", "ap")

# Rules whose alerts depend on the other rows, so that they are not one number.
RULES_OF_BATCHES = ("budget", "budget-per-entity", "false-discoveries")


@dataclass(frozen=True)
class Data:
    """The files of a recipe.

    Parameters
    ----------
    files : tuple of str
        Accepted file names, first that of the public file.
    where : str
        Where the public file can be downloaded.
    join_files : tuple of str, optional
        Accepted names of a file to join.
    on : str, optional
        The column to join on.
    columns : tuple of str, optional
        The columns to use, all by default.
    sample : str, optional
        For files that hold a random sample of the normal rows: the boolean column that marks it.
    n_normal : int, optional
        How many normal rows the sample stands for.
    """

    files: tuple[str, ...]
    where: str
    join_files: tuple[str, ...] = ()
    on: str | None = None
    columns: tuple[str, ...] = ()
    sample: str | None = None
    n_normal: int | None = None

    def check(self) -> None:
        """Raise `ParameterError` if only one of two related keys is given."""
        if bool(self.join_files) != (self.on is not None):
            raise ParameterError("data.join_files and data.on: a join needs both.")
        if (self.sample is None) != (self.n_normal is None):
            raise ParameterError("data.sample and data.n_normal: a sample needs both.")


@dataclass(frozen=True)
class Cut:
    """A published threshold.

    Parameters
    ----------
    name : str
        The name in the table of results.
    rule : str
        The rule that chooses it. A fixed threshold is applied only to the detector and its untrained copy, because
        other scores have other units.
    rows : str, default "test"
        The rows whose scores the rule sees: `test` or `train`.
    """

    name: str
    rule: str
    rows: str = "test"

    def check(self) -> None:
        """Raise `ParameterError` for an unknown rule or unknown rows."""
        check_choice("cut.rows", self.rows, ("test", "train"))
        Rule.parse(self.rule)

    def __str__(self) -> str:
        """Return the rule and its rows."""
        return self.rule if Rule.parse(self.rule).is_fixed else f"{self.rule} on the {self.rows} rows"


@dataclass(frozen=True)
class DetectionProtocol:
    """How detectors are compared: each run trains on normal rows of a random part and tests on the other rows.

    Parameters
    ----------
    known_ratio : float, optional
        The share of the test rows that the published threshold calls anomalous, if that is how it was chosen.
    runs : int, default 20
        The number of runs.
    train_share : float, default 0.5
        The share of the rows in the training part.
    n_anomalies : int, optional
        The number of anomalies to use, drawn at random in each run; all by default.
    contamination : tuple of float, default (0.0,)
        Shares of anomalies to mix into the training rows.
    contestants : tuple of str, optional
        The models to compare.
    metrics : tuple of str, optional
        The metrics to show.
    published_epochs : int, optional
        How long the published model was trained.
    """

    known_ratio: float | None = None
    runs: int = 20
    train_share: float = 0.5
    n_anomalies: int | None = None
    contamination: tuple[float, ...] = (0.0,)
    contestants: tuple[str, ...] = ()
    metrics: tuple[str, ...] = SHOWN_METRICS
    published_epochs: int | None = None

    def check(self, settings: Settings) -> None:
        """Raise `ParameterError` for a value out of range."""
        if self.known_ratio is not None:
            check_number("protocol.known_ratio", self.known_ratio, 0, 1, above=True)
        check_number("protocol.runs", self.runs, 1, whole=True)
        check_number("protocol.train_share", self.train_share, 0.1, 0.9)
        for share in self.contamination:
            check_number("protocol.contamination", share, 0, 0.5)
        for metric in self.metrics:
            check_choice("protocol.metrics", metric, METRICS)
        if settings.threshold.source != "validation":
            raise ParameterError("threshold: a recipe chooses its threshold on held-out rows. Remove @train.")
        if settings.threshold.name in RULES_OF_BATCHES:
            raise ParameterError(
                f"threshold: a recipe needs one threshold, but with {settings.threshold} alerts depend on other rows."
            )
        check_choice("detector", settings.detector, CONTESTANTS)
        for name in self.contestants:
            check_choice("protocol.contestants", name, CONTESTANTS[settings.detector])
        if settings.detector == "dagmm" and "hidden" not in settings.parameters:
            raise ParameterError("detector.hidden is missing: a recipe of DAGMM builds its autoencoder from it.")

    def contestants_for(self, settings: Settings) -> tuple[str, ...]:
        """Return the names of the models to compare, in order."""
        return self.contestants or CONTESTANTS[settings.detector]


@dataclass(frozen=True)
class ResamplingProtocol:
    """How generated anomalies are judged: classifiers learn with and without them and are tested on other rows.

    Parameters
    ----------
    n_generated : int
        The number of rows that the published experiment generates, from the anomalies alone and before the split.
    runs : int, default 5
        The number of runs.
    test_share : float, default 0.25
        The share of the rows to test on.
    """

    n_generated: int
    runs: int = 5
    test_share: float = 0.25

    def check(self, settings: Settings) -> None:
        """Raise `ParameterError` for a value out of range, or a setting without effect."""
        check_number("protocol.n_generated", self.n_generated, 1, whole=True)
        check_number("protocol.runs", self.runs, 1, whole=True)
        check_number("protocol.test_share", self.test_share, 0, 0.9, above=True)
        sections = {"detector": settings.parameters, "training": settings.training, "encoder": settings.encoder}
        if unused := [name for name, given in sections.items() if given]:
            raise ParameterError(f"'{unused[0]}' has no effect in a resampling recipe. Remove it.")


@dataclass(frozen=True)
class PrequentialProtocol:
    """How models are judged over time: train on a span, wait for its labels, test on the next span.

    Parameters
    ----------
    spans : str
        "train,delay,test", such as "7d,7d,7d".
    parts : mapping of str to tuple of str
        The folds of each part of the table of results, by the days on which their training begins.
    tuned_from : tuple of str
        The days on which the training of the folds for tuning begins.
    runs : int, default 3
        The number of runs.
    """

    spans: str
    parts: Mapping[str, tuple[str, ...]]
    tuned_from: tuple[str, ...]
    runs: int = 3

    def check(self, settings: Settings) -> None:
        """Raise `ParameterError` for a value out of range or a missing role."""
        check_number("protocol.runs", self.runs, 1, whole=True)
        if settings.roles.time is None or settings.roles.entity is None:
            raise ParameterError("a prequential recipe needs both time and entity.")
        if settings.detector != "autoencoder":
            raise ParameterError(f"detector={settings.detector!r}: a prequential recipe needs 'autoencoder'.")

    @property
    def starts(self) -> list[str]:
        """The days on which training begins, each once, over all parts."""
        return list(dict.fromkeys(start for starts in self.parts.values() for start in starts))


P = TypeVar("P", DetectionProtocol, ResamplingProtocol, PrequentialProtocol)

KINDS: dict[str, type[DetectionProtocol] | type[ResamplingProtocol] | type[PrequentialProtocol]] = {
    "detection": DetectionProtocol,
    "resampling": ResamplingProtocol,
    "prequential": PrequentialProtocol,
}


@dataclass(frozen=True)
class Published:
    """A published row of results, NaN for a metric that was not given. `rule` names its threshold or its part."""

    method: str
    rule: str = "published"
    f1: float = NAN
    precision: float = NAN
    recall: float = NAN
    accuracy: float = NAN
    auroc: float = NAN
    ap: float = NAN
    card_precision: float = NAN


@dataclass(frozen=True)
class Recipe(Generic[P]):
    """A published experiment.

    Parameters
    ----------
    name, title, source : str
        The name, a title, and the publication.
    data : Data
        The files.
    protocol : DetectionProtocol, ResamplingProtocol or PrequentialProtocol
        How rows are split and models compared.
    published : tuple of Published
        The published results.
    settings : Settings
        The detector, its training, the roles of columns, and the threshold rule.
    cuts : tuple of Cut, optional
        The published thresholds.
    """

    name: str
    title: str
    source: str
    data: Data
    protocol: P
    published: tuple[Published, ...]
    settings: Settings
    cuts: tuple[Cut, ...] = ()

    @classmethod
    def from_dict(cls, name: str, values: Mapping[str, Any]) -> Recipe[Any]:
        """Build a recipe from plain values. Raises `ParameterError` for an unknown or missing key or a bad value."""
        if missing := [key for key in REQUIRED_KEYS if key not in values]:
            raise ParameterError(f"recipe {name}: '{missing[0]}' is missing.")
        own_keys = (*REQUIRED_KEYS, *OPTIONAL_KEYS)
        settings = Settings.from_dict({key: value for key, value in values.items() if key not in own_keys})
        kind = values.get("kind", "detection")
        check_choice("kind", kind, KINDS)
        # Prequential recipes split by a time column.
        reserved = [key for key in RESERVED if key in values and (key, kind) != ("time", "prequential")]
        reserved += [f"training.{key}" for key in RESERVED_TRAINING if key in settings.training]
        if reserved:
            raise ParameterError(f"recipe {name}: '{reserved[0]}' cannot be set in a recipe. Remove it.")
        protocol: Any = build(KINDS[kind], values["protocol"], "protocol")
        recipe: Recipe[Any] = cls(
            name,
            str(values["title"]),
            str(values["source"]),
            build(Data, values["data"], "data"),
            protocol,
            build(tuple[Published, ...], values.get("published", ()), "published"),
            settings,
            build(tuple[Cut, ...], values.get("cut", ()), "cut"),
        )
        recipe.check()
        return recipe

    def check(self) -> None:
        """Raise `ParameterError` for a bad value."""
        self.protocol.check(self.settings)
        self.data.check()
        for cut in self.cuts:
            cut.check()
        if isinstance(self.protocol, DetectionProtocol) and self.protocol.known_ratio is None and not self.cuts:
            raise ParameterError("the published threshold is missing: give protocol.known_ratio or a [[cut]].")

    def find(self, folder: Path) -> tuple[Path, Join | None]:
        """Find the files in a folder, or one level below it. Raises `TableError` if one is missing."""
        table = self._find(self.data.files, folder)
        if not self.data.join_files or self.data.on is None:
            return table, None
        return table, Join(str(self._find(self.data.join_files, folder)), self.data.on)

    def _find(self, names: tuple[str, ...], folder: Path) -> Path:
        if not folder.is_dir():
            raise TableError(f"{folder}: there is no such folder.")
        places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
        for name in names:
            if found := [place / name for place in places if (place / name).is_file()]:
                return found[0]
        raise TableError(
            f"{folder}: found no {' or '.join(names)}, here or one level below. Get {names[0]} from {self.data.where}."
        )


def known_recipes() -> list[str]:
    """Return the names of all recipes."""
    files = resources.files("oddrow.recipes").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def described_recipes() -> list[str]:
    """Return a line for each recipe: name, title, and the file it reads."""
    recipes = [load_recipe(name) for name in known_recipes()]
    width = max(len(recipe.name) for recipe in recipes)
    return [f"{recipe.name:<{width}}  {recipe.title} ({recipe.data.files[0]})" for recipe in recipes]


def load_recipe(name: str) -> Recipe[Any]:
    """Load a recipe. Raises `ParameterError` for an unknown name."""
    check_choice("recipe", name, known_recipes())
    return Recipe.from_dict(name, recipe_values(name))


def recipe_values(name: str) -> dict[str, Any]:
    """Return the plain values of a recipe, completed section by section from the recipe that it `extends`."""
    text = resources.files("oddrow.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    values = tomllib.loads(text)
    base = recipe_values(values.pop("extends")) if "extends" in values else {}
    sections = {key: {**base[key], **value} for key, value in values.items() if isinstance(base.get(key), dict)}
    return {**base, **values, **sections}
