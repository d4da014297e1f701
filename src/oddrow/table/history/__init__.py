"""The history of an entity: columns that tell what each customer, card or device did before each row."""

from oddrow.table.history.features import FeatureBlock
from oddrow.table.history.history import History
from oddrow.table.history.state import HistoryState

__all__ = ["FeatureBlock", "History", "HistoryState"]
