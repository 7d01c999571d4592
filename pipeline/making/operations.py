"""The operations on a version's rows, each with its rows and its figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.making.changes import blanked, empty, hidden, noisy, spelled, without
from pipeline.making.output import Made
from pipeline.making.source import Columns, MakingError, Source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vae_core import Scorer

STEPS_OF_FIGURE = (2.0, 1.0, 0.5, 0.25, 0.125)
BESIDE = 2000  # real rows that generated ones are drawn beside


def generate(
    source: Source,
    count: int,
    *,
    how: str = "prior",
    given: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Made:
    """Rows drawn from the version; a conditional one draws each known label in turn if not told.

    Args:
        source: of the version.
        count: of rows.
        how: prior or mixture.
        given: category by condition.
        seed: the same seed draws the same rows.
    """
    from pipeline import gallery

    scorer = source.scorer
    labels = _labels(scorer, count, given)
    drawn = asked(lambda: scorer.generate(count, seed, how=how, condition=labels or None))
    title = f"{count:,} rows drawn from the {'model' if how == 'prior' else 'mixture of codes'}"
    title += "".join(f", {name} {value}" for name, value in (given or {}).items())

    def draw() -> Figure:
        if source.image is None:
            _, real = source.rows(most=BESIDE)
            return gallery.marginals(drawn, spelled(scorer, real))
        pictures = drawn[source.image]
        name = next((name for name in labels if name not in (given or {})), None)
        values = [] if name is None else list(dict.fromkeys(labels[name].tolist()))
        if name is not None and len(values) > 1 and count >= 2 * len(values):
            shown, lines = _by_label(pictures, labels[name], values)
            return gallery.conditional_grid(shown, [f"{name} {value}" for value in lines], title)
        return gallery.picture_grid(pictures[:100], title)

    return Made({**drawn, **labels}, draw, {"rows": count, "drawn from": how, "seed": seed})


def reconstruct(source: Source, named: str | None = None) -> Made:
    """What the version expects in each cell of rows."""
    ids, real = source.rows(named)
    made = asked(lambda: source.scorer.reconstruct(real))
    return _mended(source, ids, {"input": real}, made, "Rows, and what the model expects")


def denoise(source: Source, named: str | None = None, noise: float = 0.0, seed: int = 0) -> Made:
    """Rows without the noise that they have; `noise` standard deviations are added first."""
    ids, real = source.rows(named)
    given = noisy(source, real, noise, seed) if noise else real
    made = asked(lambda: source.scorer.denoise(given))
    shown = {"original": real, "noisy": given} if noise else {"input": real}
    return _mended(source, ids, shown, made, "Rows, and what is left of them without noise")


def impute(source: Source, named: str | None = None, blank: float = 0.0, seed: int = 0) -> Made:
    """Rows with missing cells filled in; a share `blank` of the cells is emptied first.

    A table's figure shows the filled cells only: against what was emptied, or without that among
    the observed ones.
    """
    from pipeline import gallery

    ids, real = source.rows(named)
    holes = blanked(source, real, blank, seed) if blank else real
    filled = asked(lambda: source.scorer.impute(holes))
    image = source.image

    def draw() -> Figure:
        if image is not None:
            grey = np.nan_to_num(holes[image].astype(np.float64), nan=128).astype(np.uint8)
            kinds = ({"original": real[image]} if blank else {}) | {"given": grey}
            return gallery.reconstruction_grid(
                kinds | {"model": filled[image]}, "Rows, and their missing cells filled in"
            )
        names = source.scorer.encoding.required
        truth = without({n: real[n] for n in names}, holes)
        if blank:
            return _columns_figure(source.scorer, spelled(source.scorer, real), filled, truth)
        made = without({n: filled[n] for n in names}, holes)
        return gallery.marginals(made, {n: real[n] for n in names}, ("filled in", "observed"))

    facts = {"rows": len(ids)} | ({"cells emptied": f"{blank:.0%}"} if blank else {})
    return Made({"_row_id": np.array(ids), **filled}, draw, facts)


def interpolate(
    source: Source, start: int, end: int, *, steps: int = 9, path: str = "linear"
) -> Made:
    """Rows on the way from one row to another."""
    from pipeline import gallery

    _, ends = source.rows(f"{start},{end}")
    first, last = ({k: v[i : i + 1] for k, v in ends.items()} for i in (0, 1))
    rows = asked(lambda: source.scorer.interpolate(first, last, steps=steps, path=path))
    share = np.linspace(0, 1, steps)
    name = f"rows {start:,} to {end:,}"

    def draw() -> Figure:
        if source.image is not None:
            return gallery.walk_grid(rows[source.image], steps, [name], f"Interpolation, {path}")
        return gallery.table_walks(source.scorer.encoding, rows, steps, [name], below="share")

    return Made({"_share": share, **rows}, draw, {"steps": steps, "path": path})


def traverse(
    source: Source,
    row: int | None = None,
    *,
    latents: int = 8,
    steps: int = 9,
    reach: float = 3.0,
    given: Mapping[str, str] | None = None,
) -> Made:
    """One latent after another moved, those with most to say first, from a row or under given
    conditions."""
    from pipeline import gallery

    base = None if row is None else source.rows(str(row))[1]
    walk = asked(
        lambda: source.scorer.traverse(
            base, latents=latents, steps=steps, reach=reach, condition=given or None
        )
    )
    names = [f"latent {latent}" for latent in walk.latents]
    steps = len(walk.values)

    def draw() -> Figure:
        start = "the prior's mean" if row is None else f"row {row:,}"
        start += "".join(f", {name} {value}" for name, value in (given or {}).items())
        title = f"One latent moved at a time, from {start}"
        if source.image is not None:
            ends = gallery.walk_span(walk)
            return gallery.walk_grid(walk.rows[source.image], steps, names, title, ends)
        encoding, below = source.scorer.encoding, gallery.walk_unit(walk)
        return gallery.table_walks(encoding, walk.rows, steps, names, title, walk.values, below)

    index = {
        "_latent": np.repeat(walk.latents, steps),
        "_value": np.tile(walk.values, len(names)).astype(np.float64),
    }
    told = ", ".join(str(latent) for latent in walk.latents)
    return Made({**index, **walk.rows}, draw, {"latents by KL": told, "steps": steps})


def compress(source: Source, named: str | None = None, step: float = 0.5) -> Made:
    """Rows as whole numbers: their bits, their loss, and what comes back."""
    from pipeline import gallery

    ids, real = source.rows(named, most=BESIDE)
    done = asked(lambda: source.scorer.compress(real, step=step))
    codes = {f"_code_{i}": column for i, column in enumerate(done.codes.T)}
    index = {"_row_id": np.array(ids), "_bits": done.bits, "_kl_bits": done.rate}
    index["_distortion"] = done.distortion
    image = source.image
    raw = None if image is None else 8.0 * real[image][0].size

    def draw() -> Figure:
        steps = sorted({step, *STEPS_OF_FIGURE})
        return gallery.rate_distortion([source.scorer.compress(real, step=s) for s in steps], raw)

    facts = {
        "rows": len(ids),
        "bits per row": float(done.bits.mean()),
        "KL, bits per row": float(done.rate.mean()),
        "squared error, scaled": float(done.distortion.mean()),
    }
    return Made({**index, **codes, **done.rows}, draw, facts)


def asked(work: Callable[[], Any]) -> Any:
    """The result of `work`; what the core refuses becomes an error for people."""
    try:
        return work()
    except ValueError as error:
        raise MakingError(str(error)) from error


def _mended(
    source: Source, ids: list[int], given: Mapping[str, Columns], made: Columns, title: str
) -> Made:
    """Rows beside what became of them; `given` by name, the last one what the model was given."""
    from pipeline import gallery

    def draw() -> Figure:
        if source.image is not None:
            image = source.image
            kinds = {name: rows[image] for name, rows in given.items()}
            return gallery.reconstruction_grid(kinds | {"model": made[image]}, title)
        *_, last = given.values()
        return _columns_figure(source.scorer, spelled(source.scorer, last), made)

    return Made({"_row_id": np.array(ids), **made}, draw, {"rows": len(ids)})


def _columns_figure(
    scorer: Scorer, real: Columns, made: Columns, where: Columns | None = None
) -> Figure:
    """Cells against what the model says; of those alone that `where` holds."""
    from pipeline.figures import reconstruction_scatter
    from pipeline.quality import reconstruction_quality

    shown = {name: made[name] for name in scorer.encoding.required}
    matched = {
        name: np.array([float(str(a) == str(b)) for a, b in zip(cells, shown[name], strict=True)])
        for name, cells in real.items()
        if cells.dtype == object
    }
    if where is not None:
        real = {name: hidden(cells, empty(where[name])) for name, cells in real.items()}
    return reconstruction_scatter(real, shown, reconstruction_quality(real, shown, matched))


def _labels(scorer: Scorer, count: int, given: Mapping[str, str] | None) -> Columns:
    """(N,) categories by condition: as given, others in turn, side by side as far as they go."""
    known = {c.name: c.categories for c in getattr(scorer.encoding, "conditions", ())}
    strange = [name for name in given or {} if name not in known]
    if strange:
        raise MakingError(
            f"{strange[0]!r} is no condition of this version; it has: {', '.join(known) or 'none'}",
            hint="A column with the role condition, and model variant conditional, make one.",
        )
    labels = {}
    for name, categories in known.items():
        chosen = [given[name]] if given and name in given else list(categories)
        each = -(-count // len(chosen))
        labels[name] = np.repeat(np.array(chosen, dtype=object), each)[:count]
    return labels


def _by_label(pictures: Any, told: Any, values: list[str]) -> tuple[Any, list[str]]:
    """As many pictures of each label, twelve at most."""
    each = min(12, *(int((told == value).sum()) for value in values))
    if each == 0:
        values = [v for v in values if (told == v).any()]
        each = 1
    return np.concatenate([pictures[told == value][:each] for value in values]), values
