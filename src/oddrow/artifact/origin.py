"""`Origin`: the rows that a model was fitted to."""

from __future__ import annotations

from dataclasses import dataclass, field

from oddrow.table.join import Join
from oddrow.table.roles import Roles
from oddrow.thresholds.fingerprint import Fingerprint


@dataclass(frozen=True)
class Origin:
    """The rows that a model was fitted to.

    Parameters
    ----------
    tables : tuple of str
        Files and patterns as they were given.
    start, until : str or None
        The times between which rows were taken: the first included and the first excluded.
    n_rows : int
        How many rows the detector was fitted to, known anomalies included.
    n_held_out : int
        How many normal rows were held out to set the threshold.
    seed : int
        The random seed.
    fingerprint : Fingerprint
        Hashes of the rows, to recognise them.
    command : str, default=""
        The command line.
    join : Join or None, default=None
        The second table.
    roles : Roles, optional
        The columns' roles at that time.

    Examples
    --------
    >>> Origin(("a.csv",), None, None, 9, 1, 0, Fingerprint(9, "", ()), "", Join("b.csv", "id")).named
    "a.csv joined with b.csv on 'id'"
    """

    tables: tuple[str, ...]
    start: str | None
    until: str | None
    n_rows: int
    n_held_out: int
    seed: int
    fingerprint: Fingerprint
    command: str = ""
    join: Join | None = None
    roles: Roles = field(default_factory=Roles)

    @property
    def named(self) -> str:
        """The tables in words."""
        joined = f" joined with {self.join.table} on '{self.join.on}'" if self.join else ""
        return ", ".join(self.tables) + joined
