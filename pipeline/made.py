"""What a model makes, for a night's report: pictures as figures, columns as small drawings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline import sketches
from pipeline.errors import SchemaError
from pipeline.frames import inputs, to_columns
from pipeline.wording import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.lake import Lake
    from vae_core import Scorer

PICTURES = 400  # calibration rows that are looked at
ROWS = 1_000
COLUMNS = 12
BINS = 24
NAMED = 4  # categories that have room for their names
TITLES = {
    "reconstructions": "Calibration pictures, each above its reconstruction",
    "samples_by_label": "Drawn from the model for each value of the condition",
    "samples": "Drawn from the model",
    "interpolation": "From one picture to another through the latent space",
    "traversal": "One latent moved at a time, the most telling one first",
    "latents_by_label": "Where pictures lie in the latent space",
}
PICTURES_NOTE = (
    "How well it has learned what its pictures look like: expected pictures are no better than "
    "these."
)
COLUMNS_NOTE = (
    "How well it has learned each column by itself: calibration rows as bars, as many rows drawn "
    "from the model as a line; the columns that differ most come first."
)


def made(lake: Lake, scorer: Scorer) -> dict[str, Any]:
    """A note, `pictures` as data URIs and `columns` as drawings, each with its title; empty where
    the version cannot make rows, or its calibration rows are not in the tables."""
    rows = scorer.metadata.get("calibration")
    able = hasattr(scorer, "compress")  # earlier releases made none
    if not able or not isinstance(rows, dict) or not {"first", "last"} <= set(rows):
        return {}
    pictures = getattr(scorer.encoding, "image", None) is not None
    last = min(rows["last"], rows["first"] + (PICTURES if pictures else ROWS) - 1)
    try:
        table = pa.concat_tables(lake.scan_rows(rows["first"], last, inputs(scorer.encoding)))
    except SchemaError:  # old rows may be deleted, and versions come from other installations
        return {}
    real = to_columns(table, scorer.encoding)
    if pictures:
        return {"note": PICTURES_NOTE, "pictures": _pictures(scorer, real), "columns": []}
    if not scorer.model.has_elbo:
        return {}
    columns = _columns(scorer, real, table.num_rows)
    return {"note": COLUMNS_NOTE, "pictures": [], "columns": columns}


def _pictures(scorer: Scorer, real: Mapping[str, Any]) -> list[dict[str, Any]]:
    from pipeline.gallery import drawings
    from pipeline.heatmap import figure_uri

    drawn = drawings(scorer, real)
    return [
        {"title": title, "picture": figure_uri(drawn[name])}
        for name, title in TITLES.items()
        if name in drawn
    ]


def _columns(scorer: Scorer, real: Mapping[str, Any], rows: int) -> list[dict[str, Any]]:
    from pipeline.gallery.marginals import difference

    drawn = scorer.generate(rows)
    names = [name for name in scorer.encoding.required if name in drawn]
    apart = {name: difference(drawn[name], real[name]) for name in names}
    shown = sorted(names, key=lambda name: -apart[name])[:COLUMNS]
    return [
        {"title": name, "sketch": sketches.marginal(*_binned(real[name], drawn[name]))}
        for name in shown
    ]


def _binned(real: Any, drawn: Any) -> tuple[np.ndarray, np.ndarray, list[tuple[float, str]]]:
    """Shares of real and of drawn cells by bin, and labels by their place in [0, 1]."""
    from pipeline.gallery.marginals import commonest, seen, shares_of

    if np.asarray(real).dtype.kind == "f":
        return _of_numbers(seen(real), seen(drawn))
    ours, theirs = shares_of(real), shares_of(drawn)
    values = commonest(ours, theirs)
    width = 1 / max(len(values), 1)
    labels = [((i + 0.5) * width, value[:12]) for i, value in enumerate(values)]
    first, second = (np.array([one.get(v, 0.0) for v in values]) for one in (ours, theirs))
    return first, second, labels if len(values) <= NAMED else []


def _of_numbers(
    real: np.ndarray, drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[tuple[float, str]]]:
    from pipeline.gallery.marginals import usual_range

    if not len(real):
        return np.zeros(1), np.zeros(1), []
    low, high = usual_range(real)
    edges = np.linspace(low, high, BINS + 1)
    first, second = (
        np.histogram(np.clip(values, low, high), edges)[0] / max(len(values), 1)
        for values in (real, drawn)
    )
    return first, second, [(0.0, number(low)), (1.0, number(high))]
