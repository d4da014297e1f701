"""The commands as Python functions: inspect, fit, score, evaluate, threshold, explain, report, export."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
