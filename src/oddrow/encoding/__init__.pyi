from .decoder import TableDecoder as TableDecoder
from .encoder import Encoded as Encoded
from .encoder import TableEncoder as TableEncoder
from .row_encoder import RowEncoder as RowEncoder
