"""Walks through the latent space of a table: which cells follow, and how far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.canvas import canvas, describe, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from vae_core import Encoding
    from vae_core.operations import Traversal

LINES = 14
REACH = 2.0  # standard deviations at which the colours end at the latest


def table_walks(
    encoding: Encoding,
    rows: Mapping[str, NDArray[Any]],
    steps: int,
    names: Sequence[str],
    title: str = "",
    ticks: Sequence[float] | None = None,
    below: str = "",
) -> Figure:
    """A panel for each walk: how far cells are from where they are on average over the walks.

    Args:
        encoding: of the model.
        rows: (J · T,) per column, the T steps of a walk in a row.
        steps: T.
        names: of the J walks.
        title: above all.
        ticks: (T,) what the steps are; None: their share of the way.
        below: name of the ticks.
    """
    x, labels = _cells(encoding, rows)
    x = x.reshape(len(names), steps, -1)
    moved = np.ptp(x, axis=1).max(axis=0)
    # cells that move most, in the order of the columns
    kept = np.sort(np.argsort(-moved, kind="stable")[: min(LINES, int((moved > 1e-6).sum()) or 1)])
    centred = x[..., kept] - x[..., kept].mean(axis=(0, 1))
    across = min(4, len(names))
    down = -(-len(names) // across)
    high = 0.17 * len(kept)
    figure, grid = canvas(down, across, 1.6 + 2.1 * across, 0.5 + down * (high + 0.65))
    panels = list(np.ravel(np.asarray(grid, dtype=object)))
    at = np.linspace(0, 1, steps) if ticks is None else np.asarray(ticks, dtype=np.float64)
    # a walk of small moves is told in colours of its own
    most = min(REACH, float(np.abs(centred).max()) or REACH)
    image = None
    for i, (axes, name) in enumerate(zip(panels, names, strict=False)):
        image = axes.imshow(
            centred[i].T, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto",
            interpolation="nearest",
        )  # fmt: skip
        describe(axes, name, "", "")
        places = sorted({0, (steps - 1) // 2, steps - 1})
        axes.set_xticks(places, [f"{at[p]:.3g}".replace("-", "−") for p in places])
        first = i % across == 0
        axes.set_yticks(range(len(kept)), [short(labels[k]) for k in kept] if first else [])
        axes.tick_params(length=0, labelsize=7)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    if image is not None:
        bar = figure.colorbar(
            image, ax=panels, shrink=min(1.0, 2.5 / (down * (high + 0.65))), aspect=22
        )
        bar.set_label("standard deviations", fontsize=8)
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)
    if below:
        figure.supxlabel(below, fontsize=8)
    if title:
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def walk_unit(walk: Traversal) -> str:
    """What the values of a walk are counted in."""
    return "category" if walk.categorical else "standard deviations of the prior"


def walk_span(walk: Traversal) -> str:
    """From where to where a walk goes."""
    first, last = (f"{value:g}".replace("-", "−") for value in walk.values[[0, -1]])
    unit = walk_unit(walk)
    return f"{unit} {first} … {last}" if walk.categorical else f"{first} … {last} {unit}"


def _cells(encoding: Encoding, rows: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], list[str]]:
    """Cells as the model reads them, and what each is called."""
    x = encoding.encode(rows)[0][:, : encoding.layout.picture.start]
    names = [c.name for c in encoding.numeric] + [c.name for c in encoding.binary]
    for column in encoding.categorical:
        names += [f"{column.name} = {value}" for value in ("(other)", *column.categories)]
    return x, names
