"""Fixed block sizes, so that nothing is compiled twice for tables of different lengths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt


def blocks(n_rows: int, sizes: tuple[int, int, int]) -> Iterator[tuple[int, int]]:
    """Yield the start and the size of the blocks that cover `n_rows`: large ones first, the last one may overhang.

    >>> list(blocks(2500, (10, 100, 1000)))
    [(0, 1000), (1000, 1000), (2000, 100), (2100, 100), (2200, 100), (2300, 100), (2400, 100)]
    """
    small, middle, large = sizes
    start = 0
    while start < n_rows:
        left = n_rows - start
        size = small if left <= small else middle if left < large else large
        yield start, size
        start += size


def block_of(values: npt.NDArray[Any], start: int, size: int) -> npt.NDArray[Any]:
    """Return `size` values from `start` on, padded with zeros."""
    part = values[start : start + size]
    short = size - len(part)
    return np.pad(part, ((0, short), *((0, 0) for _ in part.shape[1:]))) if short else part
