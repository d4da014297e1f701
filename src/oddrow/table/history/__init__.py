"""What each customer, terminal or device did lately: columns that say whether a row is odd for them."""

from oddrow.table.history.features import FeatureBlock
from oddrow.table.history.history import History
from oddrow.table.history.state import HistoryState

__all__ = ["FeatureBlock", "History", "HistoryState"]
