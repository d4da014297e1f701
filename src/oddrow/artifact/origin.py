"""`Origin`: where a model comes from."""

from __future__ import annotations

from dataclasses import dataclass, field

from oddrow.table.join import Join
from oddrow.table.roles import Roles
from oddrow.thresholds.fingerprint import Fingerprint


@dataclass(frozen=True)
class Origin:
    """Where a model comes from: the tables as named, the rows chosen, their fingerprint, the seed, the join, the roles
    that columns had then.
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
        """The tables in words.

        >>> Origin(("a.csv",), None, None, 9, 1, 0, Fingerprint(9, "", ()), "", Join("b.csv", "id")).named
        "a.csv joined with b.csv on 'id'"
        """
        joined = f" joined with {self.join.table} on '{self.join.on}'" if self.join else ""
        return ", ".join(self.tables) + joined
