"""`OddRowDetector`: odd is what lies far from all that is kept, as it is and as a network codes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from oddrow.detectors.base import Detector
from oddrow.detectors.reference import (
    LEAST_MEMBERS,
    N_CLUSTERS,
    Arrays,
    Numbers,
    centroids,
    column_deviation,
    column_range,
    concat,
    inlier_mask,
    load_rows,
    subsample,
)
from oddrow.detectors.scoring import score_in_blocks
from oddrow.detectors.state import FittedState
from oddrow.detectors.training_set import TrainingSet
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import ParameterError, TableError, check_choice, check_number
from oddrow.nets.coder import Coder
from oddrow.nets.neighbours import Neighbours
from oddrow.nets.oddrow import OddRow, as_rows
from oddrow.nets.tails import Tail
from oddrow.train.training import Training

MODES = ("novelty", "outlier")

# Of how many kept rows the mean distance is taken. Where none of the training rows is odd, the nearest says most; where
# some are, they are near to each other.
N_NEAREST = {"novelty": 1, "outlier": 10}

LEAST_ROWS = 2

# Of these six are trusted in outlier mode, and one mean is of five at least.
LEAST_TO_MEAN = 2 * LEAST_MEMBERS

# A category that differs counts as much as so many standard deviations of a number: about what its range is.
DEVIATIONS = 5

# The share of the training rows that is not trusted in outlier mode.
LEFT_OUT = 0.4

# By so many rows, where there are that many, is known how far normal rows are from those that are kept; by those that
# were held out only where they are not too few to say anything.
MOST_RATED, LEAST_RATED = 10_000, 10

# The codes of so many of the kept rows are kept: more took longer and found no more.
MOST_CODED = 2000

# Of wide tables fewer rows are kept: numbers, categories and codes of all take no more than this.
MOST_BYTES = 16_000_000

BYTES_OF_ONE = 4


@dataclass(frozen=True)
class OddRowState(FittedState):
    """Besides, how many rows and means of rows are kept."""

    n_kept: int
    n_means: int


class OddRowDetector(Detector):
    """Scores a row by how far it lies from the nearest of some training rows that it keeps.

    The default: docs/quality.md has it beside other detectors on 22 public tables, without tuning. It keeps up to
    `memory_rows` training rows, as saved models do too.

    Fitting takes 3 s for 20,000 rows of 30 columns on two cores, scoring a second for 50,000 rows
    (benchmarks/quality/cost.py).

    Parameters
    ----------
    mode : {"outlier", "novelty"}
        Whether there may be anomalies among the training rows. "novelty" takes all of them for normal: choose it where
        known anomalies are left out, or the rows have been looked at. "outlier" trusts the 60 % of the training rows
        that are most among others, and trains no network.
    memory_rows : int
        How many training rows to keep at most, drawn at random; fewer of wide tables, so that models stay below 20 MB.
        0 keeps none, but up to 200 means of five rows or more: choose it where no row may leave the house. The mean of
        rows that are all the same is still that row.
    training : Training or None
        How to train the autoencoder of "novelty". None is `Training()`. What is usual of a row is said by those that
        are held out; they must be normal too where they are given, as `validation`. Where fewer than ten are, as of
        fewer than 100 rows, nothing tells what an autoencoder's error means, and the nearest kept row decides alone.
    encoder : TableEncoder or None
        How to encode. None is `TableEncoder(numbers="robust", soft_limit=30)`, in outlier mode
        `TableEncoder(soft_limit=3)`.
    kinds, contamination, random_state
        As for `AutoencoderDetector`.

    Attributes
    ----------
    network_ : OddRow
    n_kept_, n_means_ : int, how many training rows the network holds, and how many means of several.
    loss_curve_ : list of dict, loss and validation_loss of each epoch; empty in outlier mode.
    schema_, encoder_, offset_, n_features_in_, n_known_anomalies_

    A score is in nats: how surprising the distance to the nearest kept row is among normal rows, plus, in novelty mode,
    that of its codes, what a denoising autoencoder makes of it; or how surprising the autoencoder's error is, if that
    is clearly more. In outlier mode the distance is the mean over ten. Each number counts in units of its range, in
    outlier mode of five standard deviations; a category that differs counts 1. A row that is the same as one that is
    kept is compared with the others. In outlier mode training rows are therefore scored as new ones are; in novelty
    mode the autoencoder is less wrong about those it was trained on: choose thresholds by others.

    Source: Ramaswamy et al. (2000), distance to the nearest; Angiulli and Pizzuti (2002), mean over several; Vincent et
    al. (2010), denoising autoencoders; Pickands (1975), peaks over threshold.

    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> detector = OddRowDetector(random_state=0).fit(X)
    >>> detector.anomaly_score(np.array([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]])).argmax()
    np.int64(1)
    """

    def __init__(
        self,
        *,
        mode: str = "outlier",
        memory_rows: int = 10_000,
        training: Training | None = None,
        encoder: TableEncoder | None = None,
        kinds: dict[str, str] | None = None,
        contamination: float = 0.01,
        random_state: Any = None,
    ) -> None:
        self.mode = mode
        self.memory_rows = memory_rows
        self.training = training
        self.encoder = encoder
        self.kinds = kinds
        self.contamination = contamination
        self.random_state = random_state

    def _check_parameters(self) -> None:
        """Raise `ParameterError` for a value that means nothing."""
        check_choice("mode", self.mode, MODES)
        check_number("memory_rows", self.memory_rows, 0, whole=True)
        if self.memory_rows == 1:
            raise ParameterError(
                "memory_rows=1: no row could be told from another. Give 2 or more, or 0 to keep means of rows."
            )
        if self.mode == "outlier" and self.training is not None and self.training.epochs:
            raise ParameterError(
                f"training.epochs={self.training.epochs}: in outlier mode nothing is trained. Leave it out, or say "
                "that the training rows are normal: mode='novelty' (--clean), or --label."
            )

    @property
    def _used_training(self) -> Training:
        """How the network is trained; in outlier mode there is none, and nothing is held out unless one is given."""
        if self.mode == "novelty":
            return super()._used_training
        given = Training(validation_fraction=0.0) if self.training is None else super()._used_training
        return Training(**{**given.get_params(), "epochs": 0})

    def _default_encoder(self) -> TableEncoder:
        """Neither rules out that single values are far out: by quartiles, or pressed together beyond 3 deviations."""
        if self.mode == "outlier":
            return TableEncoder(soft_limit=3.0)
        return TableEncoder(numbers="robust", soft_limit=30.0)

    @property
    def _training_notes(self) -> list[str]:
        """What became of the training rows, in words, besides that they were learned from."""
        left_out = f"{LEFT_OUT:.0%} of the training rows, those farthest from others, were not trusted"
        alone = "too few rows were held out to say what an autoencoder's error means: the nearest row decides alone"
        means = f"the model holds no training row, but {self.n_means_:,} means of {LEAST_MEMBERS} rows or more"
        held = f"the model holds {self.n_kept_:,} training rows" if self.n_kept_ else means
        because = [left_out] if self.mode == "outlier" else [alone] if self.network_.tails[-1].is_silent else []
        return [f"mode {self.mode}", *because, held]

    def _prepare(self, X: Any, y: Any, validation: Any) -> TrainingSet:
        ready = super()._prepare(X, y, validation)
        if self.mode == "novelty":
            return ready
        rows = load_rows(ready.fitting)
        trusted = inlier_mask(*self._measures(rows), LEFT_OUT, np.random.default_rng(ready.seed))
        return replace(ready, kept=tuple(jnp.asarray(part[trusted]) for part in rows))

    def _measures(self, rows: Arrays) -> tuple[Arrays, Numbers]:
        """The numbers of rows alone, and what a unit of each is: by levels and gaps, whatever is rare is far out."""
        numbers = rows[0][:, ~self._flags]
        return (numbers, np.zeros((len(numbers), 0), np.int32)), column_deviation(numbers)

    @property
    def _flags(self) -> npt.NDArray[np.bool_]:
        """Which numbers say whether a value is missing, or a level is there."""
        parts = [part for _, part in self.encoder_.number_sources_]
        return np.array([part == "missing" or part.startswith("=") for part in parts], bool)

    def _check_enough(self, n_rows: int) -> None:
        least = LEAST_ROWS if self.memory_rows else LEAST_TO_MEAN
        if n_rows < least:
            raise TableError(f"n_samples = {n_rows} to learn from, expected at least {least} to tell far from near.")

    def _spread(self, rows: Arrays) -> Numbers:
        """What a unit of each number is; whether a value is missing, or a level is there, counts as a category does."""
        spread = column_range(rows[0]) if self.mode == "novelty" else DEVIATIONS * column_deviation(rows[0])
        return np.where(self._flags, np.float32(1), spread)

    def _new_network(self, seed: int) -> Coder | None:
        """What is trained, which in outlier mode is nothing."""
        if self.mode == "outlier":
            return None
        return Coder(self._n_numbers, self._levels, key=jax.random.key(seed))

    @property
    def _n_numbers(self) -> int:
        return len(self.encoder_.number_sources_)

    @property
    def _levels(self) -> list[int]:
        return [n_levels for _, n_levels in self.encoder_.category_sources_]

    def _in_training(self, network: Coder | None, ready: TrainingSet) -> Coder | None:
        """The coder with its scales: between the range and the deviation of each number, of variance 1 on average."""
        if network is None or not self._n_numbers:
            return network
        numbers = load_rows(ready.normal)[0]
        spread, varies = column_deviation(numbers), np.ptp(numbers, axis=0) > 0
        scale = 1 / np.sqrt(spread * self._spread((numbers,)))
        scale /= np.sqrt(np.mean(np.square(numbers.std(axis=0) * scale)[varies])) if varies.any() else 1
        moved = jnp.asarray(numbers.mean(axis=0, dtype=np.float64), jnp.float32), jnp.asarray(scale)
        scaled: Coder = eqx.tree_at(lambda net: (net.center, net.scale), network, moved)
        return scaled

    def _finish(self, network: Coder | None, ready: TrainingSet) -> OddRow:
        """The network with the rows that it keeps, and the usual distances from them."""
        rng = np.random.default_rng(ready.seed)
        learned, unseen = load_rows(ready.normal), self._unseen(ready)
        most = max(MOST_RATED, self.memory_rows)
        # Where rows are few those that were held out are kept too, unless somebody holds them out for a purpose.
        normal = learned if ready.drawn_from is None or len(learned[0]) >= most else concat(learned, unseen)
        spread = self._spread(load_rows(ready.fitting))
        kept = self._kept_of(subsample(normal, most, rng), spread, network, rng)
        coded = tuple(part[:MOST_CODED] for part in kept)
        codes = None if network is None else jnp.asarray(score_in_blocks(Coder.codes, network, coded))
        unrated = self._assembled(kept, spread, network, codes, [])
        enough = len(unseen[0]) >= LEAST_RATED
        rated = subsample(unseen if enough else learned, MOST_RATED, rng)
        far, *of_coder = (Tail.of(part) for part in score_in_blocks(OddRow.parts, unrated, rated).T)
        tails = [far, *(of_coder if enough else [Tail.silent() for _ in of_coder])]
        return self._assembled(kept, spread, network, codes, tails)

    def _unseen(self, ready: TrainingSet) -> Arrays:
        """Normal rows that were held out: a network is less wrong about those that it was trained on.

        None in outlier mode, where nobody knows whether they are normal.
        """
        if ready.held_out is None or self.mode == "outlier":
            return np.zeros((0, self._n_numbers), np.float32), np.zeros((0, len(self._levels)), np.int32)
        return tuple(map(np.asarray, ready.held_out))

    def _kept_of(self, rows: Arrays, spread: Numbers, coder: Coder | None, rng: np.random.Generator) -> Arrays:
        """The first rows, or means of all of them, and how many these are."""
        kept = (
            tuple(part[: self._most_kept(coder)] for part in rows) if self.memory_rows else centroids(rows, spread, rng)
        )
        self.n_kept_, self.n_means_ = (len(kept[0]), 0) if self.memory_rows else (0, len(kept[0]))
        return kept

    def _most_kept(self, coder: Coder | None) -> int:
        most, width, n_codes = MOST_BYTES // BYTES_OF_ONE, self._n_numbers + len(self._levels), 0
        if coder is not None:
            n_codes = coder.n_codes
        all_coded = most // (width + n_codes)
        n_rows = all_coded if all_coded <= MOST_CODED else (most - MOST_CODED * n_codes) // width
        return int(min(self.memory_rows, max(LEAST_ROWS, n_rows)))

    def _assembled(
        self, kept: Sequence[Any], spread: Any, coder: Coder | None, codes: Any, tails: Sequence[Tail]
    ) -> OddRow:
        # A mean stands for several rows.
        n_nearest = N_NEAREST[self.mode] if self.memory_rows else 1
        memory = Neighbours(*map(jnp.asarray, kept), scale=jnp.asarray(1 / spread), n_nearest=n_nearest)
        if coder is None:
            return OddRow(memory, None, None, tails, self._levels, of_means=not self.memory_rows)
        coded = Neighbours(*as_rows(codes), scale=coder.units(codes), n_nearest=n_nearest)
        return OddRow(memory, coder, coded, tails, self._levels, of_means=not self.memory_rows)

    _state = OddRowState

    def _to_state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        plain, arrays = super()._to_state()
        return {**plain, "n_kept": self.n_kept_, "n_means": self.n_means_}, arrays

    def _unfilled(self, state: OddRowState) -> OddRow:
        self.n_kept_, self.n_means_ = state.n_kept, state.n_means
        check_number("n_kept", self.n_kept_, 0, self.memory_rows, whole=True)
        check_number("n_means", self.n_means_, 0, 0 if self.memory_rows else N_CLUSTERS, whole=True)
        check_number("the number of rows or means", self.n_kept_ + self.n_means_, LEAST_ROWS)
        n_held, coder = self.n_kept_ + self.n_means_, self._new_network(0)
        kept = jnp.zeros((n_held, self._n_numbers)), jnp.zeros((n_held, len(self._levels)), jnp.int32)
        codes = None if coder is None else jnp.zeros((min(n_held, MOST_CODED), coder.n_codes))
        tails = [Tail.of(np.zeros(1))] * (1 if coder is None else 3)
        return self._assembled(kept, jnp.ones(self._n_numbers), coder, codes, tails)
