"""The compilation cache: in the user's cache folder, and never a reason to fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import pytest

from oddrow.train.compilation import _cache_folder, forget_compiled_code

FIT = """
import numpy as np
from oddrow import AutoencoderDetector, Training
from oddrow.train.compilation import keep_compiled_code
X = np.random.default_rng(0).normal(size=(30, 2))
AutoencoderDetector(hidden=(3,), training=Training(epochs=1)).fit(X).predict(X)
print(keep_compiled_code())
"""
COMPILE = """
import jax
from oddrow.train.compilation import keep_compiled_code
print(keep_compiled_code())
jax.jit(lambda key: jax.random.normal(key, (9, 9)) @ jax.random.uniform(key, (9, 9)))(jax.random.key(0))
"""


def test_compiled_code_can_be_forgotten() -> None:
    doubled: Any = jax.jit(lambda x: 2 * x)
    assert (doubled(3), doubled._cache_size()) == (6, 1)
    forget_compiled_code()
    assert doubled._cache_size() == 0
    assert doubled(4) == 8


def in_another_process(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Warnings count as errors there, too."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "JAX_"))}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env={**environment, "HOME": str(home)}, capture_output=True, text=True, timeout=120)


def test_a_home_that_is_no_folder_only_turns_the_cache_off(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = in_another_process(FIT, tmp_path / "file")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "None\n")


def test_what_was_compiled_is_kept_in_the_home(tmp_path: Path) -> None:
    done = in_another_process(COMPILE, tmp_path)
    folder = tmp_path / ".cache" / "oddrow" / "jax"
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"{folder}\n")
    assert any(path.name.startswith("jit_") for path in folder.iterdir())


def test_the_cache_folder_follows_the_users_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert _cache_folder() == tmp_path / "cache" / "oddrow" / "jax"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_home_has_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    tmp_path.chmod(0o500)
    assert _cache_folder() is None


def test_no_home_at_all_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without an entry in the system's list, as containers run them, has no home to fall back to."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_123_456)
    assert _cache_folder() is None
