"""Explanations of pictures: where each departs from what the model expects, pixel by pixel.

N pictures of H × W pixels and C channels.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from pipeline.canvas import canvas
from pipeline.wording import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pipeline.detector import VAEDetector
    from vae_core import Scorer

__all__ = ["ExplainedImages", "draw_explanation", "explain_images", "figure_uri"]

# Percentile of the errors up to which colours follow them in proportion; the largest would
# otherwise leave all others white.
USUAL = 90
TITLES = ("picture", "expected", "squared error")


class ExplainedImages(NamedTuple):
    """Pictures beside what the model makes of them.

    Attributes:
        images: (N, H, W, C) as they are.
        expected: (N, H, W, C) what the model expects in their place, same units.
        heat: (N, H, W) squared error of each pixel, summed over its channels, of values in
            [0, 1]. Its sum over C·H·W is the reconstruction error.
    """

    images: np.ndarray
    expected: np.ndarray
    heat: np.ndarray


def explain_images(model: VAEDetector | Scorer, rows: Any) -> ExplainedImages:
    """Where in pictures the reconstruction error lies.

    Args:
        model: fitted to pictures.
        rows: for a detector as in `fit`; for a scorer a mapping of its columns.

    Raises:
        ValueError: the model reads columns, or the pictures are of another size.
    """
    # by the rows' type: a registered version's scorer is of a class of its own
    if isinstance(rows, Mapping):
        scorer = cast("Scorer", model)
        heat = scorer.heat(rows).error.numpy()
        assert scorer.encoding.image is not None  # or there would be no heat
        name = scorer.encoding.image.name
        images, expected = rows[name], scorer.reconstruct(rows)[name]
    else:
        detector = cast("VAEDetector", model)
        return explain_images(detector.scorer_, detector.columns_of(rows))
    place = (*heat.shape, -1)
    return ExplainedImages(images.reshape(place), expected.reshape(place), heat)


def draw_explanation(model: VAEDetector | Scorer, rows: Any) -> Figure:
    """Each picture beside what was expected, and a map of the squared error.

    One colour bar for all maps; in proportion for most pixels, logarithmic for those that stand
    out.

    Args:
        model, rows: see `explain_images`; a few rows are as many as can be looked at.

    Raises:
        ValueError: as `explain_images`.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import AsinhNorm

    images, expected, heat = explain_images(model, rows)
    count, high, wide = heat.shape
    figure, grid = canvas(count, 3, 5.6, 0.35 + count * 1.6 * min(max(high / wide, 0.3), 3.0))
    cells = np.reshape(np.asarray(grid, dtype=object), (count, 3))
    most = float(heat.max()) or 1.0
    usual = max(float(np.percentile(heat, USUAL)), most / 100)
    colours = ScalarMappable(AsinhNorm(usual, 0.0, most), "Reds")
    for line, image, wanted, error in zip(cells, images, expected, heat, strict=True):
        darkest, brightest = float(np.min(image)), float(np.max(image))
        _show(line[0], image, darkest, brightest)
        _show(line[1], wanted, darkest, brightest)
        line[2].imshow(error, cmap=colours.cmap, norm=colours.norm, interpolation="nearest")
    for axes, title in zip(cells[0], TITLES, strict=True):
        axes.set_title(title, fontsize=9)
    for axes in cells.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_visible(False)
    bar = figure.colorbar(colours, ax=list(cells.flat), shrink=min(1.0, 2.4 / count), aspect=18)
    ticks = _ticks(usual, most)
    bar.set_ticks(ticks, labels=[number(tick) for tick in ticks])
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
    return figure


def figure_uri(figure: Figure) -> str:
    """The figure as a PNG that stands in the page itself."""
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=90)
    return f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"


def _ticks(usual: float, most: float) -> list[float]:
    """0 and up to three powers of ten between the usual and the largest error."""
    low, high = np.ceil(np.log10(usual)), np.floor(np.log10(most))
    powers = 10.0 ** np.arange(low, high + 1) if high >= low else np.array([most])
    powers = powers[:: -(-len(powers) // 3)]
    return [0.0, *powers]


def _show(axes: Axes, pixels: np.ndarray, darkest: float, brightest: float) -> None:
    """One image (H, W, C) between its darkest and brightest value."""
    shown = np.clip((pixels - darkest) / ((brightest - darkest) or 1.0), 0.0, 1.0)
    if shown.shape[-1] == 1:
        axes.imshow(shown[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        axes.imshow(shown, interpolation="nearest")
