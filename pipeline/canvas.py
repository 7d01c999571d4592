"""What all figures share: a canvas without pyplot, labels, colours.

No pyplot, so no global state, and safe in threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ANOMALY", "LINE", "MUTED", "NORMAL", "canvas", "describe", "plain", "short"]

NORMAL, ANOMALY, LINE, MUTED = "#3b6ea5", "#c8452d", "#222222", "#8a8f98"


def canvas(down: int, across: int, width: float, height: float) -> tuple[Figure, Any]:
    """A figure, `width` by `height` inches, and its `down` × `across` axes (one alone: itself)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    return figure, figure.subplots(down, across)


def describe(axes: Axes, title: str, x: str, y: str) -> None:
    """Title and axis names, small ticks, no box."""
    axes.set_title(plain(title), fontsize=10, loc="left")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def short(name: str) -> str:
    """A column's name as ticks and titles have room for it."""
    return plain(name if len(name) <= 24 else name[:23] + "…")


def plain(text: str) -> str:
    """Column names are text, not mathematics, and stay on one line."""
    return "".join(c if c.isprintable() else " " for c in text).replace("$", r"\$")
