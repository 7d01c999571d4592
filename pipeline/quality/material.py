"""What is measured: real rows, their reconstructions, generated rows; and features of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.quality.extractors import Extractor, fit_classifier, fit_components
from pipeline.quality.tables import Columns

if TYPE_CHECKING:
    from pipeline.sampling import Rows
    from vae_core import Scorer

Points = NDArray[np.floating]

__all__ = ["Space", "encoded", "generate", "modelled", "space_of"]


@dataclass(frozen=True)
class Space:
    """Where rows are compared as points.

    Attributes:
        name: of the extractor; None for a table, whose rows are compared as the model reads them.
        points: columns → (N, F).
        classify: columns → (N,) class numbers, where a classifier has learned some.
        facts: of the extractor.
    """

    name: str | None
    points: Callable[[Columns], Points]
    classify: Callable[[Columns], NDArray[np.integer]] | None
    facts: dict[str, Any]


def space_of(
    scorer: Scorer, training: Rows, held_out: Rows, classes: str | None, name: str, seed: int
) -> Space:
    """Where rows of this scorer's data are compared.

    Args:
        scorer: trained.
        training: rows that an extractor of pictures is fitted to.
        held_out: rows that tell how good it is.
        classes: column with the classes of pictures, beside those that are modelled.
        name: of the data set.
        seed: of the extractor.
    """
    image = scorer.encoding.image
    if image is None:
        return Space(None, lambda columns: encoded(scorer, columns), None, {})

    def pictures(columns: Columns) -> NDArray[Any]:
        return columns[image.name]

    seen, unseen = modelled(scorer, training.columns), modelled(scorer, held_out.columns)
    extractor: Extractor = (
        fit_components(pictures(seen), seed)
        if classes is None
        else fit_classifier(
            *(pictures(seen), training.columns[classes]),
            *(pictures(unseen), held_out.columns[classes]),
            *(name, seed),
        )
    )
    tell = extractor.classify
    return Space(
        extractor.name,
        lambda columns: extractor.features(pictures(columns)),
        None if tell is None else lambda columns: tell(pictures(columns)),
        extractor.facts,
    )


def encoded(scorer: Scorer, columns: Columns) -> Points:
    """Rows as the model reads them, numbers bent so that extremes do not decide: (N, F)."""
    layout = scorer.encoding.layout
    x = scorer.encoding.encode(columns)[0][:, : layout.mask.stop]
    x[:, : layout.numeric] = np.arcsinh(x[:, : layout.numeric])
    return x


def modelled(scorer: Scorer, columns: Columns) -> dict[str, NDArray[Any]]:
    """The modelled columns as the model spells them: unseen categories in one bucket, pictures as
    (N, height, width, channels)."""
    spelled = scorer.encoding.decode(scorer.encoding.encode(columns)[0])
    numeric = {column.name for column in scorer.encoding.numeric}
    names = scorer.encoding.required
    return {name: columns[name] if name in numeric else spelled[name] for name in names}


def generate(
    scorer: Scorer, columns: Columns, count: int, seed: int = 0
) -> dict[str, NDArray[Any]]:
    """Modelled columns of rows drawn from the model, under the conditions of given rows.

    Rows of a table are drawn from p(x|z); of a picture it is the mean of p(x|z) for a drawn z, as
    is usual: independent noise in each pixel would count as detail.

    Args:
        scorer: with a prior.
        columns: at least as many rows, whose conditions are taken.
        count: rows.
        seed: of the draws.
    """
    conditions = {c.name: set(c.categories) for c in scorer.encoding.conditions}
    given = {
        name: np.array([v if v in known else None for v in columns[name][:count]], dtype=object)
        for name, known in conditions.items()
        if name in columns
    }
    rows = scorer.generate(count, seed, **({"condition": given} if given else {}))
    return {name: rows[name] for name in scorer.encoding.required}
