"""oddrow finds the odd rows in a table.

Every public name is listed in `__init__.pyi` and imported when it is first used, so `import oddrow` is quick and loads
neither JAX nor scikit-learn.
"""

from __future__ import annotations

from importlib.metadata import version

import lazy_loader

__version__ = version("oddrow")
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
