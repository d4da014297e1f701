"""What each customer, terminal or device did lately: columns that say whether a row is odd for them."""

from oddrow.table.history.behaviour import Behaviour
from oddrow.table.history.history import History, handbook_features
from oddrow.table.history.state import HistoryState

__all__ = ["Behaviour", "History", "HistoryState", "handbook_features"]
