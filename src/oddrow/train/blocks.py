"""Computation over rows in blocks of a few fixed sizes, so that nothing is compiled twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
import numpy.typing as npt

Place = tuple[int, int]


def in_blocks(
    function: Callable[[Any], Any],
    rows: Any,
    sizes: tuple[int, int, int],
    apply: Callable[[Callable[[Place], Any], Sequence[Place]], Iterable[Any]] = map,
) -> Any:
    """Return a function of rows, computed block by block; both are pytrees of arrays (n, …).

    `apply` is `map`, or a function like it that yields the results in the same order.
    """
    n_rows = jax.tree.leaves(rows)[0].shape[0]

    def of_block(place: Place) -> Any:
        return function(jax.tree.map(lambda leaf: block_of(leaf, *place), rows))

    results = apply(of_block, list(blocks(n_rows, sizes)))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:n_rows], *results)


@eqx.filter_jit
def compiled(function: Callable[..., Any], network: Any, *arguments: Any) -> Any:
    """Return `function(network, *arguments)`, compiled once for each shape of the arguments."""
    return function(network, *arguments)


def blocks(n_rows: int, sizes: tuple[int, int, int]) -> Iterator[Place]:
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
    block = values[start : start + size]
    short = size - len(block)
    return np.pad(block, ((0, short), *((0, 0) for _ in block.shape[1:]))) if short else block
