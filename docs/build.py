"""Build the documentation site into site/, strictly and without a network: `make docs`.

Writes the pages that come from the code (command line, Python API, executed notebooks, a sample report), builds the
site, and then fails where a page is not in the navigation, a public name is not in the API reference, or a page asks
another host for a font, a script or a style.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tempfile
import tomllib
import zlib
from contextlib import chdir
from pathlib import Path
from typing import Any

import oddrow
from oddrow.simulation import simulate

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SITE = ROOT / "site"
API = DOCS / "reference" / "api"
# Packages that users reach only through others.
INTERNAL = {"oddrow.cli", "oddrow.nets", "oddrow.recipes", "oddrow.table.history"}
ANOTHER_HOST = re.compile(r"""<(?:script|img|iframe)[^>]+src="?https?://|<link[^>]+stylesheet[^>]+href="?https?://""")


def public_names() -> dict[str, list[str]]:
    """Return the public names of every public package, and of `oddrow.errors`."""
    packages = [each.name for each in pkgutil.walk_packages(oddrow.__path__, "oddrow.") if each.ispkg]
    found = {name: list(importlib.import_module(name).__all__) for name in packages if name not in INTERNAL}
    errors = importlib.import_module("oddrow.errors")
    found["oddrow.errors"] = [name for name, value in vars(errors).items() if _is_error(value)]
    return {"oddrow": list(importlib.import_module("oddrow").__all__), **found}


def _is_error(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception)


def is_documented_alone(package: str, name: str) -> bool:
    """Return whether a name has an entry of its own: classes and functions do, packages and constants do not."""
    value = getattr(importlib.import_module(package), name)
    return inspect.isclass(value) or inspect.isroutine(value)


def summary(value: Any) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(value) or "").partition("\n")[0]


def write_api() -> None:
    """Write a page for every public package, and an index of what `import oddrow` offers."""
    API.mkdir(parents=True, exist_ok=True)
    public = public_names()
    homes: dict[int, str] = {}
    for package, names in public.items():
        if package != "oddrow":
            for name in sorted(filter(lambda name: is_documented_alone(package, name), names), key=str.lower):
                homes.setdefault(id(getattr(importlib.import_module(package), name)), _path(package, name))
            _write_package(package, names)
    lines = ["# Python API", "", "`import oddrow` offers these names; each is loaded when it is first used.", ""]
    lines += ["| name | |", "|---|---|"]
    alone = []
    for name in sorted(public["oddrow"], key=str.lower):
        value = getattr(oddrow, name)
        if inspect.ismodule(value):
            lines.append(f"| [`oddrow.{name}`]({name}.md) | {summary(value)} |")
        elif is_documented_alone("oddrow", name):
            home = homes.get(id(value), f"oddrow.{name}")
            alone += [name] if home == f"oddrow.{name}" else []
            lines.append(f"| [`{name}`][{home}] | {summary(value)} |")
    others = sorted(set(public) - {"oddrow", *(f"oddrow.{name}" for name in public["oddrow"])})
    links = ", ".join(f"[`{each}`]({each.removeprefix('oddrow.')}.md)" for each in others)
    lines += ["", f"Import these yourself: {links}.", ""]
    lines += [f"::: oddrow.{name}\n" for name in alone]
    (API / "index.md").write_text("\n".join(lines), encoding="utf-8")


def _write_package(package: str, names: list[str]) -> None:
    module = importlib.import_module(package)
    parts = [f"# {package}", inspect.getdoc(module) or ""]
    entries = [name for name in names if is_documented_alone(package, name)]
    constants = [name for name in names if name not in entries and not inspect.ismodule(getattr(module, name))]
    if constants:
        parts.append("Constants: " + ", ".join(f"`{name} = {getattr(module, name)!r}`" for name in constants) + ".")
    parts += [f"::: {_path(package, name)}" for name in entries]
    (API / f"{package.split('.')[1]}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _path(package: str, name: str) -> str:
    """Return the path of a public name; a module of the same name, such as `fit_many`, would hide it."""
    module = getattr(importlib.import_module(package), name).__module__
    return f"{module}.{name}" if module == f"{package}.{name}" else f"{package}.{name}"


def write_command_line() -> None:
    """Write reference/cli.md from the commands' help."""
    done = subprocess.run([sys.executable, DOCS / "cli.py"], capture_output=True, text=True, check=True)
    text = done.stdout.replace("# `oddrow`\n", "# Command line\n", 1)
    (DOCS / "reference" / "cli.md").write_text(text, encoding="utf-8")


def write_sample_report() -> None:
    """Write gallery/demo.html, the report of a model of simulated transactions."""
    from oddrow import Settings, workflow

    roles = {"label": "is_fraud", "time": "time", "id": "transaction_id", "amount": "amount", "entity": "customer_id"}
    left_out = "fraud_kind,customer_count_30d,customer_mean_amount_30d,terminal_count_30d,terminal_risk_30d"
    settings = Settings.gather(options={**roles, "until": "2018-04-19", "drop": left_out, "threshold": "budget:20"})
    (DOCS / "gallery").mkdir(exist_ok=True)
    report = DOCS / "gallery" / "demo.html"
    # The report names its files: relative ones, as a reader's would be.
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        simulate(20_000).write_csv("rows.csv")
        workflow.fit("rows.csv", "model", settings)
        workflow.report("rows.csv", "model", report, start="2018-04-19")


def write_list_of_reports() -> None:
    """Write gallery/reports.txt, links to the recipes' reports that `make docs-reports` has put there."""
    from oddrow.recipes.recipe import load_recipe

    names = sorted(page.stem for page in (DOCS / "gallery").glob("*.html") if page.stem != "demo")
    lines = [f"- [{load_recipe(name).title}](gallery/{name}.html)" for name in names]
    text = "\n".join(lines or ["This site was built without them."])
    (DOCS / "gallery" / "reports.txt").write_text(text + "\n", encoding="utf-8")


def problems() -> list[str]:
    """Return what is wrong with the built site."""
    return [*_of_navigation(), *_of_api(), *_of_hosts()]


def _of_navigation() -> list[str]:
    listed = set(_pages(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]))
    # The index of the decisions leads to all of them.
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if not re.match(r"\d{4}-", page.name)}
    lacking = [f"{page} is in the navigation and does not exist" for page in sorted(listed - there)]
    return lacking + [f"{page} is not in the navigation of zensical.toml" for page in sorted(there - listed)]


def _pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [page for each in (nav.values() if isinstance(nav, dict) else nav) for page in _pages(each)]


def _of_api() -> list[str]:
    inventory = (SITE / "objects.inv").read_bytes().split(b"\n", 4)[4]
    documented = {line.split(" ")[0] for line in zlib.decompress(inventory).decode().splitlines()}
    found = []
    for package, names in public_names().items():
        for name in filter(lambda name: is_documented_alone(package, name), names):
            value = getattr(importlib.import_module(package), name)
            paths = {f"{package}.{name}", f"{value.__module__}.{value.__qualname__}"}
            if not paths & documented:
                found.append(f"{package}.{name} is public and not in the API reference")
            elif not summary(value):
                found.append(f"{package}.{name} is public and has no docstring")
    return found


def _of_hosts() -> list[str]:
    pages = sorted(SITE.rglob("*.html"))
    return [
        f"{page.relative_to(SITE)} loads something from another host"
        for page in pages
        if ANOTHER_HOST.search(page.read_text(encoding="utf-8"))
    ]


def main() -> int:
    """Write, build, check."""
    from notebook_pages import write_notebooks

    write_command_line()
    write_api()
    write_sample_report()
    write_list_of_reports()
    write_notebooks()
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        return done.returncode
    for source in [*SITE.rglob("*.py"), *SITE.rglob("__pycache__")]:
        source.unlink() if source.is_file() else source.rmdir()
    found = problems()
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(list(SITE.rglob('*.html')))} pages in {SITE.relative_to(ROOT)}/, {len(found)} problems")
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main())
