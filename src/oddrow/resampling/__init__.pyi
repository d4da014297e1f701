from .comparison import Comparison as Comparison
from .cvae import CVAESampler as CVAESampler
from .trial import compare as compare
