"""DAGMM training speed: oddrow against the same network in plain PyTorch, written here from the paper.

The network of Zong et al. (ICLR 2018) for KDD'99: compression 120-60-30-10-1-10-30-60-120, estimation 3-10-4 with
dropout 0.5; batches of 1,024, Adam at 1e-4, 0.1 × energy, 0.005 × covariance penalty; covariances with a floor of 1e-2
in both. As many random rows in [0, 1) as the paper trains on. Needs `make bench-setup`; then

    .venv-bench/bin/python benchmarks/dagmm_speed.py --json dagmm_speed.json

PyTorch runs with each number of threads to the end, and the goal is judged by the faster one: with two threads on a
busy machine it is ten times as slow, which a trial beforehand may not see. A repetition is three epochs. Everybody's
first call, with all compilation, is reported apart; the loss is that of its first epoch, and of equal weights both
compute the same.
"""

from __future__ import annotations

import argparse
import math
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from race import (
    Contestant,
    Once,
    Timing,
    machine,
    print_heading,
    print_table,
    race,
    spread,
    versions,
    write_json,
)

N_ROWS, N_COLUMNS = 198_371, 120
HIDDEN, LATENT = (60, 30, 10), 1
ESTIMATION, N_COMPONENTS = (10,), 4
BATCH_SIZE = 1024
LEARNING_RATE = 1e-4
DROPOUT = 0.5
LAMBDA_ENERGY, LAMBDA_COVARIANCE = 0.1, 0.005
COVARIANCE_FLOOR = 1e-2
EPOCHS = 3
# The paper's training on KDD'99.
ALL_EPOCHS = 200
GOAL, AIM, GOAL_S = 2.3, 4.0, 180


def random_rows(n_rows: int) -> npt.NDArray[np.float32]:
    """Rows (n_rows, N_COLUMNS), uniform in [0, 1)."""
    return np.random.default_rng(0).random((n_rows, N_COLUMNS), dtype=np.float32)


def oddrow_train(*, n_rows: int, threads: int) -> Once:
    """`oddrow.train.loop.train`, as the detectors call it, with the number of threads that JAX chooses."""
    import jax

    from oddrow.nets.dagmm import DAGMM
    from oddrow.train.loop import train
    from oddrow.train.training import Training

    rows = (random_rows(n_rows), np.empty((n_rows, 0), dtype=np.int32))
    training = Training(epochs=EPOCHS, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, clip_norm=None)
    sizes: tuple[Any, ...] = (N_COLUMNS, (), HIDDEN, LATENT, ESTIMATION, N_COMPONENTS, ("tanh",) * len(HIDDEN))
    network = DAGMM(
        *sizes,
        dropout=DROPOUT,
        lambda_energy=LAMBDA_ENERGY,
        lambda_covariance=LAMBDA_COVARIANCE,
        covariance_floor=COVARIANCE_FLOOR,
        key=jax.random.key(0),
    )
    return lambda: train(network, rows, training, seed=0).history[0]["loss"]


def pytorch_loop(*, n_rows: int, threads: int) -> Once:
    """A plain eager loop with fused Adam over batches of rows that were shuffled once an epoch."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    rows = torch.from_numpy(random_rows(n_rows))
    networks = pytorch_networks()
    adam = torch.optim.Adam(networks.parameters(), LEARNING_RATE, fused=True)

    def epoch() -> float:
        total = torch.zeros(())
        for batch in rows[torch.randperm(n_rows)].split(BATCH_SIZE):
            adam.zero_grad()
            loss = pytorch_loss(networks, batch)
            loss.backward()
            adam.step()
            total += loss.detach() * len(batch)
        return total.item() / n_rows

    def train() -> float:
        first, *_ = [epoch() for _ in range(EPOCHS)]
        return first

    return train


def pytorch_networks() -> Any:
    """Encoder, decoder and estimator; weights start as oddrow's do."""
    from torch import nn

    def stack(widths: tuple[int, ...], *between: type[nn.Module]) -> nn.Sequential:
        layers: list[nn.Module] = []
        for d_in, d_out in pairwise(widths):
            dense = nn.Linear(d_in, d_out)
            nn.init.xavier_uniform_(dense.weight)
            nn.init.zeros_(dense.bias)
            layers += [dense, *(kind() for kind in between)]
        return nn.Sequential(*layers[: len(layers) - len(between)])

    widths = (N_COLUMNS, *HIDDEN, LATENT)
    estimator = stack((LATENT + 2, *ESTIMATION, N_COMPONENTS), nn.Tanh, lambda: nn.Dropout(DROPOUT))  # type: ignore[arg-type]
    return nn.ModuleList([stack(widths, nn.Tanh), stack(widths[::-1], nn.Tanh), estimator])


def pytorch_loss(networks: Any, batch: Any) -> Any:
    """Equation 7 of the paper for one batch."""
    import torch

    encoder, decoder, estimator = networks
    code = encoder(batch)
    rebuilt = decoder(code)
    distance = (batch - rebuilt).norm(dim=1) / batch.norm(dim=1)
    cosine = torch.cosine_similarity(batch, rebuilt, dim=1)
    z = torch.cat([code, distance[:, None], cosine[:, None]], dim=1)
    energy, penalty = pytorch_energy(z, estimator(z).softmax(dim=1))
    error = (batch - rebuilt).square().sum(dim=1).mean()
    return error + LAMBDA_ENERGY * energy.mean() + LAMBDA_COVARIANCE * penalty


def pytorch_energy(z: Any, memberships: Any) -> tuple[Any, Any]:
    """The energy of every row under the mixture of the batch, and the sum of inverse variances (eq. 5 and 6)."""
    import torch

    n_of_each, width = memberships.sum(dim=0), z.shape[1]
    mean = memberships.T @ z / n_of_each[:, None]
    centred = z[:, None, :] - mean
    scatter = torch.einsum("nki,nkj->kij", centred * memberships[:, :, None], centred)
    covariance = scatter / n_of_each[:, None, None] + COVARIANCE_FLOOR * torch.eye(width)
    factor = torch.linalg.cholesky(covariance)
    whitened = torch.linalg.solve_triangular(factor, centred.permute(1, 2, 0), upper=False)
    log_scale = factor.diagonal(dim1=1, dim2=2).log().sum(dim=1) + 0.5 * width * math.log(2 * math.pi)
    log_share = (n_of_each / len(z)).log()
    energy = -torch.logsumexp((log_share - log_scale)[:, None] - 0.5 * whitened.square().sum(dim=1), dim=0)
    return energy, (1 / covariance.diagonal(dim1=1, dim2=2)).sum()


def contestants(n_rows: int, threads: list[int]) -> list[Contestant]:
    """oddrow, and PyTorch with every number of threads."""
    work = EPOCHS * n_rows
    peers = [Contestant("PyTorch loop", pytorch_loop, {"n_rows": n_rows}, work, n_threads) for n_threads in threads]
    return [Contestant("oddrow", oddrow_train, {"n_rows": n_rows}, work), *peers]


def all_epochs_s(timing: Timing) -> float:
    """Seconds for the paper's whole training, by the median."""
    return timing.median_s / timing.work * N_ROWS * ALL_EPOCHS


def line(timing: Timing, ours: Timing, n_rows: int) -> list[str]:
    """A line of the table: speeds by the medians, the ratio round by round."""
    n_steps = EPOCHS * -(-n_rows // BATCH_SIZE)
    per_step = [seconds / n_steps * 1e3 for seconds in timing.seconds]
    return [
        timing.title,
        f"{median(per_step):.2f}",
        spread(per_step, 2),
        f"{all_epochs_s(timing):.0f}",
        f"{timing.first_s:.1f}",
        f"{timing.outcome:.3f}",
        f"{median(ours.ratios(timing)):.1f}",
        spread(ours.ratios(timing)),
    ]


def print_results(timings: list[Timing], n_rows: int) -> None:
    """The table, and how the goals were met."""
    span = f"s for {ALL_EPOCHS} epochs of {N_ROWS:,} rows"
    header = "ms/step", "min–max", span, "first s", "loss", "oddrow is × as fast", "min–max"
    print_table([f"batch {BATCH_SIZE}", *header], [line(timing, timings[0], n_rows) for timing in timings])
    ours, *peers = timings
    best = min(peers, key=lambda timing: timing.median_s)
    ratio, seconds = median(ours.ratios(best)), all_epochs_s(ours)
    print(f"goal {GOAL} × {best.title}, aim {AIM:g}: {'met' if ratio >= GOAL else 'missed'}, {ratio:.1f} ×")
    print(f"goal under {GOAL_S} {span}: {'met' if seconds < GOAL_S else 'missed'}, {seconds:.0f} s")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=N_ROWS)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="for PyTorch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Race, print, keep."""
    options = parsed()
    facts = {**machine(), **versions("oddrow", "jax", "torch")}
    print_heading(f"Training DAGMM on {options.rows:,} × {N_COLUMNS}, {options.rounds} rounds", facts)
    timings = race(contestants(options.rows, options.threads), options.rounds)
    print_results(timings, options.rows)
    write_json(options.json, {"facts": facts, "rows": options.rows, "timings": [each.to_dict() for each in timings]})


if __name__ == "__main__":
    main()
