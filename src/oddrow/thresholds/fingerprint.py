"""`Fingerprint`: which rows a model was trained on, or its threshold chosen on, without keeping them."""

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
    """Identity of a set of rows, from which their overlap with other rows is estimated.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    sha256 : str
        SHA-256 over the sorted row hashes.
    sketch : tuple of int
        The smallest distinct row hashes, at most 1,024.

    Notes
    -----
    Hashes are uniform, so the smallest of them are a fair sample of the rows: a bottom-k sketch [1]_.

    References
    ----------
    .. [1] Cohen (1997). Size-estimation framework with applications to transitive closure and reachability. Journal
       of Computer and System Sciences 55(3).

    Examples
    --------
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
        """Return the fingerprint of rows.

        Parameters
        ----------
        hashes : ndarray of uint64, shape (n,)
            A hash of each row.

        Returns
        -------
        Fingerprint
            The same for the same rows in any order.
        """
        ordered = np.sort(hashes)
        smallest = np.unique(ordered[: 4 * SKETCH_SIZE])
        if len(smallest) < SKETCH_SIZE:
            smallest = np.unique(ordered)
        return cls(len(hashes), hashlib.sha256(ordered.tobytes()).hexdigest(), tuple(smallest[:SKETCH_SIZE].tolist()))

    def is_of(self, hashes: Hashes) -> bool:
        """Return whether these are the same rows, in any order.

        Parameters
        ----------
        hashes : ndarray of uint64, shape (n,)
            A hash of each row.

        Returns
        -------
        bool
            True for the same rows.
        """
        return self.n_rows == len(hashes) and self.sha256 == hashlib.sha256(np.sort(hashes).tobytes()).hexdigest()

    def overlap(self, hashes: Hashes) -> float:
        """Return the share of other rows that are among the fingerprinted ones.

        Parameters
        ----------
        hashes : ndarray of uint64, shape (n,)
            A hash of each of the other rows.

        Returns
        -------
        float
            Share in [0, 1]; an estimate if more than 1,024 distinct rows were fingerprinted.
        """
        if not self.sketch or not len(hashes):
            return 0.0
        is_whole = len(self.sketch) < SKETCH_SIZE
        comparable = hashes if is_whole else hashes[hashes <= np.uint64(self.sketch[-1])]
        return float(np.isin(comparable, np.array(self.sketch, dtype=np.uint64)).mean()) if len(comparable) else 0.0
