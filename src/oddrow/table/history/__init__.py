"""Features of an entity's history, for rows of a table or as they arrive.

An *entity* is a customer, a card or a device. A row of a table is an *event* of its entities, and the events before it
are their *history*. A *window* is the span of time before a row in which events count. A *feature* is what a column
tells of them: how many there were, how large, how risky, how long ago.
"""

from oddrow.table.history.features import FeatureBlock
from oddrow.table.history.history import History
from oddrow.table.history.state import HistoryState

__all__ = ["FeatureBlock", "History", "HistoryState"]
