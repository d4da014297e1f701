"""The options that several commands share, each defined once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from oddrow.workflow.settings import Settings

F = TypeVar("F", bound=Callable[..., None])

Tables = Annotated[
    list[str],
    typer.Argument(
        help="Files or patterns such as 'day-*.csv'. Formats: CSV, Parquet, Arrow IPC, NPZ, MATLAB v5.",
        metavar="TABLE",
    ),
]

Model = Annotated[Path, typer.Option("--model", help="Folder of the saved model.")]

Json = Annotated[Path | None, typer.Option("--json", help="Also write the results to this JSON file.")]


def _text(flag: str, metavar: str, help: str) -> Any:
    return Annotated[str | None, typer.Option(flag, help=help, metavar=metavar)]


# Parameter names as `oddrow.workflow` and `Settings` have them.
SHARED: dict[str, Any] = {
    "label": _text("--label", "COLUMN", "Column that labels rows as anomalous or normal."),
    "anomaly": _text("--anomaly", "V,V", "Label values that mean anomaly, separated by commas. Default: 1 and true."),
    "normal": _text(
        "--normal", "V,V", "Label values that mean normal, separated by commas; all other values mean anomaly."
    ),
    "id": _text("--id", "COLUMN", "Column that identifies each row; it is copied to the scores."),
    "weight": _text("--weight", "COLUMN", "Column with the number of rows that each row stands for."),
    "amount": _text("--amount", "COLUMN", "Column with the cost of missing an anomaly."),
    "entity": _text(
        "--entity", "COLUMN", "Column with the entity that each row belongs to, such as a card or a customer."
    ),
    "drop": _text("--drop", "A,B", "Columns to ignore, separated by commas."),
    "time": _text("--time", "COLUMN", "Time column: orders the rows; --from and --until refer to it."),
    "start": _text("--from", "TIME", "First time to include: a number or an ISO date."),
    "until": _text("--until", "TIME", "First time to exclude: a number or an ISO date."),
    "join": _text("--join", "TABLE", "Second table; its columns are added to the rows of the first."),
    "on": _text("--on", "KEY", "Key column for --join; both tables have it."),
    "block": _text(
        "--block", "RULE", "Rule for a second, higher threshold: alerts that reach it are blocked, the others reviewed."
    ),
    "seed": Annotated[int | None, typer.Option("--seed", help="Random seed; the same seed gives the same results.")],
    "config": Annotated[
        Path | None, typer.Option("--config", help="TOML file with settings. Options on the command line override it.")
    ],
    "sets": Annotated[
        list[str],
        typer.Option("--set", help="Any setting, such as training.epochs=20 or schema.zip=category. Repeatable."),
    ],
}

ROLES = ("label", "anomaly", "normal", "weight", "amount", "entity")

SPAN = ("time", "start", "until")

SETTINGS = ("config", "sets")


def shared(*names: str) -> Callable[[F], F]:
    """Give a command these options in place of its `**options`, in this order."""

    def decorate(command: F) -> F:
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.kind != p.VAR_KEYWORD]
        added = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, annotation=SHARED[name], default=[] if name == "sets" else None
            )
            for name in names
        ]
        # Typer reads both.
        command.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *added]}
        return command

    return decorate


def settings(config: Path | None, sets: list[str], **options: Any) -> Settings:
    """Return the settings of a TOML file, of --set and of the options that were given; later ones win."""
    from oddrow.workflow.settings import Settings

    keys = {"start": "from", "detector": "detector.name"}
    return Settings.gather(config, sets, {keys.get(name, name): value for name, value in options.items()})
