"""Validate the docstrings of every public name with numpydoc: `python docs/check_docstrings.py [PACKAGE ...]`.

Public is what a package's stub or `__all__` lists, and the public methods that those classes define themselves.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from typing import Any

from numpydoc.validate import validate

import oddrow

# Summaries start on the line of the quotes (GL01), longer text and links to other pages are optional (ES01, SA01), and
# inspect cannot see the line where a class member ends (GL02, GL03).
OPTIONAL = {"GL01", "GL02", "GL03", "ES01", "SA01"}
# An example is expected of classes and functions; a method is shown in the example of its class.
EXAMPLE = "EX01"


def packages() -> list[str]:
    """Return the packages that list public names."""
    found = pkgutil.walk_packages(oddrow.__path__, "oddrow.")
    return ["oddrow", *(each.name for each in found if each.ispkg and not each.name.startswith("oddrow.cli"))]


def public(package: str) -> Iterator[tuple[str, Any]]:
    """Yield the full name and the object of everything public in a package."""
    module = importlib.import_module(package)
    for name in getattr(module, "__all__", ()):
        found = getattr(module, name)
        if not (inspect.isclass(found) or inspect.isfunction(found)):
            continue
        home = f"{found.__module__}.{found.__qualname__}"
        yield home, found
        if inspect.isclass(found):
            members = [key for key in vars(found) if not key.startswith("_")]
            yield from ((f"{home}.{key}", vars(found)[key]) for key in members if _is_documented(vars(found)[key]))


def _is_documented(member: Any) -> bool:
    return inspect.isfunction(member) or isinstance(member, (classmethod, staticmethod, property))


def problems(name: str, found: Any) -> list[str]:
    """Return what numpydoc finds wrong with one docstring."""
    is_whole = inspect.isclass(found) or (inspect.isfunction(found) and "." not in found.__qualname__)
    is_raised = inspect.isclass(found) and issubclass(found, Exception)
    skipped = OPTIONAL | (set() if is_whole and not is_raised else {EXAMPLE})
    return [f"{name}: {code} {text}" for code, text in validate(name)["errors"] if code not in skipped]


def main(names: list[str]) -> int:
    """Print every problem and return how many public docstrings have one."""
    objects = {name: found for package in names or packages() for name, found in public(package)}
    found = {name: problems(name, value) for name, value in objects.items()}
    for lines in found.values():
        print(*lines, sep="\n", end="\n" if lines else "")
    n_bad = sum(map(bool, found.values()))
    print(f"{len(found):,} public docstrings, {n_bad:,} with problems, {sum(map(len, found.values())):,} problems")
    return min(n_bad, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
