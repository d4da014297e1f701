"""Scoring speed: oddrow against PyTorch and PyOD's AutoEncoder, from a NumPy array to a NumPy array of scores.

The network of the Keras fraud tutorial (29-14-7-7-29), standard-normal rows in float32, scores as the mean squared
error of a row. Needs `make bench-setup`; then

    .venv-bench/bin/python benchmarks/score_speed.py --json score_speed.json

`AutoencoderDetector.anomaly_score` pays for checking, scaling and the scores of single columns; PyTorch (eager,
no_grad) only runs the network, with the number of threads and rows in a block that are the best in a trial. PyOD's
decoder mirrors its encoder, hence 29-14-7-7-14-29; it runs without its batch normalisation and dropout, and is shown
with its own default of 32 rows in a block and with 4,096. Everybody's first call, with all compilation, is reported
apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from race import (
    Contestant,
    Once,
    Timing,
    fastest,
    machine,
    print_heading,
    print_table,
    race,
    spread,
    versions,
    write_json,
)
from train_speed import ACTIVATIONS, HIDDEN, N_COLUMNS, pytorch_network, random_rows

TORCH_BLOCKS = (4096, 65_536, 2**31)
PYOD_BLOCKS = (32, 4096)
# Like with like: PyTorch scores rows that are encoded already, PyOD takes them as they come.
GOALS = (("oddrow network alone", "PyTorch", 1), ("oddrow anomaly_score", "PyOD, blocks of 32", 20))
N_FIT = 20_000
# The trial for threads and blocks takes this share of the rows.
TRIAL_SHARE = 0.2


def oddrow_detector(*, n_rows: int, threads: int) -> Once:
    """`anomaly_score` of a fitted detector, with all its checks and scalings."""
    detector, rows = _fitted(), random_rows(n_rows)
    return lambda: float(detector.anomaly_score(rows).mean())


def oddrow_network(*, n_rows: int, threads: int) -> Once:
    """The network alone, in the detector's blocks."""
    from oddrow.detectors.scoring import score_in_blocks
    from oddrow.nets.autoencoder import Autoencoder

    network = _fitted().network_
    rows = (random_rows(n_rows), np.empty((n_rows, 0), dtype=np.int32))
    return lambda: float(score_in_blocks(Autoencoder.score, network, rows).mean())


def _fitted() -> Any:
    from oddrow.detectors.autoencoder import AutoencoderDetector
    from oddrow.train.training import Training

    detector = AutoencoderDetector(
        hidden=HIDDEN, activations=ACTIVATIONS, noise=0.0, scoring="mse", training=Training(epochs=2), random_state=0
    )
    return detector.fit(random_rows(N_FIT))


def pytorch(*, n_rows: int, block: int, threads: int) -> Once:
    """The same network in eager PyTorch without gradients."""
    import torch

    torch.set_num_threads(threads)
    network, rows = pytorch_network(), random_rows(n_rows)

    def score() -> npt.NDArray[np.float32]:
        with torch.no_grad():
            blocks = torch.from_numpy(rows).split(block)
            return torch.cat([(network(part) - part).square().mean(dim=1) for part in blocks]).numpy()

    return lambda: float(score().mean())


def pyod(*, n_rows: int, block: int, threads: int) -> Once:
    """PyOD's AutoEncoder, hardly trained: that changes nothing about the speed of scoring."""
    import torch
    from pyod.models.auto_encoder import AutoEncoder

    torch.set_num_threads(threads)
    detector = AutoEncoder(
        hidden_neuron_list=list(HIDDEN[:2]),
        hidden_activation_name="tanh",
        batch_norm=False,
        dropout_rate=0,
        epoch_num=1,
        batch_size=1024,
        verbose=0,
    )
    detector.fit(random_rows(N_FIT))
    rows = random_rows(n_rows)
    return lambda: float(detector.decision_function(rows, batch_size=block).mean())


def ours_entered(n_rows: int) -> list[Contestant]:
    """The whole of oddrow, and its network alone."""
    sizes = {"n_rows": n_rows}
    return [
        Contestant("oddrow anomaly_score", oddrow_detector, sizes, n_rows),
        Contestant("oddrow network alone", oddrow_network, sizes, n_rows),
    ]


def peers_entered(n_rows: int, n_pyod_rows: int, threads: list[int]) -> list[Contestant]:
    """Every peer with every number of threads; PyTorch is one name whatever its blocks, PyOD one for each size."""
    torch = [
        Contestant("PyTorch", pytorch, {"n_rows": n_rows, "block": block}, n_rows, n_threads)
        for block in TORCH_BLOCKS
        for n_threads in threads
    ]
    return torch + [
        Contestant(f"PyOD, blocks of {block}", pyod, {"n_rows": n_pyod_rows, "block": block}, n_pyod_rows, n_threads)
        for block in PYOD_BLOCKS
        for n_threads in threads
    ]


def line(timing: Timing, ours: Timing) -> list[str]:
    """A line of the table: speeds by the medians, the ratio round by round."""
    ratios = ours.ratios(timing)
    return [
        timing.title,
        f"{timing.rows_per_s:,.0f}",
        f"{timing.median_s / timing.work * 1e9:,.0f}",
        spread([seconds / timing.work * 1e9 for seconds in timing.seconds], 0),
        f"{timing.first_s:.2f}",
        f"{timing.outcome:.3f}",
        f"{median(ratios):.2f}",
        spread(ratios, 2),
    ]


def print_results(timings: list[Timing]) -> None:
    """The table, and how the goals were met."""
    header = "", "rows/s", "ns/row", "min–max", "first s", "mean score", "oddrow is × as fast", "min–max"
    print_table(header, [line(timing, timings[0]) for timing in timings])
    named = {timing.name: timing for timing in timings}
    for ours, peer, goal in GOALS:
        ratio = median(named[ours].ratios(named[peer]))
        print(f"goal {goal} × {peer} by {ours}: {'met' if ratio >= goal else 'missed'}, {ratio:.2f} ×")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--pyod-rows", type=int, default=50_000, help="PyOD scores fewer; speeds are in rows a second")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="tried for the peers")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Find the peers' best settings, race, print, keep."""
    options = parsed()
    facts = {**machine(), **versions("oddrow", "jax", "torch", "pyod")}
    print_heading(f"Scoring {options.rows:,} rows with {N_COLUMNS}-14-7-7-{N_COLUMNS}, {options.rounds} rounds", facts)
    trial = peers_entered(int(TRIAL_SHARE * options.rows), int(TRIAL_SHARE * options.pyod_rows), options.threads)
    peers = peers_entered(options.rows, options.pyod_rows, options.threads)
    best = [peers[place] for place in fastest(trial, rounds=3)]
    timings = race([*ours_entered(options.rows), *best], options.rounds)
    print_results(timings)
    print("PyTorch's best block:", next(peer.arguments["block"] for peer in best if peer.name == "PyTorch"), "rows")
    write_json(options.json, {"facts": facts, "rows": options.rows, "timings": [one.to_dict() for one in timings]})


if __name__ == "__main__":
    main()
