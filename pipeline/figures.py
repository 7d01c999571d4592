"""Figures of a run, as matplotlib objects.

Every function returns a ``matplotlib.figure.Figure`` for ``mlflow.log_figure`` or ``savefig``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.canvas import ANOMALY, LINE, MUTED, NORMAL, canvas, describe, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from vae_core import Threshold

Columns = Mapping[str, "NDArray[Any]"]

__all__ = [
    "generation_chart",
    "latent_scatter",
    "loss_curves",
    "reconstruction_scatter",
    "roc_and_precision",
    "score_histogram",
]

_POINTS = 2000
_PANELS = 12


def loss_curves(history: Sequence[Mapping[str, float]]) -> Figure:
    """Objective of training and validation rows, and the parts of the validation ELBO.

    Args:
        history: one dict per evaluation, as ``vae_core.train`` reports them: nats per row.
    """
    figure, (left, right) = canvas(1, 2, 10, 3.8)
    epochs = [entry["epoch"] for entry in history]

    def curve(axes: Axes, key: str, label: str, **style: Any) -> None:
        if history and key in history[0]:
            axes.plot(epochs, [entry[key] for entry in history], label=label, **style)

    curve(left, "train_objective", "training rows", color=MUTED)
    curve(left, "validation_objective", "validation rows", color=NORMAL)
    describe(left, "Objective (lower is better)", "epoch", "nats per row, scaled units")
    if history:
        left.legend(frameon=False, loc="upper right")
    curve(right, "validation_elbo", "ELBO", color=LINE, linewidth=2)
    curve(right, "validation_reconstruction_log_prob", "reconstruction", color=NORMAL)
    describe(right, "ELBO of validation rows and its parts", "epoch", "nats per row, scaled units")
    twin = right.twinx()
    twin.spines["top"].set_visible(False)
    curve(twin, "validation_kl", "KL (right axis)", color=ANOMALY, linestyle="--")
    twin.set_ylabel("KL, nats per row", color=ANOMALY)
    twin.set_ylim(bottom=0)
    handles = [*right.get_lines(), *twin.get_lines()]
    names = [str(line.get_label()) for line in handles]
    right.legend(handles, names, frameon=False, loc="lower right")
    return figure


def score_histogram(
    scores: NDArray[np.float64],
    threshold: Threshold,
    name: str = "anomaly_score",
    labels: NDArray[np.bool_] | None = None,
    weighted: float | None = None,
) -> Figure:
    """How scores are distributed, where the threshold lies, and the rate that it promises.

    Args:
        scores: (N,) higher is more anomalous.
        threshold: its value is drawn, its interval written.
        name: of the score.
        labels: (N,) true for anomalies, where known.
        weighted: a night's own cut-off, by weighted calibration rows, where it has one.
    """
    figure, axes = canvas(1, 1, 7, 3.8)
    scores = np.asarray(scores, dtype=np.float64)
    low, high = np.percentile(scores, [0.1, 99.9])
    cuts = [threshold.value] if weighted is None else [threshold.value, weighted]
    low, high = min(low, *cuts), max(high, *cuts)
    margin = 0.05 * (high - low) or 1.0
    edges = np.linspace(low - margin, high + margin, 81)
    parts = [("rows", NORMAL, scores)]
    if labels is not None and labels.any():
        parts = [("normal", NORMAL, scores[~labels]), ("anomalies", ANOMALY, scores[labels])]
    for label, color, values in parts:
        shown = np.clip(values, edges[0], edges[-1])
        axes.hist(shown, edges, color=color, alpha=0.75, label=f"{label} ({len(values):,})")
    axes.set_yscale("symlog", linthresh=10)
    axes.set_ylim(bottom=0)
    axes.axvline(threshold.value, color=LINE, linestyle="--", linewidth=1.2)
    low_rate, high_rate = threshold.interval
    axes.plot([], [], color=LINE, linestyle="--", label=f"threshold {threshold.value:.4g}")
    if weighted is not None:
        axes.axvline(weighted, color=ANOMALY, linewidth=1.2, label=f"weighted cut {weighted:.4g}")
    describe(
        axes,
        f"{name}: {threshold.method}, alpha {threshold.alpha:g}, "
        f"true rate {100 * low_rate:.2f}–{100 * high_rate:.2f} %",
        f"{name} (higher is more anomalous; ends hold all beyond)",
        "rows",
    )
    axes.legend(frameon=False, loc="upper right")
    return figure


def roc_and_precision(
    labels: NDArray[np.bool_], scores: NDArray[np.float64], threshold: float
) -> Figure:
    """ROC and precision–recall curves of labelled rows, with the threshold's place on both."""
    from sklearn.metrics import auc, precision_recall_curve, roc_curve

    figure, (left, right) = canvas(1, 2, 10, 4.2)
    wrong, found, _ = roc_curve(labels, scores)
    precision, recall, _ = precision_recall_curve(labels, scores)
    flags = scores > threshold
    at = (flags[~labels].mean(), flags[labels].mean())
    left.plot(wrong, found, color=NORMAL, label=f"area {auc(wrong, found):.4f}")
    left.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":", label="chance")
    left.plot(*at, "o", color=ANOMALY, label=f"threshold: {at[1]:.1%} found at {at[0]:.2%}")
    describe(left, "ROC", "false-positive rate", "anomalies found")
    share = float(labels.mean())
    area = -float(np.sum(np.diff(recall) * precision[:-1]))
    right.plot(recall, precision, color=NORMAL, label=f"average precision {area:.4f}")
    right.axhline(share, color=MUTED, linewidth=0.8, linestyle=":", label="chance")
    if flags.any():
        right.plot(at[1], labels[flags].mean(), "o", color=ANOMALY, label="threshold")
    describe(right, "Precision and recall", "anomalies found", "precision")
    for axes in (left, right):
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.legend(frameon=False, loc="lower right" if axes is left else "lower left")
    return figure


def latent_scatter(
    latents: NDArray[np.float64],
    scores: NDArray[np.float64],
    labels: NDArray[np.bool_] | None = None,
) -> Figure:
    """Latent means of rows, projected on their two principal axes, coloured by score.

    Args:
        latents: (N, L) posterior means.
        scores: (N,) higher is more anomalous.
        labels: (N,) true for anomalies, where known: drawn with a ring.
    """
    figure, axes = canvas(1, 1, 6, 4.8)
    keep = _spread_out(len(latents))
    if labels is not None:
        keep = np.union1d(keep, np.flatnonzero(labels)[:_POINTS])
    points = np.asarray(latents, dtype=np.float64)
    centred = points - points.mean(axis=0)
    _, _, axis = np.linalg.svd(centred[keep], full_matrices=False)
    placed = np.zeros((len(keep), 2))
    projected = centred[keep] @ axis[:2].T
    placed[:, : projected.shape[1]] = projected
    shown = np.asarray(scores, dtype=np.float64)[keep]
    order = np.argsort(shown, kind="stable")
    low, high = np.percentile(shown, [1, 99])
    drawn = axes.scatter(
        *placed[order].T, c=shown[order], s=9, cmap="viridis", vmin=low, vmax=high, linewidths=0
    )
    figure.colorbar(drawn, ax=axes, label="anomaly score")
    if labels is not None and labels[keep].any():
        ringed = placed[labels[keep]]
        axes.scatter(
            *ringed.T,
            s=28,
            facecolors="none",
            edgecolors=ANOMALY,
            linewidths=0.7,
            label="anomalies",
        )
        axes.legend(frameon=False, loc="upper right")
    describe(axes, "Latent means", "first principal axis", "second principal axis")
    return figure


def reconstruction_scatter(
    real: Columns, reconstructed: Columns, quality: Mapping[str, Mapping[str, float]]
) -> Figure:
    """Inputs against reconstructions: one panel per numeric column, one bar per category column.

    At most 12 panels, the worst reconstructed columns; rows on the diagonal are exact.

    Args:
        real: (N,) per column, original units.
        reconstructed: the same columns.
        quality: of ``pipeline.quality.reconstruction_quality``.
    """

    def merit(name: str) -> float:
        value = quality[name].get("explained", 0.0)
        return value if value == value else 2.0

    numeric = sorted((n for n in real if "explained" in quality[n]), key=merit)
    categories = [name for name in real if "accuracy" in quality[name]]
    shown = numeric[: _PANELS - bool(categories)]
    panels = len(shown) + bool(categories)
    across = min(4, max(panels, 1))
    down = -(-max(panels, 1) // across)
    figure, grid = canvas(down, across, 3.1 * across, 2.9 * down)
    cells = list(np.ravel(np.asarray(grid, dtype=object)))
    keep = _spread_out(len(next(iter(real.values()))))
    for axes, name in zip(cells, shown, strict=False):
        x, y = real[name][keep], np.asarray(reconstructed[name], dtype=np.float64)[keep]
        seen = ~np.isnan(x)
        _against(axes, x[seen], y[seen])
        value = quality[name]["explained"]
        describe(axes, f"{short(name)} (R² {max(value, -9.99):.2f})", "input", "reconstruction")
    if categories:
        worst = sorted(categories, key=lambda n: quality[n]["accuracy"])[:10][::-1]
        axes = cells[len(shown)]
        axes.barh([short(n) for n in worst], [quality[n]["accuracy"] for n in worst], color=NORMAL)
        axes.set_xlim(0, 1)
        describe(axes, "Categories met", "accuracy", "")
    for axes in cells[panels:]:
        axes.set_axis_off()
    return figure


def generation_chart(quality: Mapping[str, Any]) -> Figure:
    """How close generated columns come to held-out ones, beside what real rows reach.

    Args:
        quality: of ``pipeline.quality.generation_quality``.
    """
    columns = sorted(quality["columns"].items(), key=lambda item: item[1]["generated"])[:30][::-1]
    figure, axes = canvas(1, 1, 7, 1.6 + 0.22 * max(len(columns), 4))
    names = [short(name) for name, _ in columns]
    rows = np.arange(len(columns))
    generated = [values["generated"] for _, values in columns]
    ceiling = [values["ceiling"] for _, values in columns]
    axes.hlines(rows, generated, ceiling, color=MUTED, linewidth=0.8)
    axes.plot(ceiling, rows, "|", color=LINE, markersize=9, label="real against real (ceiling)")
    axes.plot(generated, rows, "o", color=NORMAL, markersize=5, label="generated")
    axes.set_yticks(rows, names)
    axes.set_xlim(min([0.5, *generated]) - 0.02, 1.01)
    axes.set_ylim(-0.7, len(columns) - 0.3)
    title = "\n".join(
        f"{name.replace('_', ' ')} {value['generated']:.3f} of {value['ceiling']:.3f}"
        for name, value in quality["metrics"].items()
        if value["generated"] == value["generated"]
    )
    describe(axes, title, "1 − KS or total variation (1 is indistinguishable)", "")
    axes.legend(frameon=False, loc="lower left")
    return figure


def _against(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    from matplotlib.ticker import AsinhLocator

    if not len(x):
        return
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    bulk = float(np.percentile(np.abs(x), 75)) or 1.0
    heavy = max(abs(low), abs(high)) > 50 * bulk
    axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8)
    axes.plot(x, y, ".", color=NORMAL, markersize=2.5, alpha=0.5)
    if heavy:
        axes.set_xscale("asinh", linear_width=bulk)
        axes.set_yscale("asinh", linear_width=bulk)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(AsinhLocator(bulk, numticks=5))


def _spread_out(rows: int) -> NDArray[np.intp]:
    """At most 2,000 row positions, evenly spread."""
    return np.unique(np.linspace(0, rows - 1, min(rows, _POINTS)).astype(np.intp))
