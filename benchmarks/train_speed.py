"""Training speed: oddrow's loop against Keras `fit`, a plain PyTorch loop and PyOD's AutoEncoder, on four networks.

Rows in a second, seconds until the same loss of held-out rows, and the share of what the machine can compute. Needs
`make bench-setup`; then

    .venv-bench/bin/python benchmarks/train_speed.py --json benchmarks/results/training.json

takes about five minutes on two quiet cores; `--full` trains on as many rows as was published. Everybody starts from the
same weights, has the same rows, Adam, learning rate and batches; nobody clips gradients or adds noise. Every peer runs
with each number of threads to the end and is judged by the better one: with two threads on a busy machine PyTorch can
be ten times as slow, which a trial beforehand may not see.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from curves import write_curves
from race import (
    Contestant,
    Goal,
    Timing,
    at_their_best,
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
from train_networks import NETWORKS, Network
from train_peers import (
    PYOD_ACTIVATIONS,
    keras_fit,
    oddrow_train,
    pyod_fit,
    pyod_flops_per_row,
    pyod_widths,
    pytorch_loop,
)

OURS, KERAS, PYTORCH = "oddrow", "Keras fit", "PyTorch loop"
PYOD = {"PyOD as it comes": False, "PyOD made alike": True}
# A call of oddrow's lasts a few epochs, so that it is no shorter than a third of a second; one of the peers lasts one.
OUR_EPOCHS = {"keras": 10, "dropout": 10, "dagmm": 3, "wide": 2}
# PyOD takes rows one by one; a fraction of them says how fast it is.
PYOD_SHARE = 8
HELD_OUT_SHARE = 0.25

GOALS = (
    (
        "keras",
        (KERAS, PYTORCH),
        Goal(
            "Training 29-14-7-7-29 at batch 32 against the faster of Keras and PyTorch",
            25,
            aim=40,
            why_missed="A step of 32 rows is a chain of small operations for everybody, and what each takes to start "
            "counts, not arithmetic: see the shares of the peak.",
        ),
    ),
    (
        "keras",
        (KERAS,),
        Goal(
            "Training 29-14-7-7-29 at batch 32 against Keras",
            50,
            why_missed="As for the goal above.",
        ),
    ),
    (
        "dropout",
        (KERAS, PYTORCH),
        Goal(
            "Training 30-14-7-4-7-14-30 at batch 64 against the faster of Keras and PyTorch",
            15,
            why_missed="An eighth of a step draws the random numbers of its two dropouts; the rest is a chain of small "
            "operations, as at batch 32.",
        ),
    ),
    (
        "dagmm",
        (PYTORCH,),
        Goal(
            "Training DAGMM 120-60-30-10-1 at batch 1,024 against PyTorch",
            2.5,
            why_missed="Three quarters of a step are the autoencoder's layers, where there is less to gain than in "
            "the mixture.",
        ),
    ),
    (
        "wide",
        (KERAS, PYTORCH),
        Goal(
            "Training 433-256-64-16-64-256-433 at batch 256 against the faster of Keras and PyTorch",
            1.2,
            why_missed="Matrix multiplication dominates a step, and at these shapes XLA's is slower on a CPU than "
            "the one PyTorch uses.",
        ),
    ),
)


def contestants(of: Network, n_rows: int, threads: list[int]) -> list[Contestant]:
    """oddrow, and every peer with every number of threads."""
    sizes = {"network": of.name, "n_rows": n_rows, "n_held_out": 0}
    epochs = OUR_EPOCHS[of.name]
    entered = [Contestant(OURS, oddrow_train, {**sizes, "epochs": epochs}, epochs * n_rows)]
    for n_threads in threads:
        for name, build in peers(of).items():
            entered.append(Contestant(name, build, {**sizes, "epochs": 1}, n_rows, n_threads))
        entered += [] if of.is_dagmm else pyod_contestants(of, n_rows, n_threads)
    return entered


def peers(of: Network) -> dict[str, Any]:
    """Who trains the very same network: Keras has no DAGMM."""
    return {PYTORCH: pytorch_loop} if of.is_dagmm else {KERAS: keras_fit, PYTORCH: pytorch_loop}


def pyod_contestants(of: Network, n_rows: int, n_threads: int) -> list[Contestant]:
    """PyOD twice, on whole batches only, for it leaves out a last short one."""
    # 32 rows is its own batch, which divides all others.
    n_pyod_rows = max(n_rows // PYOD_SHARE // of.batch_size, 2) * of.batch_size
    sizes = {"network": of.name, "n_rows": n_pyod_rows, "epochs": 1}
    return [
        Contestant(name, pyod_fit, {**sizes, "alike": alike}, n_pyod_rows, n_threads) for name, alike in PYOD.items()
    ]


def race_to_a_loss(of: Network, n_rows: int, fastest: list[Timing], rounds: int) -> list[Timing]:
    """Everybody trains the same epochs, and measures held-out rows after each; the outcome is these losses."""
    sizes = {"network": of.name, "n_rows": n_rows, "n_held_out": int(HELD_OUT_SHARE * n_rows), "epochs": of.epochs}
    builds = {OURS: oddrow_train, **peers(of)}
    entered = [
        Contestant(one.name, builds[one.name], sizes, of.epochs, one.threads) for one in fastest if one.name in builds
    ]
    return race(entered, rounds)


def measure_network(of: Network, options: argparse.Namespace) -> dict[str, Any]:
    """Both races of one network."""
    n_rows = options.rows or (of.n_full_rows if options.full else of.n_rows)
    n_to_learn = options.rows or of.n_to_learn
    timings = [timing.to_dict() for timing in race(contestants(of, n_rows, options.threads), options.rounds)]
    learning = race_to_a_loss(of, n_to_learn, restored(at_their_best(timings)), options.rounds_to_a_loss)
    return {
        "n_rows": n_rows,
        "n_to_learn": n_to_learn,
        "timings": timings,
        "learning": [timing.to_dict() for timing in learning],
        "peak_gflops": peak_gflops(),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All races, each with the machine's peak after it."""
    facts = {**machine(), **versions("oddrow", "jax", "keras", "tensorflow-cpu", "torch", "pyod")}
    networks = {name: measure_network(NETWORKS[name], options) for name in options.networks}
    return {"facts": facts, "rounds": options.rounds, "networks": networks}


def peak_of(results: dict[str, Any]) -> float:
    """The machine's peak in GFLOP/s: a busy minute may hide it, so the best of all networks' counts."""
    return float(max(found["peak_gflops"] for found in results["networks"].values()))


def restored(kept: list[dict[str, Any]]) -> list[Timing]:
    """Timings out of JSON."""
    return [Timing.from_dict(one) for one in kept]


def flops_per_row(of: Network, name: str) -> int:
    """Operations in the matrix products of a contestant's own network."""
    return pyod_flops_per_row(of, alike=PYOD[name]) if name in PYOD else of.flops_per_row


def speed_line(of: Network, timing: Timing, ours: Timing, peak: float) -> list[str]:
    """A line of the table of speeds: speeds by the medians, the ratio round by round."""
    gflops = timing.rows_per_s * flops_per_row(of, timing.name) / 1e9
    # PyOD as it comes has batches of its own.
    batch_size = 32 if PYOD.get(timing.name) is False else of.batch_size
    return [
        timing.title,
        f"{timing.rows_per_s:,.0f}",
        f"{batch_size / timing.rows_per_s * 1e6:,.0f}",
        figure(gflops),
        f"{figure(100 * gflops / peak)} %",
        f"{timing.first_s - timing.median_s:.1f}",
        f"{timing.outcome[0]:.4f}" if timing.outcome else "",
        *ratio_cells(timing, ours),
    ]


def ratio_cells(timing: Timing, ours: Timing) -> list[str]:
    """How many times as fast oddrow is: the median, and the least and largest of all rounds."""
    if timing is ours:
        return ["", ""]
    ratios = ours.ratios(timing)
    return [f"{median(ratios):.1f}", spread(ratios)]


def speed_table(of: Network, timings: list[Timing], peak: float) -> str:
    """Rows in a second, and what that is of the machine."""
    header = "rows/s", "µs/step", "GFLOP/s", "of the peak", "first call adds, s", "loss", "oddrow is ×", "min–max"
    return table(["", *header], [speed_line(of, timing, timings[0], peak) for timing in timings])


def to_a_loss(learning: list[Timing]) -> tuple[float, list[Timing]]:
    """The least loss that all have reached, and timings whose work is how many times a call gets there."""
    loss = max(min(timing.outcome) for timing in learning)
    needed = [next(epoch for epoch, found in enumerate(one.outcome, 1) if found <= loss) for one in learning]
    return loss, [replace(one, work=len(one.outcome) / epochs) for one, epochs in zip(learning, needed, strict=True)]


def loss_line(timing: Timing, ours: Timing) -> list[str]:
    """A line of the table of the race to a loss."""
    return [
        timing.title,
        f"{len(timing.outcome) / timing.work:.0f}",
        f"{timing.median_s / timing.work:.2f}",
        f"{timing.first_s - timing.median_s:.1f}",
        f"{min(timing.outcome):.4f}",
        *ratio_cells(timing, ours),
    ]


def loss_table(of: Network, n_to_learn: int, learning: list[Timing]) -> str:
    """Seconds until a loss, with a sentence that says which."""
    loss, timings = to_a_loss(learning)
    header = "epochs", "s", "first call adds, s", "lowest loss", "oddrow is ×", "min–max"
    held_out = f"{int(HELD_OUT_SHARE * n_to_learn):,} validation rows"
    return (
        f"Time until the loss of {held_out} is {loss:.4f}, the lowest that all reach within {of.epochs} epochs, with "
        f"{n_to_learn:,} training rows and a measurement after every epoch:\n\n"
        + table(["", *header], [loss_line(timing, timings[0]) for timing in timings])
    )


def described(of: Network, n_rows: int) -> str:
    """What the network is like, and how PyOD's differs."""
    dropout = f", dropout {', '.join(f'{share:g}' for share in of.dropout)}" if of.dropout else ""
    whole = f"{', '.join(of.activations)}{dropout}; {n_rows:,} rows, learning rate {of.learning_rate:g}.{of.note}"
    if of.is_dagmm:
        return f"{whole} Keras and PyOD have no such DAGMM. Operations of the mixture are not counted."
    widths = "-".join(map(str, pyod_widths(of, alike=True)))
    own = "-".join(map(str, pyod_widths(of, alike=False)))
    drops = f"dropout {max(of.dropout):g} after each of them" if of.dropout else "no dropout"
    return (
        f"{whole} PyOD with the same widths is {widths} with {PYOD_ACTIVATIONS[of.name]} in all hidden layers, "
        f"{drops}, no batch normalisation; with its defaults it is {own} with batch "
        "normalisation, dropout 0.2 and batches of 32."
    )


def network_parts(name: str, results: dict[str, Any]) -> Iterator[str]:
    """The paragraphs of one network."""
    of, found = NETWORKS[name], results["networks"][name]
    yield f"### {of.title}, batch {of.batch_size:,}"
    yield described(of, found["n_rows"])
    yield speed_table(of, restored(at_their_best(found["timings"])), peak_of(results))
    yield loss_table(of, found["n_to_learn"], restored(found["learning"]))


def goals(results: dict[str, Any]) -> list[tuple[Goal, float]]:
    """Every goal with what was measured: against the fastest of the peers that it names, the median of all rounds."""
    measured = []
    for name, named, goal in GOALS:
        if name in results["networks"]:
            ours, *others = restored(at_their_best(results["networks"][name]["timings"]))
            peer = max((one for one in others if one.name in named), key=lambda one: one.rows_per_s)
            measured.append((goal, median(ours.ratios(peer))))
    return measured


def section(results: dict[str, Any]) -> str:
    """The section of the page, in Markdown."""
    parts = [
        "## Training",
        facts_line(results["facts"]),
        f"Medians of {results['rounds']} rounds in turn, each library at its better number of threads. All start from "
        "the same weights, with the same rows (many columns driven by few factors), the same Adam and the same "
        "batches. Keras runs `fit`, PyTorch a plain loop with fused Adam. What the first call adds is mostly "
        "compilation. The peak is the float32 product of two 2,048 × 2,048 matrices in NumPy or PyTorch, whichever is "
        "faster, "
        f"{peak_of(results):,.0f} GFLOP/s; only matrix products of a network are counted. PyOD's `fit` is timed "
        "without its final scoring of the training rows. Row order and dropout masks differ between libraries, so one "
        "may need an epoch or two more by chance.",
    ]
    for name in results["networks"]:
        parts += network_parts(name, results)
    return "\n\n".join([*parts, "\n".join(goal.line(measured) for goal, measured in goals(results))]) + "\n"


def pictures(results: dict[str, Any], folder: Path) -> dict[str, str]:
    """The loss of held-out rows against seconds, of every network: file names, and what they show."""
    shown = {}
    for name, found in results["networks"].items():
        learning = restored(found["learning"])
        curves = {
            one.name: [(one.median_s * epoch / len(one.outcome), loss) for epoch, loss in enumerate(one.outcome, 1)]
            for one in learning
        }
        file = f"training-{name}.svg"
        write_curves(folder / file, curves, x="seconds of training", y="loss of validation rows")
        shown[file] = f"Loss of held-out rows against seconds of training, {NETWORKS[name].title}"
    return shown


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--full", action="store_true", help="as many rows as was published")
    parser.add_argument("--rows", type=int, help="so many for every network, to try the script")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="for the peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rounds-to-a-loss", type=int, default=3)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep."""
    measure_and_keep(parsed(), measure, section)


if __name__ == "__main__":
    main()
