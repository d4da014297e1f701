"""The card of a model: what a reader must know of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from oddrow.table.selection import span
from oddrow.thresholds.threshold import Threshold

if TYPE_CHECKING:
    from oddrow.artifact.artifact import Artifact


FINGERPRINT, REPRODUCE = "Fingerprint of the training rows", "Reproduce"
LIMITS = (
    "A score says how unlike the training rows a row is. It is no probability of fraud, and rows that differ from the "
    "training rows for harmless reasons score high too."
)


def facts(model: Artifact) -> list[tuple[str, str]]:
    """What a reader must know of the model, as names and texts."""
    origin, detector = model.origin, model.detector
    return [
        ("Detector", f"{type(detector).__name__}, {_short_parameters(detector)}"),
        ("Trained on", _trained_on(model)),
        *([("Training rows", "; ".join(said))] if (said := detector.about_rows) else []),
        ("Epochs run", f"{detector.n_epochs_:,}"),
        ("Threshold", f"alert {cut_in_words(model.threshold)}"),
        *([("Block", cut_in_words(model.block))] if model.block else []),
        *(("Before", f"{cut.value:.6g}, {cut.rule}, chosen on {cut.source} rows") for cut in model.earlier),
        *([(FINGERPRINT, origin.fingerprint.sha256)] if origin else []),
        *([(REPRODUCE, f"`{origin.command}`")] if origin and origin.command else []),
    ]


def model_card(model: Artifact) -> str:
    """What a reader must know of the model, as Markdown."""
    columns = model.detector.schema_.columns
    used = [f"| {_plain(column.name)} | {column.kind} | {column.why} |" for column in columns if column.is_feature]
    unused = [f"- {_plain(column.name)}: {column.kind}, {column.why}" for column in columns if not column.is_feature]
    lines = [
        "# oddrow model card",
        "",
        *(f"- {name}: {text}" for name, text in facts(model)),
        "",
        LIMITS,
        "",
        "## Columns used",
        "",
        "| column | kind | why |",
        "|---|---|---|",
        *used,
        *(["", "## Columns not used", "", *unused] if unused else []),
    ]
    return "\n".join(lines) + "\n"


def _plain(name: str) -> str:
    """A name that Markdown takes for nothing else."""
    return re.sub(r"([|<>\\])", r"\\\1", name)


def _trained_on(model: Artifact) -> str:
    """Which rows taught, and what became of known anomalies beside them."""
    origin, n_known = model.origin, model.detector.n_known_anomalies_
    rows = [f"{origin.n_rows - n_known:,} rows of {origin.named}"] if origin else ["rows in memory"]
    if origin and model.roles.time and (origin.start or origin.until):
        rows.append(f"rows with {span(model.roles.time, origin.start, origin.until)}")
    rows += [f"{origin.n_held_out:,} more held out for the threshold"] if origin else []
    return f"{'; '.join(rows)}; {n_known:,} known anomalies beside them were {_use_of_known(model)}"


def _use_of_known(model: Artifact) -> str:
    return "learned from, not to be rebuilt" if model.detector.learns_from_known else "left out"


def cut_in_words(cut: Threshold) -> str:
    """From which score on, by which rule, and what that promises."""
    promise = f"; it promises: {cut.promise}" if cut.promise else ""
    return f"from score {cut.value:.6g} on; rule {cut.rule}, chosen on {cut.source} rows{promise}"


def _short_parameters(estimator: Any) -> str:
    """The parameters that are not as usual."""
    parameters, usual = estimator.get_params(deep=False), type(estimator)().get_params(deep=False)
    changed = {name: value for name, value in parameters.items() if repr(value) != repr(usual[name])}
    return ", ".join(f"{name}={' '.join(repr(value).split())}" for name, value in changed.items()) or "as usual"
