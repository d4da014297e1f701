from .rule import Rule as Rule
from .threshold import Threshold as Threshold
