"""Training speed: oddrow's loop against Keras `fit` and a plain PyTorch loop.

The network of the Keras fraud tutorial (29-14-7-7-29; tanh, relu, tanh, linear), Adam at 1e-3, mean squared error, as
many standard-normal rows as the tutorial has; nobody validates, clips gradients or adds noise. Needs
`make bench-setup`; then

    .venv-bench/bin/python benchmarks/train_speed.py --json train_speed.json

Each peer runs with the number of threads that is the better one in a short trial. A repetition is one epoch, or five
where that is short. Everybody's first call, with all compilation, is a repetition too and is reported apart; the loss
is that of its first epoch.
"""

from __future__ import annotations

import argparse
import os
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

N_COLUMNS = 29
HIDDEN = (14, 7, 7)
ACTIVATIONS = ("tanh", "relu", "tanh")
LEARNING_RATE = 1e-3
GOALS = {(32, "Keras fit"): 40, (32, "PyTorch loop"): 20}
# From this batch size on the peers need less than a second for an epoch.
LARGE_BATCH = 256
EPOCHS_IF_SHORT = 5
# The trial for the number of threads takes this share of the rows.
TRIAL_SHARE = 0.05


def random_rows(n_rows: int) -> npt.NDArray[np.float32]:
    """Standard-normal rows (n_rows, N_COLUMNS)."""
    return np.random.default_rng(0).standard_normal((n_rows, N_COLUMNS), dtype=np.float32)


def oddrow_train(*, n_rows: int, batch_size: int, epochs: int, threads: int) -> Once:
    """`oddrow.train.loop.train`, as the detectors call it, with the number of threads that JAX chooses."""
    import jax

    from oddrow.nets.autoencoder import Autoencoder
    from oddrow.train.loop import train
    from oddrow.train.training import Training

    rows = (random_rows(n_rows), np.empty((n_rows, 0), dtype=np.int32))
    training = Training(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=LEARNING_RATE,
        clip_norm=None,
        patience=None,
    )
    network = Autoencoder(N_COLUMNS, (), HIDDEN, ACTIVATIONS, 0.0, key=jax.random.key(0))
    return lambda: train(network, rows, training, seed=0).history[0]["loss"]


def keras_fit(*, n_rows: int, batch_size: int, epochs: int, threads: int) -> Once:
    """Keras on TensorFlow, as in the tutorial."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    rows = random_rows(n_rows)
    dense = [keras.layers.Dense(*shape) for shape in zip(HIDDEN, ACTIVATIONS, strict=True)]
    network = keras.Sequential([keras.layers.Input((N_COLUMNS,)), *dense, keras.layers.Dense(N_COLUMNS)])
    network.compile(keras.optimizers.Adam(LEARNING_RATE), "mse")
    return lambda: network.fit(rows, rows, batch_size, epochs, verbose=0).history["loss"][0]


def pytorch_loop(*, n_rows: int, batch_size: int, epochs: int, threads: int) -> Once:
    """A plain loop with fused Adam over batches of rows that were shuffled once an epoch."""
    import torch

    torch.set_num_threads(threads)
    rows = torch.from_numpy(random_rows(n_rows))
    network = pytorch_network()
    adam = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True)

    def epoch() -> float:
        total = torch.zeros(())
        for batch in rows[torch.randperm(n_rows)].split(batch_size):
            adam.zero_grad()
            loss = torch.nn.functional.mse_loss(network(batch), batch)
            loss.backward()
            adam.step()
            total += loss.detach() * len(batch)
        return total.item() / n_rows

    def train() -> float:
        first, *_ = [epoch() for _ in range(epochs)]
        return first

    return train


def pytorch_network() -> Any:
    """The same network as `torch.nn.Sequential`."""
    from torch import nn

    activations = {"tanh": nn.Tanh, "relu": nn.ReLU}
    layers: list[nn.Module] = []
    for d_in, d_out, name in zip((N_COLUMNS, *HIDDEN), HIDDEN, ACTIVATIONS, strict=False):
        layers += [nn.Linear(d_in, d_out), activations[name]()]
    return nn.Sequential(*layers, nn.Linear(HIDDEN[-1], N_COLUMNS))


def contestants(n_rows: int, batch_size: int, threads: list[int]) -> list[Contestant]:
    """oddrow, and every peer with every number of threads."""
    epochs = EPOCHS_IF_SHORT if batch_size >= LARGE_BATCH else 1
    sizes = {"n_rows": n_rows, "batch_size": batch_size}
    ours = Contestant("oddrow", oddrow_train, {**sizes, "epochs": EPOCHS_IF_SHORT}, EPOCHS_IF_SHORT * n_rows)
    peers = [
        Contestant(name, build, {**sizes, "epochs": epochs}, epochs * n_rows, n_threads)
        for name, build in (("Keras fit", keras_fit), ("PyTorch loop", pytorch_loop))
        for n_threads in threads
    ]
    return [ours, *peers]


def at_their_best(n_rows: int, batch_size: int, threads: list[int]) -> list[Contestant]:
    """oddrow, and every peer with the number of threads that won a short trial."""
    n_trial = max(int(TRIAL_SHARE * n_rows), 2 * batch_size)
    places = fastest(contestants(n_trial, batch_size, threads), rounds=3)
    entered = contestants(n_rows, batch_size, threads)
    return [entered[place] for place in places]


def line(timing: Timing, ours: Timing, n_rows: int, batch_size: int) -> list[str]:
    """A line of the table: speeds by the medians, the ratio round by round."""
    n_steps = -(-n_rows // batch_size)
    per_step = [seconds / timing.work * n_rows / n_steps * 1e6 for seconds in timing.seconds]
    return [
        timing.title,
        f"{timing.rows_per_s:,.0f}",
        f"{median(per_step):,.1f}",
        spread(per_step),
        f"{timing.median_s / timing.work * n_rows:.3f}",
        f"{timing.first_s:.1f}",
        f"{timing.outcome:.3f}",
        f"{median(ours.ratios(timing)):.1f}",
        spread(ours.ratios(timing)),
    ]


def print_results(timings: list[Timing], n_rows: int, batch_size: int) -> None:
    """The table, and how the goals were met."""
    header = "rows/s", "µs/step", "min–max", "s/epoch", "first s", "loss", "oddrow is × as fast", "min–max"
    print_table([f"batch {batch_size}", *header], [line(timing, timings[0], n_rows, batch_size) for timing in timings])
    for peer in timings[1:]:
        if (goal := GOALS.get((batch_size, peer.name))) is not None:
            ratio = median(timings[0].ratios(peer))
            print(f"goal {goal} × {peer.name}: {'met' if ratio >= goal else 'missed'}, {ratio:.1f} ×")
    print()


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=226_381)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 1024])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="tried for the peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Race at every batch size, print, keep."""
    options = parsed()
    facts = {**machine(), **versions("oddrow", "jax", "keras", "tensorflow-cpu", "torch")}
    print_heading(f"Training {N_COLUMNS}-14-7-7-{N_COLUMNS} on {options.rows:,} rows, {options.rounds} rounds", facts)
    results = {}
    for batch_size in options.batches:
        entered = at_their_best(options.rows, batch_size, options.threads)
        timings = race(entered, options.rounds)
        print_results(timings, options.rows, batch_size)
        results[str(batch_size)] = [timing.to_dict() for timing in timings]
    write_json(options.json, {"facts": facts, "rows": options.rows, "by_batch_size": results})


if __name__ == "__main__":
    main()
