"""Python in a process of its own: what all of it takes, from its start to its end, and the most memory it holds."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

# The last line that it prints. Linux says it of this process alone; ru_maxrss begins with what the parent has held.
PEAK = """
import atexit, re, sys
def peak():
    with open("/proc/self/status") as status:
        return re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]
atexit.register(lambda: print(peak()))
"""
ODDROW = "from oddrow.cli.app import main; main(sys.argv[1:])"


@dataclass(frozen=True)
class Run:
    """Seconds of the whole process, the most bytes that it held, and what it printed."""

    seconds: float
    peak_bytes: int
    said: str


def run_python(code: str, *arguments: str | Path) -> Run:
    """Run code, which finds its arguments in `sys.argv[1:]`. Ends all where it fails."""
    command = [sys.executable, "-c", PEAK + code, *map(str, arguments)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command[3:])}: {done.stderr}")
    *said, peak = done.stdout.splitlines()
    return Run(seconds, 1024 * int(peak), "\n".join(said))


def run_oddrow(*arguments: str | Path) -> Run:
    """Run a command of oddrow."""
    return run_python(ODDROW, *arguments)


def kept(runs: Sequence[Run]) -> dict[str, Any]:
    """Runs of one command as plain values for JSON."""
    return {"seconds": [run.seconds for run in runs], "peak_bytes": [run.peak_bytes for run in runs]}


def median_s(of: dict[str, Any]) -> float:
    """Median seconds of what `kept` gave."""
    return float(median(of["seconds"]))


def peak_gb(of: dict[str, Any]) -> float:
    """The most memory of what `kept` gave, in 1e9 bytes."""
    return float(max(of["peak_bytes"])) / 1e9
