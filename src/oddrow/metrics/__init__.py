"""Metrics of a ranking or of alerts, called as in scikit-learn: labels first, then scores or alerts.

All of them take `sample_weight`, except `precision_at_k_per_day`, `card_precision_at_k` and `prior_corrected`.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
