"""Random numbers of our own: the global generator is never touched, not even for None."""

from __future__ import annotations

from typing import Any

import numpy as np


def generator(random_state: Any) -> np.random.Generator:
    """A generator from a seed, a `Generator`, a `RandomState` (which is moved on) or None."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    return np.random.default_rng(random_state)
