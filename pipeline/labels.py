"""What the label column of the calibration rows holds, and whether calibration can rely on it."""

from __future__ import annotations

import difflib
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import SchemaError
from pipeline.values import texts

if TYPE_CHECKING:
    from pipeline.config import Config
    from vae_core import Threshold

__all__ = ["LabelCounts", "known_anomalies"]

SHOWN_VALUES = 5
FEWEST_NORMAL = 2  # synthetic anomalies are made from pairs of normal rows


def known_anomalies(labels: np.ndarray | None, threshold: Threshold) -> str | None:
    """What to know about a threshold that is fitted on rows among which are labelled anomalies.

    They take the places of the normal rows that alpha lets be flagged: with as many of them as
    alpha allows for, or more, no normal row need lie above the threshold. Labels do not choose
    rows, so this is said and nothing is left out.

    Args:
        labels: (n,) true for anomalies; None without a label column.
        threshold: that was fitted.

    Returns:
        Sentences, or None where there is nothing to say.
    """
    from vae_core import conformal_rank

    if labels is None or threshold.method == "best_f1":
        return None
    anomalies, alpha = int(labels.sum()), threshold.alpha
    most = 2 * anomalies >= len(labels)
    if threshold.method == "mad" and not most:
        return None
    # the conditional bound lets fewer rows be flagged than alpha alone
    conformal = threshold.method == "conformal"
    allowed = threshold.rank if conformal else conformal_rank(len(labels), alpha)
    if not anomalies or anomalies < allowed:
        return None
    much = "more than" if anomalies > allowed else "as many as"
    cure = "Keep them out of the calibration rows"
    if not most:
        cure += ", or set `threshold.method: mad`, which they hardly move"
    are = "is a labelled anomaly" if anomalies == 1 else "are labelled anomalies"
    return (
        f"{anomalies:,} of {len(labels):,} calibration rows {are}, {much} "
        f"alpha = {100 * alpha:g} % allows for: where they score high, the threshold lies among "
        f"them, and finds hardly any of their like. {cure}."
    )


class LabelCounts:
    """How often each value of the label column occurs, piece by piece.

    Without a label column it counts nothing and finds nothing wrong.

    Args:
        config: names the label column and its normal values.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.values: Counter[str] = Counter()
        self.missing = 0

    def add(self, piece: pa.Table) -> None:
        """Count the labels of some rows."""
        if self.config.label is None:
            return
        for pair in pc.value_counts(texts(piece.column(self.config.label))).to_pylist():
            if pair["values"] is None:
                self.missing += pair["counts"]
            else:
                self.values[pair["values"]] += pair["counts"]

    def check_normal(self) -> None:
        """Some of the rows counted are normal.

        A row without a label is taken for normal here. So where most rows have none, values that
        all mean anomalies may be just those that somebody looked into; a value that differs from a
        normal one by its spelling only may not.

        Raises:
            SchemaError: no value that occurs is a normal one, or fewer than two rows are normal;
                says which values occur, and which may have been meant.
        """
        if not self.values:
            return
        name, normal = str(self.config.label), self._normal()
        if not any(value in self.values for value in normal):
            near = self._near(normal)
            few = self.values.total() <= self.missing
            if few and not any(value.casefold() in _folded(normal) for value in self.values):
                return
            named = " or ".join(repr(value) for value in normal)
            guess = f"; did you mean {near!r}?" if near else ""
            raise SchemaError(
                f"no row of column `{name}` has the value {named} (`columns.{name}.normal`) among "
                f"the calibration rows; seen: {self._seen()}{guess}",
                hint=f"Give `columns.{name}.normal` in {self.config.path} the value that means "
                "normal, or calibrate on rows that have it. Nothing was registered.",
            )
        count = self.missing + sum(self.values[value] for value in normal)
        if count < FEWEST_NORMAL:
            raise SchemaError(
                f"{count} of the calibration rows is normal by column `{name}`, at least "
                f"{FEWEST_NORMAL} must be; seen: {self._seen()}",
                hint="Calibrate on rows that are normal for the most part. Nothing was registered.",
            )

    def _normal(self) -> tuple[str, ...]:
        return self.config.columns[str(self.config.label)].normal or ()

    def _near(self, normal: tuple[str, ...]) -> str | None:
        """The value that occurs and is spelled most like a normal one."""
        by_folded = {value.casefold(): value for value, _ in reversed(self.values.most_common())}
        for value in normal:
            near = difflib.get_close_matches(value.strip().casefold(), by_folded, n=1, cutoff=0.6)
            if near:
                return by_folded[near[0]]
        return None

    def _seen(self) -> str:
        counts = [*self.values.most_common(SHOWN_VALUES)]
        listed = ", ".join(f"{value} {count:,}" for value, count in counts)
        more = len(self.values) - len(counts)
        unlabelled = f", missing {self.missing:,}" if self.missing else ""
        return listed + (f" and {more:,} more values" if more else "") + unlabelled


def _folded(values: tuple[str, ...]) -> set[str]:
    return {value.strip().casefold() for value in values}
