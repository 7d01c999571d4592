"""Everything there is to say about how good a model is, each figure beside what real rows reach.

Held-out rows are compared with what the model makes, and with further real rows in its place: no
figure means much alone. Costs a few seconds for a table and less than a minute for pictures,
whatever the number of rows: samples are taken.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.quality import pictures
from pipeline.quality.beliefs import latent_figures, likelihood_figures
from pipeline.quality.distances import frechet_distance, kernel_distance
from pipeline.quality.figure import Against, Figure, Quality
from pipeline.quality.material import Space, encoded, generate, modelled, space_of
from pipeline.quality.modes import fit_clusters, mode_figures
from pipeline.quality.neighbours import copies, manifold, nearer_to_training, nearest_rows
from pipeline.quality.reconstruction import reconstruction_quality
from pipeline.quality.tables import Columns, generation_quality, spread
from pipeline.quality.two_sample import classifier_auroc

if TYPE_CHECKING:
    from pipeline.sampling import Rows
    from vae_core import Scorer

SHAPE_ROWS = 5000
POINT_ROWS = 2000
TRAINING_ROWS = 20_000
_NEAREST: Against = "nearest_row"

__all__ = ["Measured", "measure_quality"]


class Measured(NamedTuple):
    """Figures, and the rows they were taken from, for drawing.

    Attributes:
        quality: the figures.
        real, reconstructed: held-out rows and what the model makes of them, modelled columns.
        generated: drawn rows; None for a model without prior.
    """

    quality: Quality
    real: Columns
    reconstructed: Columns
    generated: Columns | None

    def charts(self) -> dict[str, Any]:
        """Drawings by name: of columns, where there are any."""
        from pipeline import figures

        out = {}
        if self.quality.reconstructions:
            out["reconstructions"] = figures.reconstruction_scatter(
                self.real, self.reconstructed, self.quality.reconstructions
            )
        if self.quality.generation:
            out["generation"] = figures.generation_chart(self.quality.generation)
        return out


def measure_quality(
    scorer: Scorer,
    training: Rows,
    held_out: Rows,
    *,
    classes: str | None = None,
    name: str = "data",
    seed: int = 0,
) -> Measured:
    """Measure a trained model.

    Args:
        scorer: trained; need not be calibrated.
        training: rows it was trained on; samples of up to 20,000 are used.
        held_out: rows it was not trained on; samples of up to 5,000 are used.
        classes: a column of both that names the class of each picture; default: the model's first
            condition, if it has one. Features then come from a classifier.
        name: of the data set, for the extractor's name.
        seed: of samples, generated rows and extractor; the same seed gives the same figures.
    """
    conditions = [c.name for c in scorer.encoding.conditions if c.name in held_out.columns]
    classes = classes or (conditions[0] if conditions else None)
    training = training.sample(TRAINING_ROWS, seed)
    held_out = held_out.sample(SHAPE_ROWS, seed)
    real = modelled(scorer, held_out.columns)
    made = scorer.reconstruct(held_out.columns)
    reconstructed = {n: made[n] for n in real}
    other, rest = _split(training, len(held_out), seed)
    space = space_of(scorer, rest, held_out, classes, name, seed)
    figures = likelihood_figures(scorer, training, held_out, seed)
    rebuilt, reconstructions = _reconstruction(scorer, training, real, reconstructed)
    figures += rebuilt
    generated: Columns | None = None
    table: dict[str, Any] = {}
    if scorer.model.has_elbo:
        generated = generate(scorer, held_out.columns, len(held_out), seed)
        drawn, table = _generation(scorer, space, other, rest, real, generated, seed)
        figures += drawn
        figures += _copies(scorer, training, real, generated, seed)
    figures += latent_figures(scorer)
    kept = tuple(figure for figure in figures if math.isfinite(figure.value))
    basis = {
        "training_rows": len(training),
        "held_out_rows": len(held_out),
        "seed": seed,
        "classes": classes,
        "extractor": space.name,
        **{f"extractor_{key}": value for key, value in space.facts.items()},
    }
    return Measured(Quality(kept, table, reconstructions, basis), real, reconstructed, generated)


def _reconstruction(
    scorer: Scorer, training: Rows, real: Columns, reconstructed: Columns
) -> tuple[list[Figure], dict[str, dict[str, float]]]:
    """Reconstructions, beside the nearest training rows in their place."""
    image = scorer.encoding.image
    some = {column: cells[:POINT_ROWS] for column, cells in real.items()}
    found = nearest_rows(encoded(scorer, some), encoded(scorer, training.columns))
    nearest = modelled(scorer, training.take(found).columns)
    if image is not None:
        before, after, other = (part[image.name] for part in (real, reconstructed, nearest))
        figures = [
            Figure(f"reconstruction_{measure.__name__}", measure(before, after), beside, _NEAREST)
            for measure in (pictures.psnr, pictures.ssim)
            for beside in [measure(some[image.name], other)]
        ]
        return figures + _texture("reconstruction", before, after), {}
    probability = scorer.expected_probability(real)
    columns = reconstruction_quality(real, reconstructed, probability)
    certain = {column: np.ones(len(found)) for column in probability}
    beside = reconstruction_quality(some, _filled(nearest), certain)
    figures = [
        Figure(
            f"reconstruction_{measure}", _mean(columns, measure), _mean(beside, measure), _NEAREST
        )
        for measure in ("explained", "accuracy")
    ]
    likely = _mean(columns, "mean_log_probability")
    return [
        *figures,
        Figure("reconstruction_mean_log_probability", likely),
        Figure(
            "reconstruction_spread", spread(real, reconstructed), spread(some, nearest), _NEAREST
        ),
    ], columns


def _generation(
    scorer: Scorer,
    space: Space,
    further: Rows,
    rest: Rows,
    real: Columns,
    generated: Columns,
    seed: int,
) -> tuple[list[Figure], dict[str, Any]]:
    """Drawn rows against held-out ones, beside further real rows in their place."""
    other = modelled(scorer, further.columns)
    clusters = modelled(scorer, rest.sample(SHAPE_ROWS, seed).columns)
    image = scorer.encoding.image
    table: dict[str, Any] = {}
    figures: list[Figure] = []
    if image is None:
        table = generation_quality(generated, real, other)
        for name, pair in table["metrics"].items():
            figures.append(Figure(f"generation_{name}", pair["generated"], pair["ceiling"]))
        figures.append(Figure("generation_spread", spread(real, generated), spread(real, other)))
    figures += _as_points(space, _shuffled(real, seed), other, generated, clusters, seed)
    if image is not None:
        figures += _texture("generation", real[image.name], generated[image.name])
    return figures, table


def _as_points(
    space: Space, real: Columns, other: Columns, generated: Columns, clusters: Columns, seed: int
) -> list[Figure]:
    """Classifier, neighbours, distances and modes, in features; of equally many rows of each."""
    size = min(POINT_ROWS, *(len(next(iter(part.values()))) for part in (real, other)))
    shown = [_first(part, size) for part in (real, generated, other)]
    held, made, further = (space.points(part) for part in shown)
    told, confused = (classifier_auroc(held, points, seed) for points in (made, further))
    pairs = {"classifier_auroc": (told, confused)}
    near, beside = manifold(held, made), manifold(held, further)
    pairs |= {name: (near[name], beside[name]) for name in near}
    if space.name is not None:
        for measure in (frechet_distance, kernel_distance):
            pairs[measure.__name__] = (measure(held, made), measure(held, further))
    if space.classify is not None:
        modes = [space.classify(part) for part in shown]
    else:
        assign = fit_clusters(space.points(clusters), seed)
        modes = [assign(points) for points in (held, made, further)]
    lost, kept = mode_figures(modes[0], modes[1]), mode_figures(modes[0], modes[2])
    pairs |= {name: (lost[name], kept[name]) for name in lost}
    tail = "" if space.name is None else f"[{space.name}]"
    return [Figure(f"generation_{name}{tail}", a, b) for name, (a, b) in pairs.items()]


def _copies(
    scorer: Scorer, training: Rows, real: Columns, generated: Columns, seed: int
) -> list[Figure]:
    """Are generated rows those of the training again? Beside held-out rows in their place."""
    learned = encoded(scorer, training.columns)
    parts = (_shuffled(real, seed), generated)
    held, made = (encoded(scorer, _first(part, POINT_ROWS)) for part in parts)
    own, beside = copies(made, learned), copies(held, learned)
    figures = [Figure(f"generation_{name}", own[name], beside[name]) for name in own]
    half = len(held) // 2
    if half:
        unseen, rest = held[:half], held[half:]
        nearer = [nearer_to_training(points, learned, unseen, seed) for points in (made, rest)]
        figures.append(Figure("generation_nearer_to_training", nearer[0], nearer[1]))
    return figures


def _split(training: Rows, wanted: int, seed: int) -> tuple[Rows, Rows]:
    """Rows that stand in for generated ones, and those that extractors and clusters may learn
    from: rows that have shaped the features would look better than others in them."""
    order = np.random.default_rng(seed).permutation(len(training))
    size = min(wanted, max(1, len(training) // 2))
    return training.take(order[:size]), training.take(order[size:])


def _texture(what: str, real: NDArray[Any], other: NDArray[Any]) -> list[Figure]:
    """Sharpness and fine detail of pictures, beside the real ones' own."""
    return [
        Figure(f"{what}_{measure.__name__}", measure(other), measure(real))
        for measure in (pictures.sharpness, pictures.high_frequencies)
    ]


def _mean(columns: dict[str, dict[str, float]], measure: str) -> float:
    """Mean over the columns that have it; NaN where none does."""
    values = [q[measure] for q in columns.values() if math.isfinite(q.get(measure, math.nan))]
    return float(np.mean(values)) if values else float("nan")


def _filled(columns: Columns) -> dict[str, NDArray[Any]]:
    """Missing numbers in the middle of their column: a reconstruction has none."""
    out = dict(columns)
    for name, cells in columns.items():
        if cells.dtype.kind == "f" and np.isnan(cells).any():
            known = cells[~np.isnan(cells)]
            out[name] = np.where(np.isnan(cells), np.median(known) if len(known) else 0.0, cells)
    return out


def _first(columns: Columns, count: int) -> dict[str, NDArray[Any]]:
    return {name: cells[:count] for name, cells in columns.items()}


def _shuffled(columns: Columns, seed: int) -> dict[str, NDArray[Any]]:
    """In another order, the same for each column: the rows came in order of time."""
    rows = len(next(iter(columns.values())))
    order = np.random.default_rng(seed).permutation(rows)
    return {name: cells[order] for name, cells in columns.items()}
