"""Pictures: what is drawn, that the rare rows are, what is refused, and files whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oddrow import plots
from oddrow.errors import ParameterError, TableError
from oddrow.plots import ANOMALY, LATENT_NAMES, NORMAL, UNKNOWN, latent_space, loss_curve, save
from oddrow.plots.canvas import MOST_POINTS

pytest.importorskip("matplotlib", reason="the extra oddrow[report] is not installed")

PNG = b"\x89PNG\r\n\x1a\n"
COLOURS = {NORMAL: "normal", ANOMALY: "anomaly", UNKNOWN: "unknown"}


def space(n_normal: int, n_anomalies: int, n_unknown: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows in random order, their first column counting them, so that they can be told apart in a picture."""
    rng = np.random.default_rng(4)
    y = rng.permutation(np.repeat([0.0, 1.0, np.nan], [n_normal, n_anomalies, n_unknown]))
    return np.column_stack([np.arange(len(y)), rng.random((len(y), 2))]), y


def drawn(axes: Any) -> dict[str, list[int]]:
    """The rows drawn under each label, from the lowest layer to the topmost."""
    from matplotlib.colors import to_hex

    layers = sorted(axes.collections, key=lambda layer: layer.get_zorder())
    return {
        COLOURS[to_hex(layer.get_facecolor()[0]).upper()]: np.asarray(layer._offsets3d[0]).astype(int).tolist()
        for layer in layers
    }


def legend(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def pixels(axes: Any) -> np.ndarray:
    axes.figure.canvas.draw()
    return np.asarray(axes.figure.canvas.buffer_rgba()).copy()


def test_all_rows_of_a_small_table_are_drawn_by_their_label() -> None:
    z, y = space(60, 5, 20)
    axes: Any = latent_space(z, y)
    found = drawn(axes)
    assert list(found) == ["unknown", "normal", "anomaly"], "the rarer label lies on top"
    assert found["anomaly"] == np.flatnonzero(y == 1).tolist()
    assert found["normal"] == np.flatnonzero(y == 0).tolist()
    assert found["unknown"] == np.flatnonzero(np.isnan(y)).tolist()
    assert legend(axes) == ["unknown: 20", "normal: 60", "anomaly: 5"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_zlabel()) == LATENT_NAMES


def test_a_rare_row_behind_all_others_is_seen() -> None:
    """300 normal rows on one spot, one anomaly behind it as the viewer stands, and the corners of the space."""
    from matplotlib.colors import to_rgb

    z = np.array([[0.5, 0.5, 0.5]] * 300 + [[0.478, 0.538, 0.467], [0, 0, 0], [1, 1, 1]])
    axes: Any = latent_space(z, [0] * 300 + [1, np.nan, np.nan])
    axes.get_legend().remove()
    seen = pixels(axes)[..., :3].astype(float)
    distance = np.abs(seen - 255 * np.array(to_rgb(ANOMALY))).sum(axis=-1)
    assert (distance < 80).sum() > 20


@pytest.mark.parametrize(
    ("counts", "n_drawn"),
    [
        ((100_000, 300), {"normal": 4_700, "anomaly": 300}),
        ((9_000, 8_000), {"normal": 2_500, "anomaly": 2_500}),
        ((300, 9_000), {"anomaly": 4_700, "normal": 300}),
        ((0, 20, 9_000), {"unknown": 4_980, "anomaly": 20}),
        ((0, 9_000), {"anomaly": 5_000}),
        ((9_000, 0), {"normal": 5_000}),
        ((0, 0, 9_000), {"unknown": 5_000}),
    ],
    ids=str,
)
def test_large_tables_are_thinned_and_the_rare_rows_stay(counts: tuple[int, ...], n_drawn: dict[str, int]) -> None:
    z, y = space(*counts)
    axes = latent_space(z, y)
    found = drawn(axes)
    assert {label: len(rows) for label, rows in found.items()} == n_drawn
    assert list(found)[-1] == list(n_drawn)[-1], "the rarer label lies on top"
    assert all(len(set(rows)) == len(rows) for rows in found.values()), "no row is drawn twice"
    assert drawn(latent_space(z, y)) == found, "the same rows every time"


def test_the_legend_says_how_many_of_how_many() -> None:
    assert legend(latent_space(*space(100_000, 300))) == ["normal: 4,700 of 100,000 drawn", "anomaly: 300"]


def test_names_and_axes_may_be_given() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.add_subplot(1, 2, 2, projection="3d")
    given: Any = latent_space(*space(9, 1), names=("a", "b", "c"), axes=axes)
    assert given is axes
    assert (given.get_xlabel(), given.get_ylabel(), given.get_zlabel()) == ("a", "b", "c")
    with pytest.raises(ParameterError, match=r"latent_space draws in three dimensions.*projection='3d'"):
        latent_space(*space(9, 1), axes=figure.add_subplot(1, 2, 1))


def test_what_is_given_stays_as_it_is() -> None:
    z, y = space(50, 5)
    before = z.copy(), y.copy()
    state = np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    latent_space(z, y)
    np.testing.assert_equal((z, y), before)
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == state  # noqa: NPY002


ROWS = np.zeros((4, 3))


@pytest.mark.parametrize(
    ("z", "y", "message"),
    [
        (
            np.zeros((4, 5)),
            np.zeros(4),
            r"z has 5 columns.*three\. For DAGMM, z\[:, \[0, 3, 4\]\] is the first latent",
        ),
        (np.zeros((4, 2)), np.zeros(4), r"z has 2 columns, but latent_space draws three\.$"),
        (np.zeros(4), np.zeros(4), r"z has shape \(4,\)\. Expected \(n, 3\)"),
        (np.zeros((0, 3)), np.zeros(0), r"z has shape \(0, 3\).*at least one row"),
        (ROWS, np.zeros(3), r"y has shape \(3,\), but z has 4 rows"),
        (ROWS, [0, 2, 1, -1], r"y: 2 of 4 rows are not 1 anomaly, 0 normal or NaN unknown \(row 1 2.0, row 3 -1.0\)"),
        (np.where(np.eye(4, 3) > 0, np.inf, 0), np.zeros(4), r"z: 3 of 4 rows are not finite numbers \(row 0 \[inf, 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(z: Any, y: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        latent_space(z, y)


def test_three_columns_have_three_names() -> None:
    with pytest.raises(ParameterError, match=r"names=\('a', 'b'\): expected 3 names"):
        latent_space(*space(3, 1), names=["a", "b"])


def test_a_picture_is_saved_from_its_axes_or_its_figure(tmp_path: Path) -> None:
    axes: Any = latent_space(*space(40, 4))
    save(axes, tmp_path / "axes.png")
    save(axes.get_figure(), str(tmp_path / "figure.png"))
    assert (tmp_path / "axes.png").read_bytes() == (tmp_path / "figure.png").read_bytes()
    assert (tmp_path / "axes.png").read_bytes().startswith(PNG)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["axes.png", "figure.png"]


def test_the_older_picture_stays_where_a_new_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(unfinished: Path, **options: Any) -> None:
        unfinished.write_bytes(PNG)
        raise OSError("no space left on device")

    axes, path = latent_space(*space(40, 4)), tmp_path / "latent.png"
    path.write_bytes(b"older")
    monkeypatch.setattr(axes.get_figure(), "savefig", fail)
    with pytest.raises(TableError, match=r"latent.png: cannot be written \(no space left"):
        save(axes, path)
    assert path.read_bytes() == b"older"
    assert [path.name for path in tmp_path.iterdir()] == ["latent.png"]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("latent.pdf", ParameterError, r"latent.pdf: plots are saved as PNG"),
        ("nowhere/latent.png", TableError, r"there is no folder"),
    ],
)
def test_a_place_that_no_picture_goes_to_is_refused(
    tmp_path: Path, name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        save(latent_space(*space(3, 1)), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axes = latent_space(*space(3, 1))
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    for draw in (lambda: latent_space(*space(3, 1)), lambda: save(axes, tmp_path / "latent.png")):
        with pytest.raises(ParameterError, match=r"^plots need matplotlib: pip install 'oddrow\[report\]'"):
            draw()


def test_no_window_and_no_global_figure_is_made() -> None:
    latent_space(*space(3, 1))
    assert "matplotlib.pyplot" not in sys.modules


# Losses


def test_every_part_of_the_loss_is_a_curve_over_the_epochs() -> None:
    axes: Any = loss_curve({"total": [3.0, 2.0], "KL": [1.0, 0.5]})
    assert {line.get_label(): line.get_xydata().tolist() for line in axes.lines} == {
        "total": [[1, 3], [2, 2]],
        "KL": [[1, 1], [2, 0.5]],
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "nats for each row")
    assert legend(axes) == ["total", "KL"]


@pytest.mark.parametrize("parts", [{}, {"total": [1.0], "KL": [1.0, 2.0]}, {"total": [[1.0]]}])
def test_parts_without_a_number_for_each_epoch_are_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match="one number for each epoch"):
        loss_curve(parts)


# Classes, rankings, rows


Y = np.repeat([0.0, 1.0, np.nan], [9000, 30, 400])
SCORES = np.random.default_rng(0).lognormal(size=9430)


def offsets(axes: Any) -> dict[str, np.ndarray]:
    """The points drawn under each label of the legend."""
    return {layer.get_label().split(":")[0]: np.asarray(layer.get_offsets()) for layer in axes.collections}


def lines(axes: Any) -> dict[str, np.ndarray]:
    return {line.get_label().split(":")[0]: line.get_xydata() for line in axes.get_lines()}


def test_class_counts_are_bars_with_shares() -> None:
    axes: Any = plots.class_counts(Y)
    assert sorted(bar.get_height() for bar in axes.patches) == [30, 400, 9000]
    assert any("anomaly: 30 (0.32%)" in text for text in legend(axes))
    assert axes.get_yscale() == "log"


def test_a_column_by_class_adds_up_to_one_in_each() -> None:
    axes = plots.column_by_class(np.append(SCORES[:-1], np.nan), Y, name="amount")
    areas = [np.asarray(patch.get_path().vertices)[:, 1].max() for patch in axes.patches]
    assert all(0 < area <= 1 for area in areas)
    assert len(areas) == 3
    assert axes.get_xlabel().startswith("amount")
    wide = plots.column_by_class(10 ** np.linspace(0, 6, 100), np.resize([0.0, 1.0], 100), name="amount")
    assert (wide.get_xscale(), wide.get_xlabel()) == ("log", "amount (log)")
    assert plots.column_by_class(np.ones(4), np.zeros(4), name="same").get_xscale() == "linear"


def test_the_rare_class_is_never_left_out_of_points() -> None:
    axes: Any = plots.scores_by_row(SCORES, Y, {"review": 3.0, "block": 8.0})
    found = offsets(axes)
    assert found["anomaly"][:, 0].tolist() == list(range(9000, 9030))
    assert sum(map(len, found.values())) == MOST_POINTS
    assert max(axes.collections, key=lambda layer: layer.get_zorder()).get_label().startswith("anomaly")
    assert {"review", "block"} <= {line.get_label().split(":")[0] for line in axes.get_lines()}
    amounts = plots.amount_by_row(SCORES, np.arange(len(Y)), Y, name="amount (EUR)", x_name="seconds")
    assert (amounts.get_xlabel(), amounts.get_ylabel()) == ("seconds", "amount (EUR)")


def test_curves_are_drawn_as_they_are_given() -> None:
    x, y = np.linspace(0, 1, 5), np.linspace(1, 0, 5)
    for axes, name in (
        (plots.roc({"model": (x, y)}), "model"),
        (plots.precision_recall({"model": (x, y)}, 0.01), "model"),
        (plots.threshold_curve(x, y, y, {"cut": 0.5}), "precision"),
        (plots.precision_at_k(x, y, y), "this ranking"),
        (plots.cost_curve(x, y), "cost"),
        (plots.calibration(x, y), "probabilities"),
    ):
        np.testing.assert_array_equal(lines(axes)[name], np.column_stack([x, y]))
        assert axes.get_title()
        assert axes.get_xlabel()
        assert axes.get_ylabel()
    assert "chance: 1.00%" in legend(plots.precision_recall({"model": (x, y)}, 0.01))


def test_histograms_show_cuts() -> None:
    axes = plots.score_histogram(SCORES, Y, {"budget:40": 2.5})
    assert "budget:40: 2.5" in legend(axes)
    assert len(axes.patches) == 3


def test_a_confusion_matrix_says_counts_and_shares_of_each_class() -> None:
    axes = plots.confusion_matrix([[900, 100], [5, 15]])
    assert [text.get_text() for text in axes.texts] == ["900\n90.0%", "100\n10.0%", "5\n25.0%", "15\n75.0%"]


def test_rows_and_their_reasons() -> None:
    beat = np.sin(np.linspace(0, 6, 140))
    axes = plots.reconstruction(beat, 0.8 * beat)
    np.testing.assert_array_equal(lines(axes)["original"][:, 1], beat)
    bars = plots.contributions(["a", "b", "c"], [0.2, 0.7, 0.1])
    assert [text.get_text() for text in bars.get_yticklabels()] == ["c", "a", "b"], "the largest on top"
    both = plots.marginals(SCORES[:500], SCORES[500:900], name="amount")
    assert legend(both) == ["real", "generated"]


def test_pictures_go_into_axes_that_are_given(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    one, other = figure.subplots(1, 2)
    assert plots.class_counts(Y, axes=one) is one
    assert plots.score_histogram(SCORES, Y, axes=other) is other
    save(figure, tmp_path / "both.png")
    assert (tmp_path / "both.png").read_bytes().startswith(PNG)


def test_a_plane_of_codes_shows_the_rarer_label_on_top() -> None:
    z, y = space(60, 5)
    axes: Any = plots.latent_plane(z[:, :2], y)
    layers = sorted(axes.collections, key=lambda layer: layer.get_zorder())
    assert [len(layer.get_offsets()) for layer in layers] == [60, 5]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("code 1", "code 2")
    with pytest.raises(ParameterError, match="z has 3 columns, but latent_plane draws two"):
        plots.latent_plane(z, y)


def test_svg_is_the_same_bytes_for_the_same_picture_and_has_no_ground() -> None:
    first, second = (plots.as_svg(plots.roc({"a": ([0, 1], [0, 1])})) for _ in range(2))
    assert first == second
    assert first.startswith(b"<?xml")
    assert b"date" not in first.lower()
    with_points = plots.as_svg(plots.scores_by_row(np.arange(3000.0), np.zeros(3000)))
    assert with_points.count(b"<image") >= 1, "points are pixels: 3,000 shapes would be slow to show"
    assert len(with_points) < 200_000


def test_names_are_shown_as_they_are_written() -> None:
    """To matplotlib, what stands between two dollar signs is a formula, and a broken one an error."""
    name = r"$\frac{1}$ & <b>"
    for axes in (
        plots.column_by_class(np.arange(9.0), np.zeros(9), name=name),
        plots.contributions([name, "a" * 90], [0.7, 0.3]),
        plots.roc({name: ([0, 1], [0, 1])}),
    ):
        pixels(axes)
    labels = [label.get_text() for label in plots.contributions([name, "a" * 90], [0.7, 0.3]).get_yticklabels()]
    assert labels == ["a" * 27 + "…", name]


def test_letters_that_the_font_lacks_are_boxes_and_no_warning() -> None:
    assert plots.as_svg(plots.column_by_class(np.arange(9.0), np.zeros(9), name="金額 🍏")).startswith(b"<?xml")


def test_losses_lie_at_their_epochs() -> None:
    of_two, counted = loss_curve({"loss": [3.0, 2.0]}, epochs=[50, 100]), loss_curve({"loss": [3.0, 2.0]})
    assert np.asarray(of_two.lines[0].get_xdata()).tolist() == [50, 100]
    assert np.asarray(counted.lines[0].get_xdata()).tolist() == [1, 2]


def test_levels_lie_beside_each_other_by_class() -> None:
    levels, y = ["a"] * 6 + ["b"] * 2 + [None] * 2, np.array([0] * 8 + [1] * 2, float)
    axes = plots.levels_by_class(levels, y, name="shop")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a", "missing"]
    widths = {bar.get_label(): [patch.get_width() for patch in bar] for bar in axes.containers}
    assert widths == {"normal: 8": [0.25, 0.75, 0.0], "anomaly: 2": [0.0, 0.0, 1.0]}
