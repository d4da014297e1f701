from .candidates import default_classifiers as default_classifiers
from .candidates import default_samplers as default_samplers
from .comparison import Cell as Cell
from .comparison import Comparison as Comparison
from .comparison import Verdict as Verdict
from .cvae import CVAESampler as CVAESampler
from .trial import compare as compare
