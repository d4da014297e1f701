"""JAX's persistent compilation cache, kept in the user's cache folder."""

from __future__ import annotations

import os
import warnings
from functools import cache
from pathlib import Path

import jax


@cache
def keep_compiled_code() -> Path | None:
    """Turn the cache on, unless the user has set one up; return its folder, or None if none is writable."""
    if given := jax.config.values["jax_compilation_cache_dir"]:
        return Path(given)
    folder = _cache_folder()
    if folder is None:
        return None
    options = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in options.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]
    # Code that cannot be kept, as on a full disk, is compiled again next time. That needs no warning for each function.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache", UserWarning)
    return folder


def forget_compiled_code() -> None:
    """Free the code that this process has compiled; the cache on disk keeps it.

    A compiled function takes hundreds of memory maps, and Linux grants a process 65,530: ten runs of wide networks of
    different shapes would exhaust them.
    """
    jax.clear_caches()  # type: ignore[no-untyped-call]


def _cache_folder() -> Path | None:
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / "oddrow" / "jax"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # without a HOME, Path.home raises RuntimeError
        return None
    return folder if os.access(folder, os.W_OK) else None
