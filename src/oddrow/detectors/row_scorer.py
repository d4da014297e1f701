"""`RowScorer`: the score of one row, a dict, in a fraction of a millisecond."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from oddrow.detectors.base import Detector
from oddrow.detectors.block_scoring import BLOCKS, score_in_blocks
from oddrow.encoding.encoder import Encoded, TableEncoder
from oddrow.encoding.row_encoder import RowEncoder
from oddrow.train.compilation import keep_compiled_code

# Smaller than the smallest block of a table, and faster; XLA mostly adds up in the same order there. In still smaller
# blocks its matrix products take another path.
BLOCK_SIZES = (64, 128, BLOCKS[0])

N_TRIALS = 4

# Waking a second thread takes longer than half of so small a block.
ONE_THREAD: dict[str, str | bool] = {"xla_disable_hlo_passes": "cpu-parallel-task-assigner"}

# Polls for the result before sleeping until it is there: waking up takes as long as the network.
MAX_POLLS = 200

_give_way: Callable[[], None] = getattr(os, "sched_yield", lambda: None)


class RowScorer:
    """Score one row at a time, for services that receive rows one by one.

    A call takes some 0.15 ms instead of the 6 ms of a table with one row, and returns the same score to the last bit.
    Making a scorer takes up to a few seconds, because the network is compiled again and compared with the detector.

    Parameters
    ----------
    detector : Detector
        A fitted detector. The scorer keeps it as it is now: after another `fit`, make another scorer.

    See Also
    --------
    Artifact.row_decider : Also applies the threshold of a saved model.

    Notes
    -----
    Several threads may share a scorer. Values that only a table can read, such as a Decimal or a number given as text,
    take as long as a table.

    Examples
    --------
    >>> from oddrow import AutoencoderDetector, Training
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> detector = AutoencoderDetector(hidden=(4,), training=Training(epochs=1), random_state=0).fit(X)
    >>> score_row = RowScorer(detector)
    >>> score_row({"x0": 0.5, "x1": None}) == detector.anomaly_score(np.array([[0.5, np.nan]]))[0]
    np.True_
    """

    def __init__(self, detector: Detector) -> None:
        check_is_fitted(detector)
        keep_compiled_code()
        self._encode = RowEncoder(detector.schema_, detector.encoder_)
        self._block = _smallest_block(detector.network_, detector.encoder_)
        self._check_finite = detector._finite

    def __call__(self, row: Mapping[str, Any]) -> float:
        """Score a row: higher is odder.

        Parameters
        ----------
        row : mapping of str to value
            Values by column name: numbers, text, booleans, dates and times or their ISO text. None and NaN are missing.
            Other keys than the detector's columns are ignored.

        Returns
        -------
        float
            The anomaly score.

        Raises
        ------
        TableError
            If a column is missing or its value is of another kind, as for a table.
        TrainingError
            If the score is not finite, because training has diverged.
        """
        score = self._block.score(self._encode(row))
        if not math.isfinite(score):
            self._check_finite(np.array([score], np.float32))
        return score


class _Block:
    """A network compiled for a number of rows; calls need not flatten it or look it up again."""

    def __init__(
        self, network: Any, size: int, n_numbers: int, n_categories: int, *, on_one_thread: bool = True
    ) -> None:
        self._leaves, form = jax.tree.flatten(network)
        self._shapes = (size, n_numbers), (size, n_categories)
        rows = tuple(map(jax.ShapeDtypeStruct, self._shapes, (np.float32, np.int32)))
        scored = jax.jit(lambda leaves, rows: jax.tree.unflatten(form, leaves).score(rows))
        lowered = scored.lower(self._leaves, rows)
        self._compiled = _on_one_thread(lowered) if on_one_thread else lowered.compile()

    def score(self, row: Encoded) -> float:
        """Return the score of a row, the first of a block otherwise filled with zeros, as for a table of one row."""
        # New arrays for each call: threads must not overwrite each other's rows.
        numbers, categories = np.zeros(self._shapes[0], np.float32), np.zeros(self._shapes[1], np.int32)
        numbers[0], categories[0] = row
        return float(self._scores(numbers, categories)[0])

    def agrees(self, rows: Encoded, scores: npt.NDArray[np.float32]) -> bool:
        """Return whether rows (n,), a multiple of the size, get these scores to the bit."""
        parts = (np.split(part, len(scores) // self._shapes[0][0]) for part in rows)
        found = np.concatenate([self._scores(*block) for block in zip(*parts, strict=True)])
        return np.array_equal(found, scores, equal_nan=True)

    def _scores(self, numbers: Any, categories: Any) -> npt.NDArray[np.float32]:
        return np.asarray(_awaited(self._compiled(self._leaves, (numbers, categories))))


def _awaited(scores: Any) -> Any:
    for _ in range(MAX_POLLS):
        if scores.is_ready():
            break
        _give_way()
    return scores


def _on_one_thread(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    try:
        return lowered.compile(ONE_THREAD)
    except jax.errors.JaxRuntimeError:
        # This XLA has no such option.
        return lowered.compile()


def _smallest_block(network: Any, encoder: TableEncoder) -> _Block:
    """Find by trial the smallest block that gives the scores of a table to the bit: it depends on the machine."""
    widths = len(encoder.number_sources_), len(encoder.category_sources_)
    trials = [_random_rows(encoder, seed) for seed in range(N_TRIALS)]
    expected = [score_in_blocks(type(network).score, network, tuple(rows)) for rows in trials]
    for size in BLOCK_SIZES:
        block = _Block(network, size, *widths)
        if all(map(block.agrees, trials, expected)):
            return block
    # The same code as a table's smallest block.
    return _Block(network, BLOCKS[0], *widths, on_one_thread=False)


def _random_rows(encoder: TableEncoder, seed: int) -> Encoded:
    """Return a block of encoded rows so wild that adding up in another order changes the last bits of some scores."""
    rng = np.random.default_rng(seed)
    n_rows, n_numbers = BLOCKS[0], len(encoder.number_sources_)
    numbers = rng.normal(size=(n_rows, n_numbers)) * rng.choice([0.1, 1, 10], (n_rows, 1))
    levels = [rng.integers(n_levels, size=n_rows) for _, n_levels in encoder.category_sources_]
    categories = np.reshape(levels, (len(levels), n_rows)).T
    return Encoded(numbers.astype(np.float32), np.ascontiguousarray(categories, dtype=np.int32))
