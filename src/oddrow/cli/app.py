"""The command line: each command hands its options to `oddrow.workflow`, which does the work."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from oddrow import workflow
from oddrow.cli.options import ROLES, SETTINGS, SPAN, Json, Model, Tables, settings, shared

# Listed here, as importing the recipes and rules would make `--help` slow; tests compare them.
RECIPES = (
    "kdd99, kdd99-rev, kdd99-contaminated, thyroid, arrhythmia, ieee-cis, creditcard-autoencoder, "
    "creditcard-autoencoder-dropout, creditcard-cvae, ecg, handbook"
)

RULE_NAMES = (
    "fixed, quantile, mean-std, contamination, fbeta, recall, precision, cost, budget, budget-per-entity, "
    "false-alarms, false-discoveries"
)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"oddrow {version('oddrow')}")
        raise typer.Exit


@app.callback()
def oddrow(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Find odd rows in tables: train a detector, score rows, raise alerts and explain them.

    For a first look: oddrow demo. For a table of your own: oddrow fit TABLE --out MODEL, then oddrow score.
    """


@app.command()
@shared("join", "on", *SETTINGS)
def inspect(tables: Tables, **options: Any) -> None:
    """Show the kind of each column, and why.

    Reports values that `oddrow fit` would refuse.
    """
    workflow.inspect(tables, settings(**options), tell=_tell)


@app.command()
@shared(*ROLES, "id", "drop", *SPAN, "join", "on", "block", *SETTINGS, "seed")
def fit(
    tables: Tables,
    out: Annotated[Path, typer.Option("--out", help="Folder to save the model in.")],
    detector: Annotated[
        str | None, typer.Option("--detector", help="Detector: oddrow (the default), autoencoder or dagmm.")
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Treat every training row as normal. Use it if there are no labels.")
    ] = False,
    threshold: Annotated[
        str | None,
        typer.Option(
            "--threshold",
            help="Rule that sets the threshold, such as quantile:0.99 or budget:100. It looks at the validation rows, "
            "with @train at the training rows.",
        ),
    ] = None,
    memory: Annotated[
        str | None, typer.Option("--memory", help="Memory limit such as 2GB; rows that do not fit stay on disk.")
    ] = None,
    **options: Any,
) -> None:
    """Train a detector, set a threshold, save both.

    Known anomalies are excluded from training. A tenth of the rows is held out to set the threshold.
    """
    chosen = settings(detector=detector, clean=clean or None, threshold=threshold, **options)
    workflow.fit(tables, out, chosen, memory=memory, progress=True, tell=_tell, command=_command())


@app.command()
@shared(*SPAN, "join")
def score(
    tables: Tables,
    model: Model,
    out: Annotated[Path, typer.Option("--out", help="File to write, .csv or .parquet.")],
    reasons: Annotated[int, typer.Option("--reasons", help="Number of columns to name as reasons for each alert.")] = 0,
    **options: Any,
) -> None:
    """Score rows with a saved model.

    Writes the id (or the row number), anomaly_score and alert of each row.
    """
    workflow.score(tables, model, out, n_reasons=reasons, tell=_tell, **options)


@app.command()
@shared("join")
def explain(
    tables: Tables,
    model: Model,
    id: Annotated[
        str, typer.Option("--id", help="Row to explain: its id, or its number from 0 if the model has no id column.")
    ],
    reasons: Annotated[int, typer.Option("--reasons", help="Number of columns to name.")] = 5,
    **options: Any,
) -> None:
    """Explain the score of one row.

    Shows the oddest columns, the expected values and, for an alert, the smallest changes found that would clear it.
    """
    workflow.explain(tables, model, id, n_reasons=reasons, tell=_tell, **options)


@app.command()
@shared(*ROLES, *SPAN, "join")
def evaluate(tables: Tables, model: Model, json: Json = None, **options: Any) -> None:
    """Measure a saved model on labelled rows.

    Compares it with IsolationForest, Mahalanobis distance, its untrained copy and, given enough labels, a classifier.
    """
    workflow.evaluate(tables, model, json_to=json, tell=_tell, **options)


@app.command()
@shared(*ROLES, *SPAN, "join")
def threshold(
    tables: Tables,
    model: Model,
    rule: Annotated[
        str,
        typer.Option("--rule", help=f"Rule, its numbers after colons, such as budget:100. Rules: {RULE_NAMES}."),
    ],
    block: Annotated[
        str | None,
        typer.Option("--block", metavar="RULE", help="Rule for the second, higher threshold; 'none' removes it."),
    ] = None,
    **options: Any,
) -> None:
    """Set the threshold of a saved model again.

    The rule uses the rows of the table. The model is not retrained; it keeps a record of the previous threshold.
    """
    workflow.threshold(tables, model, rule, block=block, tell=_tell, **options)


@app.command()
@shared(*ROLES, *SPAN, "join")
def report(
    tables: Tables,
    model: Model,
    out: Annotated[
        Path | None, typer.Option("--out", help="HTML file to write. Default: report.html in the model's folder.")
    ] = None,
    **options: Any,
) -> None:
    """Write an HTML report about a table.

    One page with metrics, plots, the oddest rows and the reasons for them.
    """
    workflow.report(tables, model, out, command=_command(), tell=_tell, **options)


@app.command()
def export(model: Model, onnx: Annotated[Path, typer.Option("--onnx", help="ONNX file to write.")]) -> None:
    """Export a saved model to ONNX.

    The file includes the encoder: it takes raw columns and returns the score.
    """
    workflow.export(model, onnx, tell=_tell)


@app.command()
@shared("anomaly", "normal", *SPAN, "weight", "drop", "join", "on", *SETTINGS, "seed")
def compare(
    tables: Tables,
    label: Annotated[str, typer.Option("--label", help="Column that labels the rare and the common class.")],
    folds: Annotated[int, typer.Option("--folds", help="Number of folds; with --spans, the maximum.")] = 5,
    repeats: Annotated[int, typer.Option("--repeats", help="Number of times to redraw random folds.")] = 1,
    spans: Annotated[
        str | None,
        typer.Option("--spans", help="Lengths of the training, delay and test periods in --time, such as 7d,7d,7d."),
    ] = None,
    ratio: Annotated[
        float | None, typer.Option("--ratio", help="Ratio of rare to common rows after resampling. Default: 1.")
    ] = None,
    max_rows: Annotated[
        int | None, typer.Option("--max-rows", help="Maximum number of training rows in a fold.")
    ] = None,
    json: Json = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Also write the table to this Markdown file.")
    ] = None,
    **options: Any,
) -> None:
    """Test whether resampling helps classifiers.

    Trains classifiers with and without resampled rows of the rare class and compares them on held-out folds.
    """
    from oddrow.workflow.comparing import FoldPlan

    workflow.compare_samplers(
        tables,
        settings(label=label, **options),
        FoldPlan(folds, repeats, spans),
        sampling_strategy="auto" if ratio is None else ratio,
        max_rows=max_rows,
        json_to=json,
        markdown_to=markdown,
        tell=_tell,
    )


@app.command()
def recipe(
    name: Annotated[str | None, typer.Argument(help=f"Experiment: {RECIPES}.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder with the public data files.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results, the plots and the model of the last run.")
    ] = None,
    runs: Annotated[int | None, typer.Option("--runs", help="Number of runs. Default: as in the recipe.")] = None,
    names: Annotated[bool, typer.Option("--list", help="List the experiments and the files they need.")] = False,
) -> None:
    """Reproduce a published experiment.

    Shows the results next to the published numbers and simple baselines.
    """
    from oddrow.errors import ParameterError
    from oddrow.recipes.recipe import described_recipes, load_recipe
    from oddrow.recipes.run import run_recipe

    if names:
        for line in described_recipes():
            _tell(line)
        return
    if name is None or data is None or out is None:
        raise ParameterError("recipe needs NAME --data FOLDER --out FOLDER. To see the names: oddrow recipe --list.")
    results = run_recipe(load_recipe(name), data, out, runs, tell=_tell, command=_command())
    _tell(results.to_markdown())


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", help="File to write, .csv or .parquet.")],
    rows: Annotated[int, typer.Option("--rows", help="Number of transactions.")] = 200_000,
    seed: Annotated[int, typer.Option("--seed", help="Random seed; the same seed gives the same rows.")] = 0,
) -> None:
    """Simulate card transactions.

    Customers pay at terminals. The payments include three kinds of fraud; a column names the kind.
    """
    from oddrow.workflow import demo

    demo.write_transactions(rows, out, seed=seed, tell=_tell)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path("demo"),
    rows: Annotated[int, typer.Option("--rows", help="Number of transactions.")] = 200_000,
    seed: Annotated[int, typer.Option("--seed", help="Random seed; the same seed gives the same demo.")] = 0,
) -> None:
    """Run the workflow on simulated payments.

    Simulates transactions, trains on the first weeks, scores and evaluates the rest.
    """
    from oddrow.workflow.demo import run

    run(out, rows, seed=seed, progress=True, tell=_tell)


def _tell(message: Any) -> None:
    from oddrow.cli.console import tell

    tell(message)


def _command() -> str:
    return shlex.join(["oddrow", *sys.argv[1:]])


def main(arguments: Any = None) -> None:
    """Run a command; print errors of oddrow as one message and exit with code 1."""
    from oddrow.errors import OddrowError

    try:
        app(arguments)
    except OddrowError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
