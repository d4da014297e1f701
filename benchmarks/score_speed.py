"""Scoring speed: oddrow against PyTorch, ONNX Runtime, PyOD's AutoEncoder and scikit-learn's IsolationForest.

The network of the Keras fraud tutorial (29-14-7-7-29), a row's score is its mean squared error. Needs
`make bench-setup`; then

    .venv-bench/bin/python benchmarks/score_speed.py --json benchmarks/results/scoring.json

A saved model is loaded and given rows as they come, which are checked and scaled; PyTorch (eager, without gradients)
and ONNX Runtime only run the network, on float32 rows that are scaled already, as "oddrow network alone" does. Every
peer runs with each number of threads, PyTorch and ONNX Runtime with each number of rows in a block too, and is judged
by its best.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from math import prod
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from race import (
    Contestant,
    Goal,
    Once,
    Timing,
    at_their_best,
    best_rate,
    facts_line,
    figure,
    machine,
    measure_and_keep,
    peak_gflops,
    race,
    spread,
    table,
    versions,
)
from score_peers import (
    NETWORK,
    isolation_forest,
    oddrow_array,
    oddrow_frame,
    oddrow_network,
    onnx_runtime,
    pyod,
    pytorch,
    save_models,
)

BLOCKS = (4096, 65_536, 2**31)
PYOD_BLOCKS = (32, 4096)
ARRAY, FRAME, ALONE = "oddrow, saved model, float64 array", "oddrow, saved model, polars frame", "oddrow network alone"
PYTORCH, ONNX, FOREST = "PyTorch network alone", "ONNX Runtime network alone", "IsolationForest"
PYOD_NAMES = {block: f"PyOD, blocks of {block:,}" for block in PYOD_BLOCKS}
TANH_SIZE, TANH_CALLS = 2**18, 16

SCALED_ALREADY = "It runs the bare network on float32 rows that are already checked and scaled."
NARROW = "Layers of 7 to 29 units cannot reach the rate of large matrix products; no library does."
LAYER_BY_LAYER = (
    "XLA writes the output of each layer to memory and reads it again, and its narrow products are slower. Other "
    "block sizes are no faster."
)
GOALS = (
    *(
        (ARRAY, peer, Goal(f"Scoring by a saved model against {peer}", 1, aim=aim, why_missed=why))
        for peer, aim, why in (
            (PYTORCH, None, SCALED_ALREADY),
            (ONNX, None, SCALED_ALREADY),
            (PYOD_NAMES[32], 20, ""),
            (PYOD_NAMES[4096], None, ""),
            (FOREST, None, ""),
        )
    ),
    (ALONE, PYTORCH, Goal("Scoring by the network alone against PyTorch", 1, why_missed=LAYER_BY_LAYER)),
    (ALONE, ONNX, Goal("Scoring by the network alone against ONNX Runtime", 1, why_missed=LAYER_BY_LAYER)),
)
BOUND_GOALS = (
    (
        ARRAY,
        Goal("Scoring by a saved model", 0.25, "of the bound", why_missed=f"It also checks and scales rows. {NARROW}"),
    ),
    (ALONE, Goal("Scoring by the network alone", 0.25, "of the bound", why_missed=NARROW)),
)


def ours_entered(models: str, n_rows: int) -> list[Contestant]:
    """The whole of oddrow, from an array and from a frame, and its network alone."""
    builds = {ARRAY: oddrow_array, FRAME: oddrow_frame, ALONE: oddrow_network}
    return [Contestant(name, build, {"models": models, "n_rows": n_rows}, n_rows) for name, build in builds.items()]


def peers_entered(models: str, n_rows: int, n_slow_rows: int, threads: Sequence[int]) -> list[Contestant]:
    """Every peer with every number of threads; PyTorch is one name whatever its blocks, PyOD one for each size."""
    fast: list[tuple[str, Any, int, dict[str, Any]]] = [
        (name, build, n_rows, {"block": block})
        for name, build in ((PYTORCH, pytorch), (ONNX, onnx_runtime))
        for block in BLOCKS
    ]
    slow = [(PYOD_NAMES[block], pyod, n_slow_rows, {"block": block}) for block in PYOD_BLOCKS]
    return [
        Contestant(name, build, {"models": models, "n_rows": n, **more}, n, n_threads)
        for name, build, n, more in [*fast, *slow, (FOREST, isolation_forest, n_slow_rows, {})]
        for n_threads in threads
    ]


def numpy_tanh(*, threads: int) -> Once:
    """tanh by NumPy of float32 numbers that stay in the cache; so do the other two."""
    numbers = tanh_numbers()
    found = np.empty_like(numbers)
    return lambda: float([np.tanh(numbers, out=found) for _ in range(TANH_CALLS)][-1][0])


def pytorch_tanh(*, threads: int) -> Once:
    """tanh by PyTorch on all cores."""
    import torch

    numbers = torch.from_numpy(tanh_numbers())
    found = torch.empty_like(numbers)
    return lambda: float([torch.tanh(numbers, out=found) for _ in range(TANH_CALLS)][-1][0])


def jax_tanh(*, threads: int) -> Once:
    """tanh by XLA."""
    import jax

    numbers, tanh = jax.numpy.asarray(tanh_numbers()), jax.jit(jax.numpy.tanh)
    return lambda: float([tanh(numbers).block_until_ready() for _ in range(TANH_CALLS)][-1][0])


def tanh_numbers() -> Any:
    """Standard-normal numbers."""
    return np.random.default_rng(0).standard_normal(TANH_SIZE, dtype=np.float32)


def tanh_per_s(rounds: int = 7) -> float:
    """How many tanh of float32 numbers the machine computes in a second, by the fastest of three at its best."""
    builds = {"NumPy": numpy_tanh, "PyTorch": pytorch_tanh, "JAX": jax_tanh}
    work = TANH_SIZE * TANH_CALLS
    return best_rate([Contestant(name, build, {}, work) for name, build in builds.items()], rounds)


def rates() -> dict[str, float]:
    """What the machine can do now: measured twice, since a busy minute hides it."""
    return {"peak_gflops": peak_gflops(), "tanh_per_s": tanh_per_s()}


def work_per_row() -> tuple[int, int]:
    """Operations in the matrix products for a row, and how many tanh."""
    flops = sum(2 * prod(shape) for shape in pairwise(NETWORK.widths))
    layers = zip(NETWORK.widths[1:], NETWORK.activations, strict=True)
    return flops, sum(width for width, activation in layers if activation == "tanh")


def bound(results: dict[str, Any]) -> float:
    """Rows in a second if matrix products and tanh, at the machine's measured rates, were all."""
    flops, n_tanh = work_per_row()
    return float(1 / (flops / (1e9 * results["peak_gflops"]) + n_tanh / results["tanh_per_s"]))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Race everybody, and measure what the machine can do."""
    facts = {**machine(), **versions("oddrow", "jax", "torch", "onnxruntime", "pyod", "scikit-learn")}
    before = rates()
    with TemporaryDirectory() as models:
        save_models(Path(models))
        peers = peers_entered(models, options.rows, options.slow_rows, options.threads)
        entered = [*ours_entered(models, options.rows), *peers]
        timings = race(entered, options.rounds)
    return {
        "facts": facts,
        "rows": options.rows,
        "slow_rows": options.slow_rows,
        "rounds": options.rounds,
        "timings": [
            {**timing.to_dict(), "block": one.arguments.get("block")}
            for one, timing in zip(entered, timings, strict=True)
        ],
        **{name: max(rate, before[name]) for name, rate in rates().items()},
    }


def restored(results: dict[str, Any]) -> dict[str, Timing]:
    """Timings out of JSON, of every name the best."""
    return {one["name"]: Timing.from_dict(one) for one in at_their_best(results["timings"])}


def line(timing: Timing, named: dict[str, Timing], most: float) -> list[str]:
    """A line of the table: speeds by the medians, ratios round by round."""
    by_array, alone = (named[ours].ratios(timing) for ours in (ARRAY, ALONE))
    return [
        timing.title,
        f"{timing.rows_per_s:,.0f}",
        f"{timing.median_s / timing.work * 1e9:,.0f}",
        f"{figure(100 * timing.rows_per_s / most)} %",
        f"{timing.first_s - timing.median_s:.2f}",
        f"{timing.outcome:.3f}",
        f"{median(by_array):.2f}",
        spread(by_array, 2),
        f"{median(alone):.2f}",
        spread(alone, 2),
    ]


def goals(results: dict[str, Any]) -> list[tuple[Goal, float]]:
    """Every goal with what was measured."""
    named, most = restored(results), bound(results)
    return [
        *((goal, median(named[ours].ratios(named[peer]))) for ours, peer, goal in GOALS),
        *((goal, named[ours].rows_per_s / most) for ours, goal in BOUND_GOALS),
    ]


def described(results: dict[str, Any]) -> str:
    """What is compared, and with what the bound is reckoned."""
    flops, n_tanh = work_per_row()
    blocks = {one["name"]: min(one["block"] or 0, results["rows"]) for one in at_their_best(results["timings"])}
    return (
        f"{results['rows']:,} rows with {NETWORK.title}, {results['slow_rows']:,} for PyOD and IsolationForest. "
        f"Medians of {results['rounds']} rounds in turn, each library at its better number of threads and its best "
        f"block size: {blocks[PYTORCH]:,} rows for PyTorch, {blocks[ONNX]:,} for ONNX Runtime. A saved model, PyOD and "
        "IsolationForest take raw rows; the networks alone take scaled rows, so their mean score differs and is equal "
        "for all three. PyOD is 29-14-7-14-29, because its decoder mirrors its encoder, and its score is a distance; "
        "IsolationForest has its defaults. What the first call adds is compilation; a saved model finds compiled code "
        "on disk.\n\n"
        f"The bound is the rate of {flops:,} operations at {results['peak_gflops']:,.0f} GFLOP/s and {n_tanh} tanh "
        f"at {results['tanh_per_s'] / 1e9:.2f} billion a second: {bound(results):,.0f} rows/s."
    )


def section(results: dict[str, Any]) -> str:
    """The section of the page, in Markdown."""
    named, most = restored(results), bound(results)
    header = ["rows/s", "ns/row", "of the bound", "first call adds, s", "mean score"]
    ratios = ["saved model is ×", "min–max", "network alone is ×", "min–max"]
    parts = [
        "## Scoring",
        facts_line(results["facts"]),
        described(results),
        table(["", *header, *ratios], [line(timing, named, most) for timing in named.values()]),
        "\n".join(goal.line(measured) for goal, measured in goals(results)),
    ]
    return "\n\n".join(parts) + "\n"


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--slow-rows", type=int, default=50_000, help="PyOD and IsolationForest score fewer")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="tried for the peers")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep."""
    measure_and_keep(parsed(), measure, section)


if __name__ == "__main__":
    main()
