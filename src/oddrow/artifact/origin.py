"""`Origin`: where a model comes from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from oddrow.artifact.manifest import tuples
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

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Origin:
        """The origin that the manifest holds."""
        fingerprint = Fingerprint.from_dict(values["fingerprint"])
        join = Join(**values["join"]) if "join" in values else None
        roles = Roles(**tuples(values["roles"]))
        read = {"tables": tuple(values["tables"]), "fingerprint": fingerprint, "join": join, "roles": roles}
        return cls(**{**values, **read})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a model without a joined table says nothing of one."""
        return {name: value for name, value in asdict(self).items() if name != "join" or value is not None}

    @property
    def named(self) -> str:
        """The tables in words.

        >>> Origin(("a.csv",), None, None, 9, 1, 0, Fingerprint(9, "", ()), "", Join("b.csv", "id")).named
        "a.csv joined with b.csv on 'id'"
        """
        joined = f" joined with {self.join.table} on '{self.join.on}'" if self.join else ""
        return ", ".join(self.tables) + joined
