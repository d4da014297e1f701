"""What the tests share: small tables made on the spot, and the real data where it is."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# The shapes in the networks' annotations are checked at every call, in all tests.
install_import_hook("oddrow.nets", "beartype.beartype")

# How long an example takes says more about the machine than about the code.
settings.register_profile("calm", deadline=None)
settings.load_profile("calm")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data, named by ODDROW_DATA; tests that ask for it skip where it is absent."""
    folder = os.environ.get("ODDROW_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("ODDROW_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture
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
