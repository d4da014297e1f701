"""JAX's persistent compilation cache, in the user's cache folder, where there is one to write to."""

from __future__ import annotations

import os
import warnings
from functools import cache
from pathlib import Path

import jax


@cache
def keep_compiled_code() -> Path | None:
    """Turn the cache on, once, unless the user has set one up; None where no folder can be written."""
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
    # On a full disk this code is compiled anew next time, which is not worth a line for every function.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache", UserWarning)
    return folder


def forget_compiled_code() -> None:
    """Let go of what this process has compiled; the cache on disk keeps it.

    Every compiled function takes hundreds of memory maps, of which Linux grants a process 65,530: ten runs of wide
    networks, each of another form, would end it.
    """
    jax.clear_caches()  # type: ignore[no-untyped-call]


def _cache_folder() -> Path | None:
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / "oddrow" / "jax"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no HOME at all is a RuntimeError
        return None
    return folder if os.access(folder, os.W_OK) else None
