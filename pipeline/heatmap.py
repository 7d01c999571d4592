"""Explanations of images: what each pixel adds to the score, beside image and expectation.

A row is a flattened image: its columns in order are the pixels, line by line, the channels of a
pixel next to each other. N images of H lines and W columns, C channels.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from pipeline.canvas import canvas
from pipeline.explain import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pipeline.detector import VAEDetector
    from vae_core import Scorer

__all__ = ["ExplainedImages", "as_data_uri", "draw_explanation", "explain_images"]

# Percentile of the contributions up to which colours follow them in proportion: a pixel that
# never varied adds a thousand times as much as others, which must stay visible beside it.
USUAL = 90
TITLES = ("image", "expected", "adds to the score")


class ExplainedImages(NamedTuple):
    """Images beside what the model makes of them.

    Attributes:
        images: (N, H, W, C) as they are; NaN where a pixel is missing.
        expected: (N, H, W, C) what the model expects in their place, same units.
        heat: (N, H, W) what each pixel adds to the anomaly score, summed over its channels;
            positive = more anomalous. With the latent part and a constant it adds up to the score.
    """

    images: np.ndarray
    expected: np.ndarray
    heat: np.ndarray


def explain_images(model: VAEDetector | Scorer, rows: Any, shape: Sequence[int]) -> ExplainedImages:
    """Contributions of an image-shaped set of columns, pixel by pixel.

    Args:
        model: fitted; a pixel that was constant in training adds nothing.
        rows: N images: an (N, H·W·C) array or data frame for a detector; for a scorer a mapping
            of (N,) columns, all pixels in order.
        shape: (H, W) or (H, W, C).

    Raises:
        ValueError: the rows do not have H·W·C columns.
    """
    # by the rows' type: a registered version's scorer is of a class of its own
    if isinstance(rows, Mapping):
        values, expected, heat = _by_scorer(cast("Scorer", model), rows)
    else:
        values, expected, heat = _by_detector(cast("VAEDetector", model), rows)
    high, wide, channels = (*shape, 1)[:3]
    if values.shape[1] != high * wide * channels:
        raise ValueError(
            f"{values.shape[1]} columns are no image of shape {tuple(shape)}, which has "
            f"{high * wide * channels} values"
        )
    place = (len(values), high, wide, channels)
    return ExplainedImages(
        values.reshape(place), expected.reshape(place), heat.reshape(place).sum(-1)
    )


def _by_scorer(
    scorer: Scorer, rows: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, D) values, expected values and contributions; columns it dropped contribute nothing."""
    explained, reconstructed = scorer.explain(rows), scorer.reconstruct(rows)
    added = dict(zip(explained.names, explained.contributions.T, strict=True))
    nothing = np.zeros(len(explained.latent))
    return (
        np.column_stack(list(rows.values())),
        np.column_stack([reconstructed.get(name, values) for name, values in rows.items()]),
        np.column_stack([added.get(name, nothing) for name in rows]),
    )


def _by_detector(detector: VAEDetector, rows: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same; columns it dropped are expected at their constant."""
    values, expected = np.asarray(rows, np.float64), np.asarray(detector.reconstruct(rows))
    return values, expected.astype(np.float64), detector.explain(rows)


def draw_explanation(model: VAEDetector | Scorer, rows: Any, shape: Sequence[int]) -> Figure:
    """Each image beside what was expected and a heat map of what its pixels add to the score.

    One colour bar for all heat maps: red raises the score, blue lowers it, white is 0; in
    proportion for most pixels, logarithmic for those that stand out.

    Args:
        model, rows, shape: see `explain_images`; a few rows are as many as can be looked at.

    Raises:
        ValueError: the rows do not have as many columns as the shape.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import AsinhNorm

    images, expected, heat = explain_images(model, rows, shape)
    count, high, wide = heat.shape
    figure, grid = canvas(count, 3, 5.6, 0.35 + count * 1.6 * min(max(high / wide, 0.3), 3.0))
    cells = np.reshape(np.asarray(grid, dtype=object), (count, 3))
    size = np.abs(heat)
    most = float(size.max()) or 1.0
    usual = max(float(np.percentile(size, USUAL)), most / 1000)
    colours = ScalarMappable(AsinhNorm(usual, -most, most), "RdBu_r")
    for line, image, wanted, added in zip(cells, images, expected, heat, strict=True):
        darkest, brightest = float(np.nanmin(image)), float(np.nanmax(image))
        _show(line[0], image, darkest, brightest)
        _show(line[1], wanted, darkest, brightest)
        line[2].imshow(added, cmap=colours.cmap, norm=colours.norm, interpolation="nearest")
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


def as_data_uri(figure: Figure) -> str:
    """The figure as a PNG that stands in the page itself."""
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=90)
    return f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"


def _ticks(usual: float, most: float) -> list[float]:
    """0 and up to three powers of ten on either side, between the usual and the largest size."""
    low, high = np.ceil(np.log10(usual)), np.floor(np.log10(most))
    powers = 10.0 ** np.arange(low, high + 1) if high >= low else np.array([most])
    powers = powers[:: -(-len(powers) // 3)]
    return [*(-powers[::-1]), 0.0, *powers]


def _show(axes: Axes, pixels: np.ndarray, darkest: float, brightest: float) -> None:
    """One image (H, W, C) between its darkest and brightest value; missing pixels are white."""
    shown = np.clip((pixels - darkest) / ((brightest - darkest) or 1.0), 0.0, 1.0)
    if shown.shape[-1] == 1:
        axes.imshow(shown[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        axes.imshow(np.nan_to_num(shown, nan=1.0), interpolation="nearest")
