"""Compare: classifiers with and without resampling of the rare class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.encoding.numeric_matrix import NumericMatrix
from oddrow.errors import ParameterError, check_number, counted
from oddrow.evaluate.folds import Fold, Spans, blocks_in_time, check_folds, stratified_folds, walk_forward
from oddrow.files import check_output_file, write_json, write_text
from oddrow.resampling.candidates import default_classifiers, default_samplers
from oddrow.resampling.comparison import Comparison
from oddrow.resampling.cvae import CVAESampler
from oddrow.resampling.trial import compare
from oddrow.table.dataset import Dataset, tell_columns
from oddrow.table.schema import Schema, check_features
from oddrow.table.table import Table, table_hashes
from oddrow.table.times import clock, duration, moment_on_clock
from oddrow.typing import Floats, Tell, silent
from oddrow.workflow.settings import Settings

CVAE = "CVAE"

SHARED_BY_FOLDS = ("checkpoint", "tensorboard", "progress")


@dataclass(frozen=True)
class FoldPlan:
    """How rows are divided into folds: at random, stratified by label, or along the time column.

    Parameters
    ----------
    n_folds : int, default=5
        Number of folds; with `spans`, the maximum.
    n_repeats : int, default=1
        How often random folds are drawn.
    spans : str or None, default=None
        Lengths of the training, delay and test periods, such as "7d,7d,7d", walked forward in time. Without them, rows
        in order of time are cut into blocks of equal size.

    Examples
    --------
    >>> FoldPlan(spans="7d,7d,7d").n_folds
    5
    """

    n_folds: int = 5
    n_repeats: int = 1
    spans: str | None = None

    def _folds(self, chosen: Dataset, y: Floats, settings: Settings) -> list[Fold]:
        """Return the folds of these rows; raise `ParameterError` if repeats or spans have no meaning."""
        if settings.roles.time is None:
            if self.spans is not None:
                raise ParameterError("--spans needs a time column. Name it: --time COLUMN.")
            return stratified_folds(y, self.n_folds, self.n_repeats, settings.seed)
        if self.n_repeats > 1:
            raise ParameterError(
                "--repeats draws random folds, but with --time rows keep their order. Leave one of them out."
            )
        times = chosen.table.frame[settings.roles.time]
        if self.spans is None:
            return blocks_in_time(clock(times), self.n_folds)
        start = None if settings.start is None else moment_on_clock(settings.start, times)
        return walk_forward(clock(times), self._spans(times), self.n_folds, start=start)

    def _spans(self, times: pl.Series) -> Spans:
        parts = (self.spans or "").split(",")
        if len(parts) != 3:
            raise ParameterError(
                f"--spans {self.spans}: expected three lengths (training, delay, test), such as 7d,7d,7d."
            )
        return Spans(*(duration(part.strip(), times) for part in parts))


def compare_samplers(
    tables: str | Path | Sequence[str | Path],
    settings: Settings,
    plan: FoldPlan,
    *,
    sampling_strategy: float | str = "auto",
    max_rows: int | None = None,
    json_to: str | Path | None = None,
    markdown_to: str | Path | None = None,
    tell: Tell = silent,
) -> Comparison:
    """Test whether resampling helps classifiers: train with and without it, and compare on held-out folds.

    Parameters
    ----------
    tables : str, Path or sequence of those
        Files or patterns.
    settings : Settings
        The roles of the columns, and how the CVAE trains.
    plan : FoldPlan
        How rows are divided into folds.
    sampling_strategy : float or str, default="auto"
        Ratio of rare to common rows after resampling; "auto" makes them equal.
    max_rows : int or None, default=None
        Maximum number of training rows in a fold.
    json_to, markdown_to : str, Path or None, default=None
        Files for the results.
    tell : callable, optional
        Receives what is reported: lines of text, then the comparison.

    Returns
    -------
    Comparison
        Metrics of every classifier after every sampler.

    Raises
    ------
    OddrowError
        If a table or a setting is invalid, or there is nothing to compare.

    Examples
    --------
    >>> compare_samplers("payments.csv", Settings(), FoldPlan())
    Traceback (most recent call last):
    oddrow.errors.ParameterError: compare needs labels. Name the column: --label COLUMN.
    """
    for path in (json_to, markdown_to):
        if path is not None:
            check_output_file(Path(path))
    _check_settings(settings, sampling_strategy)
    samplers = default_samplers(settings.seed, sampling_strategy)
    schema, chosen, y = _labelled(settings.select(tables, both=True), settings, tell)
    folds = plan._folds(chosen, y, settings)
    _check_ratio(sampling_strategy, y, folds, max_rows)
    tell(f"{chosen.table.n_rows:,} rows, {int(y.sum()):,} anomalies, {counted(len(folds), 'fold')}.")
    samplers[CVAE] = _cvae(settings, schema, sampling_strategy)
    found = compare(
        samplers,
        default_classifiers(settings.seed),
        chosen.table.frame.select(schema.feature_names),
        y,
        folds,
        weight=chosen.outcomes.weight,
        synthetic=chosen.table.synthetic,
        encode=lambda rows: _encoder(rows, schema),
        max_rows=max_rows,
        seed=settings.seed,
        tell=tell,
    )
    found = replace(found, notes=(*found.notes, *_repeated(chosen.table, schema, folds)))
    tell(found)
    if json_to is not None:
        write_json(found.to_dict(), Path(json_to))
    if markdown_to is not None:
        write_text(found.to_markdown() + "\n", Path(markdown_to))
    return found


def _check_settings(settings: Settings, sampling_strategy: float | str) -> None:
    """Refuse settings without effect, or with an effect that nobody wants."""
    if settings.roles.label is None:
        raise ParameterError("compare needs labels. Name the column: --label COLUMN.")
    if not isinstance(sampling_strategy, str):
        check_number("ratio", sampling_strategy, 0, 1, above=True)
    sections = {"detector": settings.parameters, "encoder": settings.encoder}
    if idle := [name for name, given in sections.items() if given]:
        raise ParameterError(f"[{idle[0]}] has no effect here, as no detector is fitted. Leave it out.")
    if shared := [name for name in SHARED_BY_FOLDS if name in settings.training]:
        raise ParameterError(f"training.{shared[0]} cannot be used here, as all folds would share it. Leave it out.")


def _check_ratio(sampling_strategy: float | str, y: Floats, folds: Sequence[Fold], max_rows: int | None) -> None:
    """Refuse a ratio that the training rows of some fold exceed before resampling."""
    if isinstance(sampling_strategy, str):
        return
    check_folds(folds, y, max_rows)
    counts = [np.bincount(y[fold.train].astype(int)) for fold in folds]
    most = max(n.min() / min(n.max(), (max_rows or n.sum()) - n.min()) for n in counts)
    if sampling_strategy <= most:
        raise ParameterError(
            f"--ratio {sampling_strategy:g}: the ratio of rare to common rows is already {most:.3g}. "
            "Choose a higher one."
        )


def _labelled(chosen: Dataset, settings: Settings, tell: Tell) -> tuple[Schema, Dataset, Floats]:
    """Return the schema of the features, the labelled rows and their labels."""
    schema = settings.schema_of(chosen.table)
    tell_columns(chosen.table, schema, settings.roles.time, tell)
    check_features(schema)
    schema.check(chosen.table.frame, chosen.rows)
    known = chosen.outcomes.labelled
    if not known.all():
        tell(f"{int((~known).sum()):,} rows without a label are excluded.")
    chosen = chosen.take(known)
    return schema, chosen, chosen.outcomes.labels


def _cvae(settings: Settings, schema: Schema, sampling_strategy: float | str) -> CVAESampler:
    return CVAESampler(
        sampling_strategy=sampling_strategy,
        training=settings.new_training(CVAESampler()._used_training),
        kinds={column.name: column.kind for column in schema.features},
        random_state=settings.seed,
    )


def _repeated(table: Table, schema: Schema, folds: Sequence[Fold]) -> list[str]:
    """Note the share of test rows that equal a training row: they make results look better and surer."""
    hashes = table_hashes(table.frame, schema)
    shares = [np.isin(hashes[fold.test], hashes[fold.train]).mean() for fold in folds]
    share = float(np.mean(shares))
    return [f"{share:.1%} of the test rows equal a training row."] if share > 0 else []


def _encoder(rows: pl.DataFrame, schema: Schema) -> Callable[[pl.DataFrame], npt.NDArray[np.float32]]:
    """Return a function that encodes rows with the scales and levels of these training rows."""
    features = Schema(schema.features)
    numbers = NumericMatrix(Table.from_frame(rows).with_schema(features))
    return lambda frame: numbers(Table.from_frame(frame).with_schema(features))
