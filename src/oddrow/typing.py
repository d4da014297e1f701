"""Types that many modules share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

# Receives what a command reports while it works: a line of text, a schema, an evaluation.
Tell: TypeAlias = Callable[[Any], None]


def silent(_: Any) -> None:
    """Report nothing."""
