from .history import History as History
from .history import HistoryState as HistoryState
from .read import read_table as read_table
from .schema import Column as Column
from .schema import Schema as Schema
from .table import Table as Table
