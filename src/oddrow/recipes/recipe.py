"""`Recipe`: a published experiment, read from TOML with closed names."""

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

OWN = ("title", "source", "data", "protocol")

BESIDE = ("published", "cut", "kind")

# What a recipe divides, seeds and joins itself, and files that its contestants would share.
DECIDED = ("time", "id", "weight", "from", "until", "join", "on", "seed")

DECIDED_OF_TRAINING = ("validation_fraction", "checkpoint", "tensorboard", "progress")

TRIVIAL = ("mahalanobis", "isolation-forest", "one-class-svm")

# Who is measured, by the detector that a recipe is of. The plain autoencoder is the compression network of DAGMM; the
# defaults are those of `AutoencoderDetector`.
CONTESTANTS = {
    "dagmm": ("dagmm", "dagmm-untrained", "autoencoder", *TRIVIAL),
    "autoencoder": ("autoencoder", "autoencoder-untrained", "defaults", *TRIVIAL),
}

METRICS = ("f1", "precision", "recall", "accuracy", "auroc", "ap")

SHOWN = ("f1", "precision", "recall", "auroc", "ap")

OF_DAYS_AND_BATCHES = ("budget", "budget-per-entity", "false-discoveries")

CUT_ROWS = ("test", "train")


@dataclass(frozen=True)
class Data:
    """Where the rows are: accepted file names, the public one first, and where that is found.

    `columns` are those of the public file; whatever others a file has are not looked at. A file may hold but a random
    sample of the normal rows: `sample` is its column that says which they are, `n_normal` how many they stand for.
    """

    files: tuple[str, ...]
    where: str
    join_files: tuple[str, ...] = ()
    on: str | None = None
    columns: tuple[str, ...] = ()
    sample: str | None = None
    n_normal: int | None = None

    def check(self) -> None:
        """Raise `ParameterError` for one half of a pair."""
        if bool(self.join_files) != (self.on is not None):
            raise ParameterError("data.join_files and data.on: a join needs both, or neither.")
        if (self.sample is None) != (self.n_normal is None):
            raise ParameterError("data.sample and data.n_normal: a sample needs both, or neither.")


@dataclass(frozen=True)
class Cut:
    """A published cut: its name, the rule that chooses it, and on whose scores, those of the test or the training rows.

    A fixed one means something for the detector and its untrained twin alone, whose scores have its unit.
    """

    name: str
    rule: str
    rows: str = "test"

    def check(self) -> None:
        """Raise `ParameterError` for a value that means nothing."""
        check_choice("cut.rows", self.rows, CUT_ROWS)
        Rule.parse(self.rule)

    def __str__(self) -> str:
        return self.rule if Rule.parse(self.rule).is_fixed else f"{self.rule} on the {self.rows} rows"


@dataclass(frozen=True)
class Protocol:
    """How rows are divided and cut.

    A run trains on the normal rows of a random half, or `train_share`, of all rows and tests on the others.
    `known_ratio` is the share of the test rows that the published cut calls anomalous, where that is how it was cut.
    `n_anomalies` of the anomalous rows take part, drawn at random in each run, or all. `contamination` lists shares of
    anomalies to be mixed into the training rows. `metrics` are those to show.
    """

    known_ratio: float | None = None
    runs: int = 20
    train_share: float = 0.5
    n_anomalies: int | None = None
    contamination: tuple[float, ...] = (0.0,)
    contestants: tuple[str, ...] = ()
    metrics: tuple[str, ...] = SHOWN
    published_epochs: int | None = None

    def check(self, settings: Settings) -> None:
        """Raise `ParameterError` for a value that means nothing."""
        if self.known_ratio is not None:
            check_number("protocol.known_ratio", self.known_ratio, 0, 1, above=True)
        check_number("protocol.runs", self.runs, 1, whole=True)
        check_number("protocol.train_share", self.train_share, 0.1, 0.9)
        for share in self.contamination:
            check_number("protocol.contamination", share, 0, 0.5)
        for metric in self.metrics:
            check_choice("protocol.metrics", metric, METRICS)
        if settings.threshold.source != "validation":
            raise ParameterError("threshold: a recipe's honest cut is chosen on held-out rows. Leave @train out.")
        if settings.threshold.name in OF_DAYS_AND_BATCHES:
            raise ParameterError(f"threshold: a recipe's honest cut is one number, and {settings.threshold} is more.")
        check_choice("detector", settings.detector, CONTESTANTS)
        for name in self.contestants:
            check_choice("protocol.contestants", name, CONTESTANTS[settings.detector])
        if settings.detector == "dagmm" and "hidden" not in settings.parameters:
            raise ParameterError("detector: a recipe of DAGMM needs `hidden` to build its twins by.")

    def measured(self, settings: Settings) -> tuple[str, ...]:
        """Who is measured, in order."""
        return self.contestants or CONTESTANTS[settings.detector]


@dataclass(frozen=True)
class Resampling:
    """How made-up rows are judged: a share of the real rows tests, classifiers learn from the others and from new ones.

    As published, `n_generated` rows come from a network that saw the anomalies alone, and join before the division.
    """

    n_generated: int
    runs: int = 5
    test_share: float = 0.25

    def check(self, settings: Settings) -> None:
        """Raise `ParameterError` for a value that means nothing."""
        check_number("protocol.n_generated", self.n_generated, 1, whole=True)
        check_number("protocol.runs", self.runs, 1, whole=True)
        check_number("protocol.test_share", self.test_share, 0, 0.9, above=True)
        sections = {"detector": settings.parameters, "training": settings.training, "encoder": settings.encoder}
        if idle := [name for name, given in sections.items() if given]:
            raise ParameterError(f"'{idle[0]}' means nothing in a recipe of this kind. Take it out.")


@dataclass(frozen=True)
class Prequential:
    """How detectors and classifiers are judged week after week: train a span, wait for labels, test a span.

    `spans` is "train,delay,test"; `parts` names sets of folds, by the days on which their training begins. A classifier
    that is tuned is tuned on the folds that begin on `tuned_from`.
    """

    spans: str
    parts: Mapping[str, tuple[str, ...]]
    tuned_from: tuple[str, ...]
    runs: int = 3

    def check(self, settings: Settings) -> None:
        """Raise `ParameterError` for a value that means nothing."""
        check_number("protocol.runs", self.runs, 1, whole=True)
        if settings.roles.time is None or settings.roles.entity is None:
            raise ParameterError("time, entity: a recipe of this kind needs both.")
        if settings.detector != "autoencoder":
            raise ParameterError("detector: a recipe of this kind knows the name autoencoder.")

    @property
    def starts(self) -> list[str]:
        """The days on which training begins, each once, over all parts."""
        return list(dict.fromkeys(start for starts in self.parts.values() for start in starts))


P = TypeVar("P", Protocol, Resampling, Prequential)

KINDS: dict[str, type[Protocol] | type[Resampling] | type[Prequential]] = {
    "detection": Protocol,
    "resampling": Resampling,
    "prequential": Prequential,
}


@dataclass(frozen=True)
class Published:
    """A published row to stand beside, NaN where a number was not given; `rule` is the cut, or the part, it is of."""

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
    """A published experiment: what to read, how to divide it, what to train, what was published."""

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
        """A recipe from nested plain values. Raises `ParameterError` for an unknown key (did you mean)."""
        own = {key: values[key] for key in OWN if key in values}
        if missing := [key for key in OWN if key not in own]:
            raise ParameterError(f"recipe {name}: '{missing[0]}' is missing.")
        settings = Settings.from_dict({key: value for key, value in values.items() if key not in (*OWN, *BESIDE)})
        kind = values.get("kind", "detection")
        check_choice("kind", kind, KINDS)
        # Weeks are weeks of a time column; elsewhere rows are drawn.
        decided = [key for key in DECIDED if key in values and (key, kind) != ("time", "prequential")]
        decided += [f"training.{key}" for key in DECIDED_OF_TRAINING if key in settings.training]
        if decided:
            raise ParameterError(f"recipe {name}: '{decided[0]}' means nothing in a recipe, which decides it itself.")
        protocol: Any = build(KINDS[kind], own["protocol"], "protocol")
        recipe: Recipe[Any] = cls(
            name,
            str(own["title"]),
            str(own["source"]),
            build(Data, own["data"], "data"),
            protocol,
            build(tuple[Published, ...], values.get("published", ()), "published"),
            settings,
            build(tuple[Cut, ...], values.get("cut", ()), "cut"),
        )
        recipe.check()
        return recipe

    def check(self) -> None:
        """Raise `ParameterError` for a value that means nothing."""
        self.protocol.check(self.settings)
        self.data.check()
        for cut in self.cuts:
            cut.check()
        if isinstance(self.protocol, Protocol) and self.protocol.known_ratio is None and not self.cuts:
            raise ParameterError(
                "protocol.known_ratio, or a [[cut]]: a recipe needs to know how the published cut was made."
            )

    def find(self, folder: Path) -> tuple[Path, Join | None]:
        """The files of this recipe in a folder, or one level below it. Raises `TableError` where one is absent."""
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
        lacking = f"none of {', '.join(names)}" if len(names) > 1 else f"no {names[0]}"
        raise TableError(f"{folder}: {lacking} is here or one level below. {names[0]} is public: {self.data.where}.")


def known_recipes() -> list[str]:
    """The names of all recipes."""
    files = resources.files("oddrow.recipes").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def described_recipes() -> list[str]:
    """A line for each recipe: its name, its title, the file it reads."""
    recipes = [load_recipe(name) for name in known_recipes()]
    width = max(len(recipe.name) for recipe in recipes)
    return [f"{recipe.name:<{width}}  {recipe.title} ({recipe.data.files[0]})" for recipe in recipes]


def load_recipe(name: str) -> Recipe[Any]:
    """A recipe by its name. Raises `ParameterError` for any other name (did you mean)."""
    check_choice("recipe", name, known_recipes())
    return Recipe.from_dict(name, recipe_values(name))


def recipe_values(name: str) -> dict[str, Any]:
    """What the file of a recipe says, over what the one says that it `extends`, section by section."""
    text = resources.files("oddrow.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    values = tomllib.loads(text)
    base = recipe_values(values.pop("extends")) if "extends" in values else {}
    sections = {key: {**base[key], **value} for key, value in values.items() if isinstance(base.get(key), dict)}
    return {**base, **values, **sections}
