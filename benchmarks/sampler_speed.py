"""How fast rare rows are made: oddrow's CVAE against CTGAN's TVAE, and against SDV's conditions on it.

A table of credit card payments: 492 frauds, and normal rows drawn again from the sample at hand until there are 20,000.
Three races: training for as many epochs (a whole `fit`, with all that it does beforehand), sampling rows, and sampling
1,000 frauds, which SDV does by throwing away what is none. On as many rows as the public file has, 284,807, a `fit` of
TVAE takes five minutes for three epochs, most of it before the first; there oddrow's whole default training is timed
once, with early stopping. Needs $ODDROW_DATA/creditcard_ulb and `make sdv-setup`; then

    .venv-sdv/bin/python benchmarks/sampler_speed.py --json sampler_speed.json

Everybody's first call, with all compilation, is no round. TVAE has its own defaults (128-128, batch 500), on the
CPU with the number of threads that PyTorch chooses. 2.5 % of the rows are frauds, 14 times as many as in the public
file, so that SDV throws fewer rows away; where it gives up before it has all frauds, the seconds for each one that it
found are compared.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from prepare_tables import creditcard
from race import Contestant, Once, Timing, machine, print_heading, print_table, race, spread, versions, write_json

N_ROWS, N_PUBLIC = 20_000, 284_807
EPOCHS = 3
N_SAMPLED = 200_000
N_FRAUDS = 1000
TVAE_EPOCHS = 30
GOAL_FIT_S, GOAL_ROWS_PER_S, GOAL_TVAE, GOAL_SDV = 60, 200_000, 20, 50


def write_table(path: Path, n_rows: int) -> None:
    """The frauds, and the normal rows drawn again, with a little noise."""
    rows = creditcard(Path(os.environ["ODDROW_DATA"])).drop("weight")
    rng = np.random.default_rng(0)
    frauds, normal = rows.filter(pl.col("Class") == 1), rows.filter(pl.col("Class") == 0)
    drawn = normal[rng.integers(0, normal.height, n_rows - frauds.height)]
    noise = pl.Series(rng.normal(1, 0.001, drawn.height))
    numbers = [column for column in rows.columns if column != "Class"]
    pl.concat([frauds, drawn.with_columns(pl.col(numbers) * noise)]).write_parquet(path)


def oddrow_fit(*, table: str, epochs: int | None, threads: int) -> Once:
    """A whole `fit`; with no number of epochs the default training, which stops by itself."""
    from oddrow import CVAESampler, Training

    rows = pl.read_parquet(table)
    X, y = rows.drop("Class"), rows["Class"].to_numpy()
    # TVAE holds nothing out.
    training = None if epochs is None else Training(epochs=epochs, batch_size=512, validation_fraction=0)
    return lambda: CVAESampler(training=training, random_state=0).fit(X, y).loss_curve_[-1]["loss"]


def oddrow_sample(*, table: str, n: int, threads: int) -> Once:
    """n frauds in one pass."""
    from oddrow import CVAESampler, Training

    rows = pl.read_parquet(table)
    sampler = CVAESampler(training=Training(epochs=1, batch_size=512), random_state=0)
    sampler.fit(rows.drop("Class"), rows["Class"].to_numpy())
    return lambda: float(len(sampler.sample(n, 1)))


def tvae_fit(*, table: str, epochs: int, threads: int) -> Once:
    """CTGAN's TVAE on the same rows, the class as a discrete column."""
    from ctgan import TVAE

    rows = pl.read_parquet(table).to_pandas()

    def fit() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = TVAE(epochs=epochs)
            model.fit(rows, ["Class"])
        return float(model.loss_values["Loss"].iloc[-1])

    return fit


def tvae_sample(*, table: str, n: int, threads: int) -> Once:
    """n rows of any class."""
    from ctgan import TVAE

    rows = pl.read_parquet(table).to_pandas()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = TVAE(epochs=1)
        model.fit(rows, ["Class"])
    return lambda: float(len(model.sample(n)))


def sdv_conditions(*, table: str, n: int, threads: int) -> Once:
    """n frauds by SDV's conditions on its TVAE; returns how many it found before it gave up."""
    from sdv.metadata import Metadata
    from sdv.sampling import Condition
    from sdv.single_table import TVAESynthesizer

    rows = pl.read_parquet(table).to_pandas().astype({"Class": str})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = TVAESynthesizer(Metadata.detect_from_dataframes({"rows": rows}), epochs=TVAE_EPOCHS)
        model.fit({"rows": rows})

    def sample() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                made = model.sample_from_conditions([Condition({"Class": "1"}, num_rows=n)])
            except ValueError:
                return 0.0
        return float(len(made["rows"]))

    return sample


def told(what: str, ours: Timing, theirs: Timing, goal: float | None) -> list[list[str]]:
    """Two lines of the table: rows a second, and how many times as many they are."""
    ratios = ours.ratios(theirs)
    lines = [
        [f"{what}: {each.title}", f"{each.median_s:.2f}", spread(each.seconds, 2), f"{each.rows_per_s:,.0f}"]
        for each in (ours, theirs)
    ]
    return [[*lines[0], f"{median(ratios):.1f}", spread(ratios), f"{goal or ''}"], [*lines[1], "", "", ""]]


def raced(ours: Contestant, theirs: Contestant, rounds: int) -> tuple[Timing, Timing]:
    """Both, one after the other in each round."""
    one, two = race([ours, theirs], rounds)
    return one, two


def per_fraud(timing: Timing) -> Timing:
    """The same, with as much work as was really got: frauds found."""
    return replace(timing, work=max(timing.outcome, 1.0))


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=N_ROWS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def races(table: str, n_rows: int, rounds: int) -> dict[str, tuple[Timing, Timing]]:
    """The three of them: oddrow first, its peer second."""
    work = EPOCHS * n_rows
    fits = raced(
        Contestant("oddrow CVAE", oddrow_fit, {"table": table, "epochs": EPOCHS}, work),
        Contestant("CTGAN's TVAE", tvae_fit, {"table": table, "epochs": EPOCHS}, work),
        rounds,
    )
    rows = {"table": table, "n": N_SAMPLED}
    samples = raced(
        Contestant("oddrow CVAE", oddrow_sample, rows, N_SAMPLED),
        Contestant("CTGAN's TVAE", tvae_sample, rows, N_SAMPLED),
        rounds,
    )
    frauds = {"table": table, "n": N_FRAUDS}
    ours, theirs = raced(
        Contestant("oddrow CVAE", oddrow_sample, frauds, N_FRAUDS),
        Contestant("SDV's conditions", sdv_conditions, frauds, N_FRAUDS),
        rounds,
    )
    return {"fit": fits, "sample": samples, "frauds": (ours, per_fraud(theirs))}


def print_results(found: dict[str, tuple[Timing, Timing]], whole_s: float) -> None:
    """The table, and how the goals were met."""
    lines = [
        *told(f"fit, {EPOCHS} epochs", *found["fit"], GOAL_TVAE),
        *told(f"{N_SAMPLED:,} rows", *found["sample"], None),
        *told(f"{N_FRAUDS:,} frauds", *found["frauds"], GOAL_SDV),
    ]
    print_table(("", "median s", "min–max", "rows/s", "times as fast", "min–max", "goal"), lines)
    print(f"SDV found {found['frauds'][1].outcome:,.0f} of {N_FRAUDS:,} frauds.")
    print(f"oddrow's whole default training on {N_PUBLIC:,} rows: {whole_s:.0f} s (goal {GOAL_FIT_S}), with compiling;")
    print(f"sampling: {found['sample'][0].rows_per_s:,.0f} rows/s (goal {GOAL_ROWS_PER_S:,}).")


def main() -> None:
    """Race, print, keep."""
    options = parsed()
    if not os.environ.get("ODDROW_DATA"):
        sys.exit("Set ODDROW_DATA to a folder that holds creditcard_ulb/creditcard_union.parquet.")
    facts = {**machine(), **versions("oddrow", "jax", "torch", "ctgan", "sdv")}
    with tempfile.TemporaryDirectory() as folder:
        smaller, public = Path(folder, "raced.parquet"), Path(folder, "public.parquet")
        write_table(smaller, options.rows)
        write_table(public, N_PUBLIC)
        found = races(str(smaller), options.rows, options.rounds)
        started = time.perf_counter()
        oddrow_fit(table=str(public), epochs=None, threads=0)()
        whole_s = time.perf_counter() - started
    print_heading(f"Making rare rows, from {options.rows:,} × 30, {options.rounds} rounds", facts)
    print_results(found, whole_s)
    kept = {name: [timing.to_dict() for timing in pair] for name, pair in found.items()}
    write_json(options.json, {"facts": facts, "rows": options.rows, "whole_fit_s": whole_s, **kept})


if __name__ == "__main__":
    main()
