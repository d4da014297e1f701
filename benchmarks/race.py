"""Contestants in processes of their own, timed in turn: A B A B, so that a busy minute slows all of them alike."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

# What is timed; what it returns tells whether all contestants do the same.
Once = Callable[[], Any]


@dataclass(frozen=True)
class Contestant:
    """`build(threads=…, **arguments)` prepares and returns the function to time, which returns what is to be compared.

    `work` is what one call of that function gets done, in rows.
    """

    name: str
    build: Callable[..., Once]
    arguments: dict[str, Any]
    work: float
    threads: int = 0


@dataclass(frozen=True)
class Timing:
    """What a contestant took; `outcome` is what its first call returned, plain values for JSON."""

    name: str
    threads: int
    work: float
    first_s: float
    seconds: list[float] = field(repr=False)
    outcome: Any

    @property
    def title(self) -> str:
        """The name, with the number of threads where one was set."""
        return self.name + {0: "", 1: ", 1 thread"}.get(self.threads, f", {self.threads} threads")

    @property
    def median_s(self) -> float:
        """Median seconds of a call."""
        return median(self.seconds)

    @property
    def rows_per_s(self) -> float:
        """Rows in a second, by the median."""
        return self.work / self.median_s

    def ratios(self, other: Timing) -> list[float]:
        """How many times as many rows a second as the other, for each round of the race."""
        rounds = zip(self.seconds, other.seconds, strict=True)
        return [theirs / other.work * self.work / ours for ours, theirs in rounds]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "median_s": self.median_s, "rows_per_s": self.rows_per_s}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> Timing:
        """The timing that JSON keeps."""
        return cls(**{one.name: kept[one.name] for one in fields(cls)})


class Runner:
    """A contestant in its own process, so that no engine sees another's threads or memory."""

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        context = multiprocessing.get_context("spawn")
        self.connection, self.theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(contestant, self.theirs), daemon=True)
        self.seconds: list[float] = []

    def __enter__(self) -> Runner:
        """Start it and make the first call, which compiles and fills caches."""
        self.process.start()
        self.theirs.close()
        self.first_s, self.outcome = self._receive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # It ends by itself where it can, so that its engine lets go of what it holds; killing is for one that hangs.
        with suppress(OSError):
            self.connection.send(False)
        self.process.join(timeout=10)
        self.process.terminate()
        self.process.join()

    def go(self) -> None:
        """One timed call."""
        self.connection.send(True)
        self.seconds.append(self._receive()[0])

    def timing(self) -> Timing:
        """What was measured so far."""
        done = self.contestant
        return Timing(done.name, done.threads, done.work, self.first_s, self.seconds, self.outcome)

    def _receive(self) -> tuple[float, Any]:
        try:
            answer: tuple[float, Any] = self.connection.recv()
        except EOFError as error:
            raise SystemExit(f"{self.contestant.name}: its process ended, see above for why.") from error
        return answer


def _serve(contestant: Contestant, connection: Connection) -> None:
    """In the contestant's process: prepare, one timed call, then one more for each time that True is sent."""
    if contestant.threads:
        os.environ["OMP_NUM_THREADS"] = str(contestant.threads)
    once = contestant.build(threads=contestant.threads, **contestant.arguments)
    goes_on = True
    while goes_on:
        start = time.perf_counter()
        outcome = once()
        connection.send((time.perf_counter() - start, outcome))
        goes_on = connection.recv()


def race(contestants: Sequence[Contestant], rounds: int) -> list[Timing]:
    """Time all contestants, one after the other in each round; their first calls are timed apart."""
    with ExitStack() as stack:
        runners = [stack.enter_context(Runner(contestant)) for contestant in contestants]
        for _ in range(rounds):
            for runner in runners:
                runner.go()
        return [runner.timing() for runner in runners]


def at_their_best(kept: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of timings as JSON keeps them, the fastest of every name, whatever its number of threads."""
    by_speed = sorted(kept, key=lambda one: one["rows_per_s"], reverse=True)
    return [next(one for one in by_speed if one["name"] == name) for name in dict.fromkeys(one["name"] for one in kept)]


@dataclass(frozen=True)
class Goal:
    """What a measured figure is held against: `goal` is the least that will do, or with `at_most` the most.

    `why_missed` is said only where it is missed. `aim` is what was hoped for.
    """

    what: str
    goal: float
    unit: str = "×"
    aim: float | None = None
    at_most: bool = False
    why_missed: str = ""

    def is_met(self, measured: float) -> bool:
        """Whether this figure will do."""
        return measured <= self.goal if self.at_most else measured >= self.goal

    def cells(self, measured: float) -> list[str]:
        """What, the goal, what was measured, the verdict: a line of the table of all goals."""
        aim = "" if self.aim is None else f" (aim {self.aim:g})"
        bound = f"at {'most' if self.at_most else 'least'} {self.goal:g} {self.unit}{aim}"
        return [self.what, bound, f"{figure(measured)} {self.unit}", "met" if self.is_met(measured) else "missed"]

    def line(self, measured: float) -> str:
        """An item of a Markdown list."""
        what, bound, found, verdict = self.cells(measured)
        why = "" if self.is_met(measured) or not self.why_missed else f" {self.why_missed}"
        return f"- {what}: {found}, goal {bound}: **{verdict}**.{why}"


def numpy_product(*, side: int, threads: int) -> Once:
    """A square float32 matrix product by NumPy, on all cores."""
    import numpy as np

    left, right = np.random.default_rng(0).standard_normal((2, side, side), dtype=np.float32)
    return lambda: float((left @ right)[0, 0])


def pytorch_product(*, side: int, threads: int) -> Once:
    """The same by PyTorch."""
    import torch

    left, right = torch.randn(2, side, side)
    return lambda: float((left @ right)[0, 0])


def peak_gflops(side: int = 2048, rounds: int = 7) -> float:
    """The machine's peak in 1e9 float32 operations a second: a matrix product by whoever is faster, at its best."""
    builds = {"NumPy": numpy_product, "PyTorch": pytorch_product}
    return (
        best_rate([Contestant(name, build, {"side": side}, 2 * side**3) for name, build in builds.items()], rounds)
        / 1e9
    )


def best_rate(contestants: Sequence[Contestant], rounds: int) -> float:
    """Work in a second by the fastest call of all contestants."""
    return max(timing.work / min(timing.seconds) for timing in race(contestants, rounds))


def machine() -> dict[str, Any]:
    """Where it was measured, and how busy that was."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def versions(*packages: str) -> dict[str, str]:
    """The installed version of each package."""
    return {name: version(name) for name in packages}


def facts_line(facts: dict[str, Any]) -> str:
    """The machine and the versions in one line."""
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def print_heading(title: str, facts: dict[str, Any]) -> None:
    """A title and one line of facts under it."""
    print(f"\n{title}\n{facts_line(facts)}")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, numbers to the right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]
    cells.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join(_table_line(row, widths) for row in cells)


def _table_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "| " + " | ".join([cells[0].ljust(widths[0]), *aligned]) + " |"


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table."""
    print(table(header, rows))


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Smallest and largest, as in 3.1–4.0."""
    return f"{min(values):.{digits}f}–{max(values):.{digits}f}"


def figure(value: float) -> str:
    """A figure with three digits that count, or with all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def measure_and_keep(
    options: argparse.Namespace, measure: Callable[[Any], dict[str, Any]], section: Callable[[dict[str, Any]], str]
) -> None:
    """What every script does: measure, print its section of the page, keep the results where `--json` says."""
    results = measure(options)
    print(section(results))
    write_json(options.json, results)


def write_json(path: Path | None, results: dict[str, Any]) -> None:
    """Keep the results, where a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1) + "\n")
