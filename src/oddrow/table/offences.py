"""What keeps a table from being taken: gathered column by column, perhaps part by part, raised as one error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from oddrow.errors import offenders, raise_all

# As many values are kept as the advice about them may need.
MOST_KEPT = 100
# The message for values: `3 of 2,000 values`, `row 17 'N/A', row 402 '-'`, the values themselves.
Says = Callable[[str, str, Sequence[Any]], str]


@dataclass
class _Values:
    """Values of one column that cannot be taken for one reason."""

    says: Says
    n: int = 0
    rows: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def message(self, n_rows: int) -> str:
        return self.says(f"{self.n:,} of {n_rows:,} values", offenders(self.rows, self.values), self.values)


class Offences:
    """All that is wrong with a table.

    >>> offences = Offences()
    >>> offences.add_values("amount", "unread", lambda of, where, values: f"{of} are odd ({where}).", 1, [17], ["x"])
    >>> offences.add_values("amount", "unread", lambda of, where, values: f"{of} are odd ({where}).", 1, [99], ["y"])
    >>> offences.raise_all(200)
    Traceback (most recent call last):
    oddrow.errors.TableError: 2 of 200 values are odd (row 17 'x', row 99 'y').
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], _Values | str] = {}

    def add_text(self, column: str, text: str) -> None:
        """Something wrong with a column as a whole, said once."""
        self._found.setdefault((column, ""), text)

    def add_values(self, column: str, why: str, says: Says, n: int, rows: Sequence[int], values: Sequence[Any]) -> None:
        """`n` values of a column that cannot be taken, with the first of them and their rows."""
        found = self._found.setdefault((column, why), _Values(says))
        assert isinstance(found, _Values)
        found.n += n
        found.rows = [*found.rows, *rows][:MOST_KEPT]
        found.values = [*found.values, *values][:MOST_KEPT]

    def raise_all(self, n_rows: int) -> None:
        """Raise one `TableError` with everything that was found in `n_rows` rows, if anything was."""
        found = self._found.values()
        raise_all([each if isinstance(each, str) else each.message(n_rows) for each in found])
