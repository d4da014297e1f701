"""The command line: each command hands its options to `workflow`, which does the work."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RECIPES = (
    "kdd99, kdd99-rev, kdd99-contaminated, thyroid, arrhythmia, ieee-cis, creditcard-autoencoder, "
    "creditcard-autoencoder-dropout, creditcard-cvae, ecg, handbook"
)

RULE_NAMES = (
    "fixed, quantile, mean-std, contamination, fbeta, recall, precision, cost, budget, budget-per-entity, "
    "false-alarms, false-discoveries"
)

Tables = Annotated[
    list[str], typer.Argument(help="Files or patterns: CSV, Parquet, Arrow IPC, NPZ, MATLAB v5.", metavar="TABLE...")
]

Out = Annotated[Path, typer.Option("--out", help="Where to write.")]

Model = Annotated[Path, typer.Option("--model", help="Folder of a saved model.")]

Label = Annotated[str | None, typer.Option("--label", help="Column that says which rows are anomalous.")]

Anomaly = Annotated[str | None, typer.Option("--anomaly", help="Values of the label that are anomalous: V,V.")]

Normal = Annotated[str | None, typer.Option("--normal", help="Values of the label that are normal: V,V.")]

Time = Annotated[str | None, typer.Option("--time", help="Column to choose and order rows by.")]

Start = Annotated[str | None, typer.Option("--from", help="First time taken: a number or an ISO date.")]

Until = Annotated[str | None, typer.Option("--until", help="First time not taken.")]

Weight = Annotated[str | None, typer.Option("--weight", help="Column that says how many rows a row stands for.")]

Amount = Annotated[str | None, typer.Option("--amount", help="Column that says what a missed anomaly costs.")]

Entity = Annotated[str | None, typer.Option("--entity", help="Column that says whose row it is: a card, a customer.")]

Block = Annotated[
    str | None, typer.Option("--block", help="Rule of a second, higher cut: review below it, block above.")
]

Join = Annotated[
    str | None, typer.Option("--join", help="Second table: its columns beside the rows of the first.", metavar="TABLE")
]

On = Annotated[str | None, typer.Option("--on", help="Column by which --join finds a row's partner.", metavar="KEY")]

Drop = Annotated[str | None, typer.Option("--drop", help="Columns not to look at: A,B.")]

Json = Annotated[Path | None, typer.Option("--json", help="Write the numbers here too.")]

Seed = Annotated[int | None, typer.Option("--seed", help="The same seed gives the same numbers.")]

Config = Annotated[Path | None, typer.Option("--config", help="TOML file with any of these options.")]

Sets = Annotated[list[str], typer.Option("--set", help="Any setting, as training.epochs=20 or schema.zip=category.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"oddrow {version('oddrow')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)]


@app.callback()
def oddrow(version: Version = False) -> None:
    """Find the odd rows in a table: learn what normal looks like, score every row, say which deserve an alert."""


@app.command()
def inspect(
    tables: Tables,
    join: Join = None,
    on: On = None,
    config: Config = None,
    sets: Sets = [],  # noqa: B006
) -> None:
    """Show what each column is taken for, and why."""
    from oddrow import workflow
    from oddrow.cli import console
    from oddrow.workflow.settings import Settings

    workflow.inspect(tables, Settings.gather(config, sets, {"join": join, "on": on}), tell=console.tell)


@app.command()
def fit(
    tables: Tables,
    out: Out,
    label: Label = None,
    anomaly: Anomaly = None,
    normal: Normal = None,
    time: Time = None,
    start: Start = None,
    until: Until = None,
    id: Annotated[str | None, typer.Option(help="Column that names a row; written beside its score.")] = None,
    weight: Weight = None,
    amount: Amount = None,
    entity: Entity = None,
    drop: Drop = None,
    join: Join = None,
    on: On = None,
    detector: Annotated[str | None, typer.Option(help="Which detector: oddrow, autoencoder, dagmm.")] = None,
    clean: Annotated[bool, typer.Option("--clean", help="The training rows are normal, all of them.")] = False,
    threshold: Annotated[
        str | None, typer.Option(help="Rule such as quantile:0.99 or budget:100, with @train or @validation.")
    ] = None,
    block: Block = None,
    memory: Annotated[
        str | None, typer.Option("--memory", help="Most memory to take, as 2GB: rows beyond it stay on disk.")
    ] = None,
    config: Config = None,
    sets: Sets = [],  # noqa: B006
    seed: Seed = None,
) -> None:
    """Learn what is normal from a table, choose a threshold, save the model."""
    from oddrow import workflow
    from oddrow.cli import console
    from oddrow.workflow.settings import Settings

    options: dict[str, Any] = {
        "label": label,
        "anomaly": anomaly,
        "normal": normal,
        "time": time,
        "from": start,
        "until": until,
    }
    options |= {"id": id, "weight": weight, "amount": amount, "entity": entity, "drop": drop, "join": join, "on": on}
    options |= {"threshold": threshold, "block": block, "seed": seed, "clean": clean or None}
    settings = Settings.gather(config, sets, options | {"detector.name": detector})
    workflow.fit(tables, out, settings, memory=memory, tell=console.tell, command=_command())


@app.command()
def score(
    tables: Tables,
    model: Model,
    out: Out,
    time: Time = None,
    start: Start = None,
    until: Until = None,
    join: Join = None,
    reasons: Annotated[int, typer.Option("--reasons", help="How many columns to name that make an alert odd.")] = 0,
) -> None:
    """Score every row of a table with a saved model; write id, anomaly_score and alert."""
    from oddrow import workflow
    from oddrow.cli import console

    span = {"time": time, "start": start, "until": until}
    workflow.score(tables, model, out, **span, join=join, n_reasons=reasons, tell=console.tell)


@app.command()
def explain(
    tables: Tables,
    model: Model,
    id: Annotated[str, typer.Option("--id", help="Which row: its id, or its number from 0 where there are no ids.")],
    reasons: Annotated[int, typer.Option("--reasons", help="How many columns to name.")] = 5,
    join: Join = None,
) -> None:
    """Say why a row is odd: the columns that make it so, what is expected there, and a row near it that is no alert."""
    from oddrow import workflow
    from oddrow.cli import console

    workflow.explain(tables, model, id, n_reasons=reasons, join=join, tell=console.tell)


@app.command()
def evaluate(
    tables: Tables,
    model: Model,
    label: Label = None,
    anomaly: Anomaly = None,
    normal: Normal = None,
    weight: Weight = None,
    amount: Amount = None,
    entity: Entity = None,
    time: Time = None,
    start: Start = None,
    until: Until = None,
    join: Join = None,
    json: Json = None,
) -> None:
    """Measure a saved model on labelled rows, beside IsolationForest, Mahalanobis and its untrained twin."""
    from oddrow import workflow
    from oddrow.cli import console

    chosen: dict[str, Any] = {"label": label, "weight": weight, "time": time, "start": start, "until": until}
    chosen |= {"amount": amount, "entity": entity, "join": join, "anomaly": _values(anomaly), "normal": _values(normal)}
    workflow.evaluate(tables, model, **chosen, json_to=json, tell=console.tell)


@app.command()
def threshold(
    tables: Tables,
    model: Model,
    rule: Annotated[str, typer.Option("--rule", help=f"{RULE_NAMES}; numbers follow after colons.")],
    block: Block = None,
    label: Label = None,
    anomaly: Anomaly = None,
    normal: Normal = None,
    weight: Weight = None,
    amount: Amount = None,
    entity: Entity = None,
    time: Time = None,
    start: Start = None,
    until: Until = None,
    join: Join = None,
) -> None:
    """Choose a saved model's cut again, on the rows of a table; nothing is trained, the old one is kept on record."""
    from oddrow import workflow
    from oddrow.cli import console

    chosen: dict[str, Any] = {"label": label, "weight": weight, "time": time, "start": start, "until": until}
    chosen |= {"amount": amount, "entity": entity, "join": join, "anomaly": _values(anomaly), "normal": _values(normal)}
    workflow.threshold(tables, model, rule, block=block, **chosen, tell=console.tell)


@app.command()
def report(
    tables: Tables,
    model: Model,
    out: Annotated[
        Path | None, typer.Option("--out", help="HTML file to write; not given, report.html in the model's folder.")
    ] = None,
    label: Label = None,
    anomaly: Anomaly = None,
    normal: Normal = None,
    weight: Weight = None,
    amount: Amount = None,
    entity: Entity = None,
    time: Time = None,
    start: Start = None,
    until: Until = None,
    join: Join = None,
) -> None:
    """Show what a saved model makes of a table: one HTML page with numbers, pictures, the oddest rows and reasons."""
    from oddrow import workflow
    from oddrow.cli import console

    chosen: dict[str, Any] = {"label": label, "weight": weight, "time": time, "start": start, "until": until}
    chosen |= {"amount": amount, "entity": entity, "join": join, "anomaly": _values(anomaly), "normal": _values(normal)}
    workflow.report(tables, model, out, **chosen, command=_command(), tell=console.tell)


@app.command()
def export(model: Model, onnx: Annotated[Path, typer.Option("--onnx", help="Where to write: a file F.onnx.")]) -> None:
    """Write a saved model as one ONNX file, encoder included: raw columns in, score out."""
    from oddrow import workflow
    from oddrow.cli import console

    workflow.export(model, onnx, tell=console.tell)


@app.command()
def compare(
    tables: Tables,
    label: Annotated[str, typer.Option("--label", help="Column that says which rows are of the rare class.")],
    anomaly: Anomaly = None,
    normal: Normal = None,
    time: Time = None,
    start: Start = None,
    until: Until = None,
    weight: Weight = None,
    drop: Drop = None,
    join: Join = None,
    on: On = None,
    folds: Annotated[int, typer.Option("--folds", help="How many folds; with --spans, at most.")] = 5,
    repeats: Annotated[int, typer.Option("--repeats", help="How often folds are drawn anew.")] = 1,
    spans: Annotated[
        str | None, typer.Option(help="Spans of --time to train, to wait for labels and to test: 7d,7d,7d.")
    ] = None,
    ratio: Annotated[
        float | None, typer.Option(help="Rare rows to common ones after resampling; as many if not given.")
    ] = None,
    max_rows: Annotated[int | None, typer.Option(help="Most training rows of a fold.")] = None,
    json: Json = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write the table here too.")] = None,
    config: Config = None,
    sets: Sets = [],  # noqa: B006
    seed: Seed = None,
) -> None:
    """Try whether resampling the rare class, a CVAE among the ways, helps classifiers of this table."""
    from oddrow.cli import console
    from oddrow.workflow.comparing import FoldPlan, compare_samplers
    from oddrow.workflow.settings import Settings

    options: dict[str, Any] = {"label": label, "anomaly": anomaly, "normal": normal, "time": time, "from": start}
    options |= {"until": until, "weight": weight, "drop": drop, "join": join, "on": on, "seed": seed}
    compare_samplers(
        tables,
        Settings.gather(config, sets, options),
        FoldPlan(folds, repeats, spans),
        sampling_strategy="auto" if ratio is None else ratio,
        max_rows=max_rows,
        json_to=json,
        markdown_to=markdown,
        tell=console.tell,
    )


@app.command()
def recipe(
    name: Annotated[str | None, typer.Argument(help=f"Which published experiment: {RECIPES}.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder with its public files.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for results, pictures, the last run's model.")
    ] = None,
    runs: Annotated[int | None, typer.Option("--runs", help="How many random splits.")] = None,
    names: Annotated[
        bool, typer.Option("--list", help="Name the experiments, with a line each, and the files.")
    ] = False,
) -> None:
    """Run a published experiment again, beside its published numbers and the trivial baselines."""
    from oddrow.cli import console
    from oddrow.errors import ParameterError
    from oddrow.recipes.recipe import described_recipes, load_recipe
    from oddrow.recipes.run import run_recipe

    if names:
        for line in described_recipes():
            console.tell(line)
        return
    if name is None or data is None or out is None:
        raise ParameterError("recipe needs NAME --data FOLDER --out FOLDER, or --list to see what there is.")
    results = run_recipe(load_recipe(name), data, out, runs, tell=console.tell, command=_command())
    console.tell(results.to_markdown())


@app.command()
def simulate(
    out: Out,
    rows: Annotated[int, typer.Option("--rows", help="How many transactions.")] = 200_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same rows.")] = 0,
) -> None:
    """Write transactions of customers and terminals with three known kinds of fraud."""
    from oddrow.cli import console
    from oddrow.workflow import demo

    demo.write_transactions(rows, out, seed=seed, tell=console.tell)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path("demo"),
    rows: Annotated[int, typer.Option("--rows", help="How many transactions.")] = 200_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same demo.")] = 0,
) -> None:
    """Simulate transactions, fit on the first weeks, score the rest, and show how well that went."""
    from oddrow.cli import console
    from oddrow.workflow.demo import run

    run(out, rows, seed=seed, tell=console.tell)


def _values(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _command() -> str:
    import shlex

    return shlex.join(["oddrow", *sys.argv[1:]])


def main(arguments: Any = None) -> None:
    """Run a command; what oddrow refuses is one message on standard error and exit code 1."""
    from oddrow.errors import OddrowError

    try:
        app(arguments)
    except OddrowError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
