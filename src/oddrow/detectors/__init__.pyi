from .autoencoder import AutoencoderDetector as AutoencoderDetector
from .base import Detector as Detector
from .dagmm import DAGMMDetector as DAGMMDetector
from .fit_many import fit_many as fit_many
from .oddrow import OddRowDetector as OddRowDetector
from .row_scorer import RowScorer as RowScorer
