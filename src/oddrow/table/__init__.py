"""Tables: read files, infer what each column means, choose and split rows, add history."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
