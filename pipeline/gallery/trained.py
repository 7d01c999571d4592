"""The figures of a model just trained: what it makes, to be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.gallery.grids import conditional_grid, picture_grid, reconstruction_grid, walk_grid
from pipeline.gallery.latents import labelled_scatter
from pipeline.gallery.marginals import marginals
from pipeline.gallery.walks import table_walks, walk_span, walk_unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    from vae_core import Scorer

SHOWN = 24
PAIRS = 6
STEPS = 9


def drawings(scorer: Scorer, rows: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Figure]:
    """Figures by name.

    Args:
        scorer: trained; need not be calibrated.
        rows: held-out ones, (N,) per column; at most 2,000 of them are used.
    """
    some = {name: values[:2000] for name, values in rows.items()}
    image = scorer.encoding.image
    out = _of_table(scorer, some) if image is None else _of_pictures(scorer, some, image.name)
    condition = next((c.name for c in scorer.encoding.conditions if c.name in some), None)
    if condition is not None:
        out["latents_by_label"] = labelled_scatter(scorer.embed(some), some[condition], condition)
    return out


def _of_table(scorer: Scorer, rows: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Figure]:
    walk = scorer.traverse(steps=STEPS)
    names = [f"latent {latent}" for latent in walk.latents]
    out = {
        "traversal": table_walks(
            scorer.encoding,
            walk.rows,
            len(walk.values),
            names,
            "One latent moved at a time",
            walk.values.tolist(),
            walk_unit(walk),
        )
    }
    if scorer.model.has_elbo:
        count = len(next(iter(rows.values())))
        required = scorer.encoding.required
        drawn = scorer.generate(count)
        out["marginals"] = marginals(
            {n: drawn[n] for n in required}, {n: rows[n] for n in required}
        )
    return out


def _of_pictures(
    scorer: Scorer, rows: Mapping[str, np.ndarray[Any, Any]], image: str
) -> dict[str, Figure]:
    shown = {name: values[:SHOWN] for name, values in rows.items()}
    walk = scorer.traverse(steps=STEPS)
    names = [f"latent {latent}" for latent in walk.latents]
    out = {
        "reconstructions": reconstruction_grid(
            {"input": shown[image], "reconstruction": scorer.reconstruct(shown)[image]}
        ),
        "traversal": walk_grid(
            walk.rows[image],
            len(walk.values),
            names,
            "One latent moved at a time",
            walk_span(walk),
        ),
    }
    pairs = min(PAIRS, len(shown[image]) // 2)
    if pairs:
        start = {name: values[:pairs] for name, values in shown.items()}
        end = {name: values[pairs : 2 * pairs] for name, values in shown.items()}
        between = scorer.interpolate(start, end, steps=STEPS)[image]
        title = "Ways from one picture to another"
        out["interpolation"] = walk_grid(between, STEPS, [""] * pairs, title)
    if scorer.model.has_elbo:
        out["samples"] = picture_grid(scorer.generate(60)[image], "Drawn from the model", 12)
        condition = next(iter(scorer.encoding.conditions), None)
        if condition is not None and condition.categories:
            labels = list(condition.categories[:12])
            told = np.repeat(np.array(labels, dtype=object), 10)
            drawn = scorer.generate(len(told), condition={condition.name: told})[image]
            out["samples_by_label"] = conditional_grid(
                drawn, labels, f"Drawn for each {condition.name}"
            )
    return out
