"""Grids of pictures, drawn pixel by pixel in one image: no axes between them, no resampling.

Legend: N pictures, H × W pixels, C channels: (N, H, W, C) or (N, H, W), uint8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.canvas import canvas, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Pictures = NDArray[Any]

GAP = 2  # pixels between pictures, white
SIDE = 0.62  # inches a picture is wide
WIDEST = 11.0
LABEL = 1.2  # inches for the names of lines
SMALL = 24  # pixels below which pictures are enlarged, so that the gaps stay thin


def picture_grid(pictures: Pictures, title: str = "", across: int = 10) -> Figure:
    """Pictures line by line, `across` of them in a line."""
    return _draw(_lines(pictures, across), title, [])


def reconstruction_grid(kinds: Mapping[str, Pictures], title: str = "", across: int = 12) -> Figure:
    """Each picture above what becomes of it: as many of every kind, by its name."""
    cut = [_lines(pictures, across) for pictures in kinds.values()]
    lines = [line for together in zip(*cut, strict=True) for line in together]
    return _draw(lines, title, list(kinds) * len(cut[0]), every=len(kinds))


def conditional_grid(pictures: Pictures, labels: Sequence[Any], title: str = "") -> Figure:
    """One line for each label, drawn for it.

    Args:
        pictures: as many for each label, those of a label in a row.
        labels: one for each line.
    """
    return _draw(_lines(pictures, len(pictures) // len(labels)), title, [str(v) for v in labels])


def walk_grid(
    pictures: Pictures, steps: int, names: Sequence[str], title: str = "", below: str = ""
) -> Figure:
    """One line for each walk of so many steps.

    Args:
        pictures: the steps of a walk in a row.
        steps: of each.
        names: of the walks.
        title: above.
        below: what the steps are.
    """
    return _draw(_lines(pictures, steps), title, list(names), below)


def _lines(pictures: Pictures, across: int) -> list[Pictures]:
    pictures = np.asarray(pictures)
    if pictures.ndim == 3:
        pictures = pictures[..., None]
    factor = -(-SMALL // pictures.shape[1])
    pictures = pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    across = max(1, min(across, len(pictures)))
    return [pictures[i : i + across] for i in range(0, len(pictures), across)]


def _draw(
    lines: list[Pictures], title: str, names: list[str], below: str = "", every: int = 1
) -> Figure:
    """One image of all pictures; a wider gap after `every` so many lines."""
    count, (high, wide, channels) = max(map(len, lines)), lines[0].shape[1:]
    step, groups = high + GAP, (len(lines) - 1) // every if every > 1 else 0
    extra = 2 * GAP
    sheet = np.full(
        (len(lines) * step - GAP + groups * extra, count * (wide + GAP) - GAP, channels),
        255,
        np.uint8,
    )
    middles = []
    for i, line in enumerate(lines):
        top = i * step + (i // every * extra if every > 1 else 0)
        middles.append(top + high / 2)
        for j, picture in enumerate(line):
            left = j * (wide + GAP)
            sheet[top : top + high, left : left + wide] = picture
    side = min(SIDE, WIDEST / count)
    scale = side / wide
    longest = max((len(n) for n in names), default=0)
    width = max(sheet.shape[1] * scale + min(LABEL, 0.09 * longest + 0.1) * bool(names), 2.6)
    height = sheet.shape[0] * scale + 0.35 * bool(title) + 0.3 * bool(below) + 0.1
    figure, axes = canvas(1, 1, width, height)
    shown = sheet[..., 0] if channels == 1 else sheet
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    _bare(axes)
    if names:
        axes.set_yticks(middles, [plain(name) for name in names], fontsize=8)
    if title:
        axes.set_title(plain(title), fontsize=10, loc="left")
    if below:
        axes.set_xlabel(below, fontsize=8)
    return figure


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
