"""`Fingerprint`: which rows something was chosen on or learned from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oddrow.errors import ParameterError

Hashes = npt.NDArray[np.uint64]

SKETCH_SIZE = 1024


@dataclass(frozen=True)
class Fingerprint:
    """Which rows something came from: how many, SHA-256 over their sorted hashes, the 1,024 smallest ones.

    >>> rows = np.arange(5, dtype=np.uint64)
    >>> Fingerprint.of(rows).overlap(rows[:3])
    1.0
    """

    n_rows: int
    sha256: str
    sketch: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.sketch) > SKETCH_SIZE or not all(0 <= mark < 2**64 for mark in self.sketch):
            raise ParameterError(f"fingerprint.sketch: expected at most {SKETCH_SIZE:,} hashes of 64 bits.")

    @classmethod
    def of(cls, hashes: Hashes) -> Fingerprint:
        """The fingerprint of rows with these hashes, (n,) uint64."""
        ordered = np.sort(hashes)
        smallest = np.unique(ordered[: 4 * SKETCH_SIZE])
        if len(smallest) < SKETCH_SIZE:
            smallest = np.unique(ordered)
        return cls(len(hashes), hashlib.sha256(ordered.tobytes()).hexdigest(), tuple(smallest[:SKETCH_SIZE].tolist()))

    def is_of(self, hashes: Hashes) -> bool:
        """Whether these are the same rows, in whatever order."""
        return self.n_rows == len(hashes) and self.sha256 == hashlib.sha256(np.sort(hashes).tobytes()).hexdigest()

    def overlap(self, hashes: Hashes) -> float:
        """The share of the given rows that are among the fingerprinted ones; an estimate above 1,024 rows.

        Hashes are uniform, so the smallest of them are a fair sample of the rows (bottom-k sketch, Cohen 1997).
        """
        if not self.sketch or not len(hashes):
            return 0.0
        is_whole = len(self.sketch) < SKETCH_SIZE
        comparable = hashes if is_whole else hashes[hashes <= np.uint64(self.sketch[-1])]
        return float(np.isin(comparable, np.array(self.sketch, dtype=np.uint64)).mean()) if len(comparable) else 0.0
