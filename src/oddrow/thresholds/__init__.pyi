from .conformal import discoveries as discoveries
from .conformal import p_values as p_values
from .fingerprint import Fingerprint as Fingerprint
from .rule import Rule as Rule
from .threshold import Cap as Cap
from .threshold import Threshold as Threshold
