"""Where rows lie in the latent space, coloured by what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.canvas import canvas, describe, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MOST_POINTS = 4000
MOST_LABELS = 10
REST = "#c9ccd1"


def labelled_scatter(
    codes: NDArray[Any], labels: Sequence[Any] | NDArray[Any], name: str = "label"
) -> Figure:
    """Latent means of rows on their two principal axes; labels do nothing but colour them.

    Args:
        codes: (N, L).
        labels: (N,) of any kind; the ten commonest get a colour, the others are grey.
        name: of the labels.
    """
    from matplotlib import colormaps

    points = np.asarray(codes, dtype=np.float64)
    keep = np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).astype(int))
    told = np.array([str(v) for v in np.asarray(labels, dtype=object)[keep]])
    centred = points[keep] - points[keep].mean(axis=0)
    _, _, axis = np.linalg.svd(centred, full_matrices=False)
    placed = np.zeros((len(keep), 2))
    projected = centred @ axis[:2].T
    placed[:, : projected.shape[1]] = projected
    values, counts = np.unique(told, return_counts=True)
    common = sorted(values[np.argsort(-counts, kind="stable")][:MOST_LABELS])
    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
    size = float(np.clip(8000 / len(keep), 6, 22))
    figure, axes = canvas(1, 1, 6.6, 4.8)
    rest = ~np.isin(told, common)
    if rest.any():
        axes.scatter(*placed[rest].T, s=size, color=REST, linewidths=0, label="others")
    # all labels take part in each place of the order: none hides those before it
    rank = {value: i for i, value in enumerate(common)}
    shown = np.flatnonzero(~rest)
    np.random.default_rng(0).shuffle(shown)
    axes.scatter(
        *placed[shown].T, s=size, c=[colours[rank[told[i]]] for i in shown], alpha=0.7, linewidths=0
    )
    for value in common:
        axes.plot([], [], "o", color=colours[rank[value]], markersize=5, label=plain(value))
    axes.legend(
        frameon=False, title=plain(name), fontsize=8, title_fontsize=9,
        loc="center left", bbox_to_anchor=(1.0, 0.5),
    )  # fmt: skip
    describe(axes, "Latent means", "first principal axis", "second principal axis")
    return figure
