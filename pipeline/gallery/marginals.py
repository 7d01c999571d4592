"""Generated rows beside real ones, column by column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.canvas import MUTED, NORMAL, canvas, describe, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

Columns = Mapping[str, "NDArray[Any]"]
PANELS = 16
BINS = 30
CATEGORIES = 8


def marginals(
    generated: Columns, real: Columns, names: tuple[str, str] = ("generated", "real")
) -> Figure:
    """How often each value occurs among generated and among real rows, a panel per column.

    At most 16 columns, those that differ most. Missing cells are told in the panel's title.

    Args:
        generated, real: (N,) per column, original units; columns that both have are drawn.
        names: of the two, for the legend.
    """
    common = [name for name in real if name in generated and np.ndim(real[name]) == 1]
    apart = {name: difference(generated[name], real[name]) for name in common}
    shown = sorted(common, key=lambda name: -apart[name])[:PANELS]
    across = min(4, max(1, len(shown)))
    down = max(1, -(-len(shown) // across))
    figure, grid = canvas(down, across, 2.9 * across, 2.2 * down + 0.3)
    panels = list(np.ravel(np.asarray(grid, dtype=object)))
    for axes, name in zip(panels, shown, strict=False):
        draw = _histogram if np.asarray(real[name]).dtype.kind == "f" else _bars
        draw(axes, generated[name], real[name], names)
        describe(axes, f"{short(name)}{_gaps(generated[name], real[name])}", "", "")
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    if shown:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    return figure


def _histogram(axes: Axes, generated: Any, real: Any, names: tuple[str, str]) -> None:
    from matplotlib.ticker import MaxNLocator

    a, b = seen(generated), seen(real)
    if not len(b):
        return
    low, high = usual_range(b)
    margin = 0.05 * (high - low)
    edges = np.linspace(low - margin, high + margin, BINS + 1).tolist()
    kinds: tuple[tuple[Any, str, dict[str, Any]], ...] = (
        (b, names[1], {"color": MUTED, "alpha": 0.45}),
        (a, names[0], {"color": NORMAL, "histtype": "step", "linewidth": 1.4}),
    )
    for values, label, style in kinds:
        weights = np.full(len(values), 1 / max(len(values), 1))
        shown = np.clip(values, edges[0], edges[-1])
        axes.hist(shown, edges, weights=weights, label=label, **style)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4))
    axes.xaxis.get_offset_text().set_fontsize(7)


def _bars(axes: Axes, generated: Any, real: Any, names: tuple[str, str]) -> None:
    shares = [shares_of(real), shares_of(generated)]
    values = commonest(*shares)
    places = np.arange(len(values))
    for share, label, offset, colour in (
        (shares[0], names[1], -0.2, MUTED),
        (shares[1], names[0], 0.2, NORMAL),
    ):
        alpha = 0.6 if colour == MUTED else 1.0
        heights = [share.get(v, 0.0) for v in values]
        axes.bar(places + offset, heights, 0.4, color=colour, alpha=alpha, label=label)
    long = max((len(v) for v in values), default=0) > 4 and len(values) > 3
    labels = [short(v)[:12] for v in values]
    axes.set_xticks(places, labels, rotation=40 if long else 0, ha="right" if long else "center")
    axes.set_yticks([])


def difference(generated: Any, real: Any) -> float:
    """Largest difference of both distribution functions, or total variation of categories."""
    if np.asarray(real).dtype.kind == "f":
        a, b = np.sort(seen(generated)), np.sort(seen(real))
        if not len(a) or not len(b):
            return float(len(a) != len(b))
        at = np.concatenate([a, b])
        cut = [np.searchsorted(v, at, side="right") / len(v) for v in (a, b)]
        return float(np.abs(cut[0] - cut[1]).max())
    first, second = shares_of(generated), shares_of(real)
    return 0.5 * sum(abs(first.get(v, 0.0) - second.get(v, 0.0)) for v in {*first, *second})


def shares_of(values: Any) -> dict[str, float]:
    """Share of each value among those that are not missing, by its text."""
    counts = Counter(str(v) for v in values.tolist() if v is not None and v == v)
    total = max(sum(counts.values()), 1)
    return {value: count / total for value, count in counts.items()}


def commonest(*shares: Mapping[str, float]) -> list[str]:
    """The categories with the largest share in any, 8 at most."""
    everything = set[str]().union(*shares)
    return sorted(everything, key=lambda v: -max(s.get(v, 0.0) for s in shares))[:CATEGORIES]


def usual_range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Where all but the outermost hundredth of the values lie, never empty."""
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.5]))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def seen(values: Any) -> NDArray[np.float64]:
    """The finite ones."""
    numbers = np.asarray(values, dtype=np.float64)
    return numbers[np.isfinite(numbers)]


def _gaps(generated: Any, real: Any) -> str:
    """Shares of missing cells, where there are any."""
    shares = [
        np.mean([v is None or v != v for v in values.tolist()]) for values in (generated, real)
    ]
    return f" (missing {shares[0]:.0%} / {shares[1]:.0%})" if max(shares) > 0 else ""
