"""`Search`: for rows above a cut, rows below it that differ from them in few columns and by little."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.explain.normal import Floats, Mask, Normal

Ints = npt.NDArray[np.int64]

# Columns to try alone before several are tried at once.
N_ALONE = 3
# A number so many encoded units from the middle of its column is tried first: a network that copies it blames others.
FAR_OUT = 4.0
# How often the way back to a row is halved: to a thousandth of it.
N_HALVINGS = 10
# How many changes of a row are tried to be undone; of more columns, several are undone at once.
MOST_UNDONE = 32


class Scored(NamedTuple):
    """Rows, and how odd they are, (n,)."""

    rows: pl.DataFrame
    scores: Floats

    def take(self, places: Ints) -> Scored:
        """The rows at these places."""
        return Scored(self.rows[places], self.scores[places])

    def put(self, places: Ints, others: Scored) -> Scored:
        """With other rows in these places."""
        sources = np.arange(self.rows.height)
        sources[places] = self.rows.height + np.arange(len(places))
        both = pl.concat([self.rows, others.rows], how="vertical_relaxed")
        return Scored(both, np.append(self.scores, others.scores)).take(sources)


class Search:
    """Looks for rows below a cut: `base` are rows as they came, but for cells with values that normal rows never have.

    `best` holds the row of the lowest score so far for each of them; `turn` (n, columns) says when each cell was let
    change, 0 for not yet.
    """

    def __init__(self, normal: Normal, rows: pl.DataFrame, cut: float) -> None:
        self.normal, self.cut = normal, cut
        foreign = ~normal.has(rows)
        self.base = normal.replaced(rows, foreign)
        self.best = self._scored(self.base)
        self.turn = foreign.astype(np.int64)

    def run(self) -> pl.DataFrame:
        """The nearest rows found below the cut; where none was, the ones of the lowest score."""
        self._try_replaced()
        self._try_alone()
        n_more = 1
        while not self._found.all() and (self.turn[~self._found] == 0).any():
            self._try_more(n_more)
            n_more *= 2
        self._take_back()
        self._keep_days()
        self._go_back()
        return self.best.rows

    @property
    def _found(self) -> Mask:
        return self.best.scores < self.cut

    def _scored(self, rows: pl.DataFrame) -> Scored:
        return Scored(rows, self.normal.scores(rows))

    def _try_replaced(self) -> None:
        """The cells that could not stay, moved further: that changes no column more."""
        places = np.flatnonzero(~self._found & (self.turn > 0).any(axis=1))
        if len(places):
            self._keep(places, self._moved(self.best.take(places), self.turn[places] > 0, places))

    def _try_alone(self) -> None:
        """One column beside these, each of those that add most to the score."""
        pending = np.flatnonzero(~self._found)
        if not len(pending):
            return
        start, turn = self.best.take(pending), self.turn[pending]
        adding = np.where(turn > 0, -np.inf, self.normal.adding(start.rows))
        most = np.argsort(-adding, axis=1, kind="stable").T[:N_ALONE]
        far_out = self.normal.far_out(start.rows)
        farthest = np.where(far_out.max(axis=1) > FAR_OUT, far_out.argmax(axis=1), most[0])
        for columns in (farthest, *most):
            still = np.flatnonzero(~self._found[pending])
            if not len(still):
                break
            alone = columns[still, None] == np.arange(turn.shape[1])
            tried = self._moved(start.take(still), alone | (turn[still] > 0), pending[still])
            lower = self._keep(pending[still], tried)
            self.turn[pending[still][lower]] = np.where(alone, 2, turn[still])[lower]

    def _try_more(self, n_more: int) -> None:
        """More columns at once: those that add most to the scores as they now are."""
        places = np.flatnonzero(~self._found)
        start, turn = self.best.take(places), self.turn[places]
        adding = np.where(turn > 0, -np.inf, self.normal.adding(start.rows))
        highest = np.argsort(-adding, axis=1, kind="stable")[:, :n_more]
        added = np.zeros(turn.shape, bool)
        np.put_along_axis(added, highest, True, axis=1)
        self.turn[places] = np.where(added & (turn == 0), turn.max() + 1, turn)
        self._keep(places, self._moved(start, self.turn[places] > 0, places))

    def _moved(self, start: Scored, allowed: Mask, places: Ints) -> Scored:
        """The allowed cells as expected, and as expected beside these; where that is not enough, otherwise."""
        base, best, rows = self.base[places], start, start.rows
        for _ in range(2):
            rows = self.normal.mixed(base, self.normal.expected(rows), allowed)
            best = self._lower(best, self._scored(rows))
        best = self._where_above(best, allowed & ~self.normal.is_number, self._with_others)
        best = self._where_above(best, allowed & self.normal.is_number, self._with_usual)
        return self._where_above(best, allowed & self.normal.is_number, self._with_lowered)

    def _where_above(self, best: Scored, allowed: Mask, change: Callable[[Scored, Mask], Scored]) -> Scored:
        """With the rows changed that are not below the cut, where any of their cells may change."""
        places = np.flatnonzero((best.scores >= self.cut) & allowed.any(axis=1))
        return best.put(places, change(best.take(places), allowed[places])) if len(places) else best

    def _with_usual(self, best: Scored, allowed: Mask) -> Scored:
        """With numbers in the middle of their range: a network may copy an odd one, and its slope leads nowhere."""
        return self._lower(best, self._scored(self.normal.mixed(best.rows, self.normal.usual(best.rows), allowed)))

    def _with_others(self, best: Scored, allowed: Mask) -> Scored:
        """With levels and days that the network does not expect, which often copies what it sees."""
        for rows in self.normal.others(best.rows):
            best = self._lower(best, self._scored(self.normal.mixed(best.rows, rows, allowed)))
        return best

    def _with_lowered(self, best: Scored, allowed: Mask) -> Scored:
        """With numbers moved down the gradient."""
        return self._lower(best, self._scored(self.normal.lowered(best.rows, allowed)))

    def _lower(self, one: Scored, other: Scored) -> Scored:
        places = np.flatnonzero(other.scores < one.scores)
        return one.put(places, other.take(places))

    def _keep(self, places: Ints, tried: Scored) -> Ints:
        """Take what was tried in these places where it scores lower, and say which of them that are."""
        lower = np.flatnonzero(tried.scores < self.best.scores[places])
        self.best = self.best.put(places[lower], tried.take(lower))
        return lower

    def _take_back(self) -> None:
        """Undo changes that are not needed, the last ones first: one by one, of very many columns several at once."""
        changed = self.normal.differ(self.base, self.best.rows) & self._found[:, None]
        from_the_last = np.argsort(np.where(changed, -self.turn, 1), axis=1, kind="stable")
        place_of = np.argsort(from_the_last, axis=1)
        at_once = -(-changed.sum(axis=1, keepdims=True) // MOST_UNDONE)
        part = np.where(changed, place_of // np.maximum(at_once, 1), -1)
        for number in range(part.max(initial=-1) + 1):
            places = np.flatnonzero((part == number).any(axis=1) & (changed & (part != number)).any(axis=1))
            undone = part[places] == number
            tried = self._scored(self.normal.mixed(self.best.rows[places], self.base[places], undone))
            below = np.flatnonzero(tried.scores < self.cut)
            self.best = self.best.put(places[below], tried.take(below))
            changed[places[below]] &= ~undone[below]

    def _keep_days(self) -> None:
        """Leave times on their own days where another hour is enough."""
        kept = self.normal.on_days_of(self.base, self.best.rows)
        moved = (self.normal.differ(kept, self.best.rows) & self.normal.has(kept)).any(axis=1)
        places = np.flatnonzero(self._found & moved)
        tried = self._scored(kept[places])
        below = np.flatnonzero(tried.scores < self.cut)
        self.best = self.best.put(places[below], tried.take(below))

    def _go_back(self) -> None:
        """Go the straight way back to the rows as far as the cut allows."""
        places = np.flatnonzero(self._found & self.normal.differ(self.base, self.best.rows).any(axis=1))
        base, best = self.base[places], self.best.rows[places]
        least, enough = np.zeros(len(places)), np.ones(len(places))
        for _ in range(N_HALVINGS):
            share = (least + enough) / 2
            below = self.normal.scores(self.normal.between(base, best, share)) < self.cut
            least, enough = np.where(below, least, share), np.where(below, share, enough)
        self.best = self.best.put(places, self._scored(self.normal.between(base, best, enough)))
