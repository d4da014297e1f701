from .artifact import Artifact as Artifact
from .origin import Origin as Origin
from .row_decider import Decision as Decision
from .row_decider import RowDecider as RowDecider
