"""Reports: what stands in them, that they need nothing from outside, and that a browser shows all of it."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from oddrow import workflow
from oddrow.artifact import Artifact
from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.report import Page, PageTable, Picture, Section, render
from oddrow.table.roles import Roles
from oddrow.thresholds.threshold import Threshold
from oddrow.train.training import Training
from oddrow.workflow.settings import Settings

pytest.importorskip("matplotlib", reason="the extra oddrow[report] is not installed")
pytest.importorskip("jinja2", reason="the extra oddrow[report] is not installed")

Oddrow = Callable[..., Any]

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
LARGEST = 5_000_000
SVG = "data:image/svg+xml;base64,"
# What a browser is asked: which pictures it could not draw, whether anything is wider than the window.
ASKED = """<script>
addEventListener("load", () => {
  const images = [...document.images], missing = images.filter((image) => !image.complete || !image.naturalWidth);
  const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
  document.body.dataset.seen = JSON.stringify({ images: images.length, missing: missing.length, wide });
});
</script>"""


@pytest.fixture(scope="module")
def reported(mixed_csv: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on the rows after those that the model was fitted to."""
    out = tmp_path_factory.mktemp("report") / "r.html"
    return workflow.report(str(mixed_csv), model, out, start="2024-01-20", command="oddrow report rows.csv")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def pictures(page: str) -> list[bytes]:
    sources = re.findall(r'<img src="([^"]*)"', page)
    assert all(source.startswith(SVG) for source in sources)
    return [base64.b64decode(source.removeprefix(SVG), validate=True) for source in sources]


def titles(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_the_report_has_every_part(reported: Path) -> None:
    assert titles(text_of(reported)) == [
        "Model",
        "Data",
        "Training and test rows",
        "Ranking",
        "Threshold",
        "Highest scores",
        "Important columns",
        "Limits",
        "Reproduce",
    ]


def test_the_report_is_one_small_file_that_asks_nobody(reported: Path) -> None:
    page = text_of(reported)
    assert reported.stat().st_size < LARGEST
    assert "<script" not in page
    without_pictures = re.sub(r'src="data:[^"]*"', "", page)
    assert "//" not in re.sub(r"/\*.*?\*/", "", without_pictures), "an address outside the file"
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []


def test_every_picture_is_whole_and_says_what_it_shows(reported: Path) -> None:
    page = text_of(reported)
    found = pictures(page)
    assert len(found) >= 12
    assert all(ElementTree.fromstring(svg).tag.endswith("svg") for svg in found)
    said = re.findall(r'alt="([^"]*)"', page)
    assert len(said) == len(found)
    assert all(len(text) > 20 for text in said)


def test_the_numbers_are_those_of_evaluate(reported: Path, mixed_csv: Path, model: Path) -> None:
    evaluation = workflow.evaluate(str(mixed_csv), model, start="2024-01-20")
    page = html.unescape(text_of(reported))
    for result in evaluation.results:
        assert f"<td>{result.auroc:.3f}</td>" in page
        assert f"<td>{result.confusion.f1:.3f}</td>" in page
    first = evaluation.results[0]
    assert f'<dd class="number">{first.average_precision:.3f}</dd>' in page
    interval = first.intervals["average_precision"]
    assert f"95 %: {interval.low:.3f} to {interval.high:.3f}" in page


def test_the_highest_scores_have_ids_labels_and_reasons(reported: Path, mixed_csv: Path, model: Path) -> None:
    page = html.unescape(text_of(reported))
    workflow.score(str(mixed_csv), model, reported.with_name("s.parquet"), start="2024-01-20", n_reasons=1)
    scored = pl.read_parquet(reported.with_name("s.parquet"))
    highest = scored.sort("anomaly_score", descending=True, maintain_order=True)[:20]
    part = page[page.index("<h2>Highest scores") : page.index("<h2>Important columns")]
    assert re.findall(r'<tr>\s*<td class="text short">(\d+)</td>', part) == [str(id) for id in highest["row_id"]]
    assert set(re.findall(r">(anomaly|normal)</td>", part)) == {"anomaly", "normal"}
    assert part.count("% of the explanation)") >= 20


def test_the_report_says_how_to_reproduce_it(reported: Path, model: Path) -> None:
    artifact = Artifact.load(model)
    page = html.unescape(text_of(reported))
    assert artifact.origin is not None
    assert artifact.origin.fingerprint.sha256 in page
    assert artifact.threshold.fingerprint is not None
    assert artifact.threshold.fingerprint.sha256 in page
    assert "<pre>oddrow report rows.csv</pre>" in page
    assert "polars " in page


def test_the_same_model_and_rows_give_the_same_bytes(reported: Path, mixed_csv: Path, model: Path) -> None:
    again = workflow.report(
        str(mixed_csv), model, reported.with_name("again.html"), start="2024-01-20", command="oddrow report rows.csv"
    )
    assert text_of(again) == text_of(reported)


# Without labels, and other tables


def test_without_labels_nothing_is_measured(mixed: pl.DataFrame, model: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    mixed.drop("fraud").write_parquet(tmp_path / "new.parquet")
    ran = oddrow("report", tmp_path / "new.parquet", "--model", model, "--out", tmp_path / "r.html")
    assert ran.code == 0, ran.err
    assert "There are no labels of both classes" in ran.out
    page = html.unescape(text_of(tmp_path / "r.html"))
    assert "Ranking" not in page
    assert "Without labels, nothing says how many of them are right." in page
    assert len(pictures(page)) >= 6


def test_rows_that_the_model_has_seen_are_told(mixed: pl.DataFrame, model: Path, tmp_path: Path) -> None:
    mixed.drop("fraud").write_parquet(tmp_path / "old.parquet")
    page = html.unescape(text_of(workflow.report(str(tmp_path / "old.parquet"), model, tmp_path / "r.html")))
    assert "of these rows equal training rows, which the model has seen before." in page


def test_one_row_is_enough(mixed: pl.DataFrame, model: Path, tmp_path: Path) -> None:
    mixed[-1:].drop("fraud").write_parquet(tmp_path / "one.parquet")
    page = text_of(workflow.report(str(tmp_path / "one.parquet"), model, tmp_path / "r.html"))
    assert "The row with the highest score," in page


def test_labels_of_one_class_measure_nothing(mixed: pl.DataFrame, model: Path, tmp_path: Path) -> None:
    mixed.filter(pl.col("fraud") == 0).write_parquet(tmp_path / "normal.parquet")
    out = workflow.report(str(tmp_path / "normal.parquet"), model, tmp_path / "r.html")
    assert "Ranking" not in titles(text_of(out))


def test_a_report_without_a_place_is_kept_with_the_model_and_goes_with_it(
    mixed_csv: Path, model: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(model, own)
    assert oddrow("report", mixed_csv, "--model", own, "--from", "2024-01-20").code == 0
    assert (own / "report.html").exists()
    Artifact.load(own)
    ran = oddrow("threshold", mixed_csv, "--model", own, "--rule", "quantile:0.9", "--from", "2024-01-20")
    assert ran.code == 0, ran.err
    assert not (own / "report.html").exists(), "it was of another cut"


def test_budgets_and_weights_are_told_as_they_are(mixed: pl.DataFrame, tmp_path: Path) -> None:
    table = str(tmp_path / "rows.parquet")
    mixed.with_columns(w=pl.lit(0.001)).write_parquet(table)
    options = {"label": "fraud", "time": "time", "until": "2024-01-15", "id": "row_id", "weight": "w"}
    settings = Settings.gather(
        sets=["detector=autoencoder", "training.epochs=2"], options={**options, "threshold": "budget:2"}
    )
    workflow.fit(table, tmp_path / "m", settings)
    page = html.unescape(text_of(workflow.report(table, tmp_path / "m", start="2024-01-15", weight="w")))
    assert "are alerts, at most 2 a day, the highest scores first. Rule budget:2" in page
    assert "rows.parquet, time >= 2024-01-15" in page
    assert "counts of rows are sums of weights" in page
    part = page[page.index("<h2>Highest scores") : page.index("<h2>Important columns")]
    lines = [line for line in part.split("</tr>") if "% of the explanation)" in line]
    passing = [">yes</td>" in line for line in lines]
    assert 0 < sum(passing) < len(passing), "of some days there are more than two"
    assert [" instead of " in line for line in lines] == passing, "only alerts have something to pass with"


def test_a_detector_saved_from_python_is_reported(mixed: pl.DataFrame, tmp_path: Path) -> None:
    """It comes from no file, and the table has a column more than it was fitted to."""
    features = mixed.drop("fraud", "row_id")
    detector = AutoencoderDetector(training=Training(epochs=2), random_state=0).fit(features, mixed["fraud"])
    cut = Threshold(float(np.quantile(detector.anomaly_score(features), 0.9)), "fixed:1")
    Artifact(detector, cut, roles=Roles(label="fraud")).save(tmp_path / "m")
    mixed.write_parquet(tmp_path / "rows.parquet")
    page = html.unescape(text_of(workflow.report(str(tmp_path / "rows.parquet"), tmp_path / "m")))
    assert "No baselines: the model was not fitted from files." in page
    assert "rows in memory" in page
    assert " instead of " in page


def test_names_that_no_picture_can_hold_make_no_broken_one(mixed: pl.DataFrame, tmp_path: Path) -> None:
    odd = {"amount": "a\x01b", "fee": "$\\frac{$", "age": "--><x>"}
    table = str(tmp_path / "rows.parquet")
    changed = mixed.rename(odd).with_columns(pl.col("a\x01b") * 1e304)
    changed.write_parquet(table)
    workflow.fit(
        table,
        tmp_path / "m",
        Settings.gather(sets=["detector=autoencoder", "training.epochs=2"], options={"label": "fraud"}),
    )
    found = pictures(text_of(workflow.report(table, tmp_path / "m")))
    assert all(ElementTree.fromstring(svg).tag.endswith("svg") for svg in found)


def test_amounts_bring_their_pictures_and_a_rule_of_cost_its_curve(mixed: pl.DataFrame, tmp_path: Path) -> None:
    table = str(tmp_path / "rows.parquet")
    mixed.write_parquet(table)
    options = {"label": "fraud", "amount": "amount", "time": "time", "until": "2024-01-15", "drop": "row_id"}
    workflow.fit(
        table, tmp_path / "m", Settings.gather(sets=["detector=autoencoder", "training.epochs=2"], options=options)
    )
    workflow.threshold(table, tmp_path / "m", "cost:5", start="2024-01-15", until="2024-01-22")
    page = html.unescape(text_of(workflow.report(table, tmp_path / "m", start="2024-01-22")))
    assert "Cost of each possible threshold: 5 for a false alarm" in page
    assert "Amount of each row" in page
    assert "of the anomalies' amount" in page


def test_columns_that_are_samples_in_time_are_drawn_as_such(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    beats = np.sin(np.linspace(0, 6, 40)) + rng.normal(0, 0.1, (300, 40))
    table = str(tmp_path / "beats.parquet")
    pl.DataFrame(beats, schema=[str(place) for place in range(40)]).write_parquet(table)
    workflow.fit(table, tmp_path / "m", Settings.gather(sets=["detector=autoencoder", "training.epochs=2"]))
    page = html.unescape(text_of(workflow.report(table, tmp_path / "m")))
    assert page.count("original, reconstruction and error") == 4, "two pictures, in alt and caption"
    assert "Important columns" not in titles(page)


def test_a_mixture_shows_its_space(mixed: pl.DataFrame, tmp_path: Path) -> None:
    table = str(tmp_path / "rows.parquet")
    mixed.write_parquet(table)
    settings = Settings.gather(
        sets=["training.epochs=2"], options={"label": "fraud", "drop": "row_id", "detector.name": "dagmm"}
    )
    workflow.fit(table, tmp_path / "m", settings)
    page = html.unescape(text_of(workflow.report(table, tmp_path / "m")))
    assert "Rows in the latent space" in page


# What is refused


def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_left(
    mixed_csv: Path, model: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    ran = oddrow("report", mixed_csv, "--model", model, "--out", tmp_path / "no" / "r.html")
    assert ran.code == 1
    assert "there is no folder" in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["rows.parquet", "m/manifest.json", "m/tensors.safetensors"])
def test_what_is_read_is_not_written_over(
    mixed: pl.DataFrame, model: Path, oddrow: Oddrow, tmp_path: Path, place: str
) -> None:
    mixed.write_parquet(tmp_path / "rows.parquet")
    shutil.copytree(model, tmp_path / "m")
    before = (tmp_path / place).read_bytes()
    for command in (("report", "--out"), ("evaluate", "--json")):
        ran = oddrow(command[0], tmp_path / "rows.parquet", "--model", tmp_path / "m", command[1], tmp_path / place)
        assert ran.code == 1
        assert "would be overwritten" in ran.err
    assert (tmp_path / place).read_bytes() == before


def test_names_from_a_table_are_text_not_markup() -> None:
    evil = "<script>alert(1)</script>"
    section = Section(evil, [evil], [PageTable((evil,), [(evil,)], evil)], [Picture(b"<svg/>", evil)], [evil], [evil])
    page = render(Page(evil, evil, [(evil, evil, evil)], [section]))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 16


# A browser


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_every_picture_and_complains_of_nothing(reported: Path, tmp_path: Path, width: int) -> None:
    asking = tmp_path / "asking.html"
    asking.write_text(text_of(reported).replace("</body>", f"{ASKED}</body>"), encoding="utf-8")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    flags += [f"--window-size={width},900", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000"]
    done = subprocess.run(
        [str(BROWSER), *flags, "--dump-dom", asking.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    (seen,) = re.findall(r'data-seen="([^"]*)"', done.stdout)
    found = json.loads(html.unescape(seen))
    assert found == {"images": len(pictures(text_of(reported))), "missing": 0, "wide": False}
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []


def test_a_label_that_the_model_looks_at_is_refused(
    mixed_csv: Path, model: Path, oddrow: Oddrow, tmp_path: Path
) -> None:
    for command in ("report", "evaluate"):
        ran = oddrow(command, mixed_csv, "--model", model, "--label", "online", "--from", "2024-01-20")
        assert ran.code == 1
        assert "--label online: the model uses this column as a feature, so its scores know the answer." in ran.err
