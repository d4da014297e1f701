from .artifact import Artifact as Artifact
from .artifact import Decision as Decision
from .artifact import RowDecider as RowDecider
from .saved_folder import Origin as Origin
