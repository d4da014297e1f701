"""The card of a model: what a reader must know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oddrow.table.selection import span
from oddrow.thresholds.threshold import Threshold

if TYPE_CHECKING:
    from oddrow.artifact.artifact import Artifact


def model_card(model: Artifact) -> str:
    """What a reader must know of the model, as Markdown."""
    columns = model.detector.schema_.columns
    used = [f"| {column.name} | {column.kind} | {column.why} |" for column in columns if column.is_feature]
    unused = [f"- {column.name}: {column.kind}, {column.why}" for column in columns if not column.is_feature]
    origin = model.origin
    n_known = model.detector.n_known_anomalies_
    rows = [f"{origin.n_rows - n_known:,} rows of {origin.named}"] if origin else ["rows in memory"]
    if origin and model.roles.time and (origin.start or origin.until):
        rows.append(f"rows with {span(model.roles.time, origin.start, origin.until)}")
    rows += [f"{origin.n_held_out:,} more held out for the threshold"] if origin else []
    if (trimmed := model.detector.trim_share) > 0:
        rows.append(f"{trimmed:.1%} of them, the oddest after a trial, were left out")
    lines = [
        "# oddrow model card",
        "",
        f"- Detector: {type(model.detector).__name__}, {_short_parameters(model.detector)}",
        f"- Trained on: {'; '.join(rows)}; {n_known:,} known anomalies among them were {_use_of_known(model)}",
        f"- Epochs run: {model.detector.n_epochs_:,}",
        f"- {_cut('Threshold: alert', model.threshold)}",
        *([f"- {_cut('Block', model.block)}"] if model.block else []),
        *(f"- Before: {cut.value:.6g}, {cut.rule}, chosen on {cut.source} rows" for cut in model.earlier),
        *([f"- Fingerprint of the training rows: {origin.fingerprint.sha256}"] if origin else []),
        *([f"- Reproduce: `{origin.command}`"] if origin and origin.command else []),
        "",
        "A score says how unlike the training rows a row is. It is no probability of fraud, and rows that differ",
        "from the training rows for harmless reasons score high too.",
        "",
        "## Columns used",
        "",
        "| column | kind | why |",
        "|---|---|---|",
        *used,
        *(["", "## Columns not used", "", *unused] if unused else []),
    ]
    return "\n".join(lines) + "\n"


def _use_of_known(model: Artifact) -> str:
    return "learned from, not to be rebuilt" if model.detector.learns_from_known else "left out"


def _cut(name: str, cut: Threshold) -> str:
    promise = f"; it promises: {cut.promise}" if cut.promise else ""
    return f"{name} from score {cut.value:.6g} on; rule {cut.rule}, chosen on {cut.source} rows{promise}"


def _short_parameters(estimator: Any) -> str:
    parameters = estimator.get_params(deep=False)
    return ", ".join(f"{name}={value!r}".replace("\n", " ") for name, value in parameters.items() if value is not None)
