"""Scoring in blocks of a few fixed sizes: each size compiles once, and companions do not change a row's score."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np
import numpy.typing as npt

from oddrow.train.blocks import compiled, in_blocks
from oddrow.train.shards import parts_of, row_count

# From the largest size on, XLA spreads a block over the cores.
BLOCKS = (256, 4096, 32_768)

# Memory for the values that a sum over rows holds at once.
SUMMED_BYTES = 2**26

# While the network scores one slice of a table, the next one is encoded; likewise for blocks of encoded rows.
SLICES_AT_ONCE = 2

T = TypeVar("T")
R = TypeVar("R")


def score_in_blocks(function: Callable[..., Any], network: Any, rows: Any) -> npt.NDArray[np.float32]:
    """Return `function(network, rows)` as one array (n, …); rows are a pytree of arrays (n, …) or `Shards`.

    Rows go in blocks of 32,768, the last ones in smaller blocks; short blocks are filled with zeros.
    """
    return np.concatenate([_scored(function, network, part) for part in parts_of(rows)])


def _scored(function: Callable[..., Any], network: Any, rows: Any) -> npt.NDArray[np.float32]:
    scores: npt.NDArray[np.float32] = in_blocks(
        lambda block: np.asarray(compiled(function, network, block)), rows, BLOCKS, _apply
    )
    return scores


def _apply(function: Callable[[T], R], places: Sequence[T]) -> Iterable[R]:
    # A single block, as for each slice of a table, needs no threads of its own.
    return map(function, places) if len(places) == 1 else two_at_a_time(function, places)


def mean_in_blocks(function: Callable[..., Any], network: Any, rows: Any) -> npt.NDArray[np.float64]:
    """Return the mean over all rows of what `score_in_blocks` gives, without holding it whole."""
    total: Any = 0.0
    for part in parts_of(rows):
        total = total + _summed(function, network, part)
    mean: npt.NDArray[np.float64] = np.asarray(total) / row_count(rows)
    return mean


def _summed(function: Callable[..., Any], network: Any, rows: Any) -> Any:
    n_rows = jax.tree.leaves(rows)[0].shape[0]
    at_once = _rows_at_once(function, network, rows)
    total: Any = 0.0
    for start in range(0, n_rows, at_once):
        part = jax.tree.map(lambda leaf, start=start: leaf[start : start + at_once], rows)
        total = total + _scored(function, network, part).sum(axis=0, dtype=np.float64)
    return total


def _rows_at_once(function: Callable[..., Any], network: Any, rows: Any) -> int:
    """Return how many rows make whole blocks whose results stay below `SUMMED_BYTES`."""
    of_one = eqx.filter_eval_shape(function, network, jax.tree.map(lambda leaf: leaf[:1], rows))
    within = SUMMED_BYTES // (of_one.size * of_one.dtype.itemsize)
    block = max(size for size in BLOCKS if size <= max(within, BLOCKS[0]))
    return block if block == BLOCKS[0] else within // block * block


def two_at_a_time(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield the function of each item, in order; the next is computed while one is waited for."""
    with ThreadPoolExecutor(SLICES_AT_ONCE) as pool:
        pending: deque[Future[R]] = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > SLICES_AT_ONCE:
                yield pending.popleft().result()
        for future in pending:
            yield future.result()
