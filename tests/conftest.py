"""What the tests share: small tables made on the spot, and the real data where it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import polars as pl
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from oddrow.train.compilation import keep_compiled_code

# With a test process on every core, OpenMP threads of scikit-learn that wait for one another spin: minutes are lost.
# Child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The shapes in the networks' annotations are checked at every call, in all tests.
install_import_hook("oddrow.nets", "beartype.beartype")

# Compiling takes most of the tests' time. The cache that users have, but for quick compilations too, shares what is
# compiled among all test files, their processes and later runs.
keep_compiled_code()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)  # type: ignore[no-untyped-call]

# How long an example takes says more about the machine than about the code.
settings.register_profile("calm", deadline=None)
settings.load_profile("calm")


@pytest.fixture(autouse=True, scope="module")
def compiled_code_of_one_file() -> Iterator[None]:
    """All that the tests compile takes more memory maps than Linux grants a process; each file has its own."""
    yield
    jax.clear_caches()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data, named by ODDROW_DATA; tests that ask for it skip where it is absent."""
    folder = os.environ.get("ODDROW_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("ODDROW_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def mixed() -> pl.DataFrame:
    """600 rows of every kind: numbers that go together, a category, a boolean, a time, an id, missing values."""
    rng = np.random.default_rng(7)
    amount = rng.lognormal(3, 1, 600)
    return pl.DataFrame(
        {
            "row_id": np.arange(600),
            "amount": amount,
            "fee": 0.1 * amount + rng.normal(0, 0.1, 600),
            "age": np.where(rng.random(600) < 0.1, np.nan, rng.normal(40, 9, 600)),
            "shop": rng.choice(["books", "food", "fuel"], 600, p=[0.2, 0.5, 0.3]),
            "online": rng.random(600) < 0.4,
            "time": pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 25, 23), "1h", eager=True),
            "fraud": (rng.random(600) < 0.05).astype(np.int8),
        },
    )


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def oddrow(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run the command line in this process: `oddrow("fit", path, "--out", folder)`."""
    from oddrow.cli.app import main

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        return Ran(int(exit.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def mixed_csv(mixed: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mixed` as a file."""
    path = tmp_path_factory.mktemp("tables") / "mixed.csv"
    mixed.write_csv(path)
    return path


# How the tests fit `mixed`, wherever they can: the same shapes are compiled only once.
FIT = (
    *("--label", "fraud", "--id", "row_id", "--time", "time", "--until", "2024-01-20"),
    # The default compiles three times as long; tests of its own fit it.
    *("--detector", "autoencoder", "--set", "training.epochs=2"),
)


@pytest.fixture(scope="session")
def fit_options() -> tuple[str, ...]:
    """Options that fit `mixed` quickly."""
    return FIT


@pytest.fixture(scope="session")
def model(mixed_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model fitted to the first 19 days of `mixed`; the tests read it and leave it as it is."""
    from oddrow.cli.app import main

    folder = tmp_path_factory.mktemp("models") / "model"
    with pytest.raises(SystemExit, match="0"):
        main(["fit", str(mixed_csv), "--out", str(folder), *FIT])
    return folder
