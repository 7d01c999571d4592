"""What the estimator does beside detecting: rebuild rows, draw them, walk between them, mend them.

Legend: N rows, D columns, L latents.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_core.operations import draw_conditions

if TYPE_CHECKING:
    from vae_core import Scorer
    from vae_core.operations import Compressed

Data = Mapping[str, np.ndarray]

__all__ = ["GenerationMixin"]


class GenerationMixin(ABC):
    """Methods of `VAEDetector` that make rows; they come as the type of the X that was fitted,
    and columns of a data frame as theirs where that holds the cells (a mean need not be whole)."""

    @abstractmethod
    def _scorer(self) -> Scorer: ...
    @abstractmethod
    def _read(self, X: Any, reset: bool = False, holes: bool = False) -> Data: ...
    @abstractmethod
    def _write(self, data: Data, like: Any = None) -> Any: ...

    def generate(
        self,
        n: int,
        *,
        how: str = "prior",
        seed: int = 0,
        condition: Mapping[str, Any] | None = None,
    ) -> Any:
        """n rows drawn from the model.

        Args:
            n: rows.
            how: "prior", or "mixture": from a mixture of Gaussians fitted to the codes of training
                rows, which leaves out regions of the latent space where no row lies.
            seed: the same seed draws the same rows.
            condition: category by condition, one for all rows or (n,); None: known ones at random.
        """
        scorer = self._scorer()
        told = dict(condition or draw_conditions(scorer.encoding, n, seed))
        rows = scorer.generate(n, seed, how=how, condition=told or None)
        given = {k: np.full(n, v) if np.ndim(v) == 0 else np.asarray(v) for k, v in told.items()}
        return self._write({**given, **rows})

    def reconstruct(self, X: Any) -> Any:
        """What the model expects in each cell of X."""
        data = self._read(X)
        return self._beside(X, data, self._scorer().reconstruct(data))

    def _beside(self, X: Any, given: Data, made: Data) -> Any:
        """Made rows, with the index and the conditions of those that were given."""
        names = [c.name for c in self._scorer().encoding.conditions]
        return self._write({**{n: given[n] for n in names if n in given}, **made}, X)

    def embed(self, X: Any) -> np.ndarray:
        """(N, L) latent means of the first member."""
        return self._scorer().embed(self._read(X))

    def decode(self, codes: Any, condition: Mapping[str, Any] | None = None) -> Any:
        """What the first member expects of rows with codes (N, L): the way back from `embed`.

        Args:
            codes: (N, L).
            condition: category by condition, one for all rows or (N,); None: not known.
        """
        return self._write(self._scorer().decode(np.asarray(codes), condition))

    def interpolate(self, start: Any, end: Any, *, steps: int = 9, path: str = "linear") -> Any:
        """Rows on the way from those of `start` to those of `end`, N · steps of them.

        Args:
            start, end: N rows each.
            steps: both ends included.
            path: linear or spherical.
        """
        rows = self._scorer().interpolate(
            self._read(start), self._read(end), steps=steps, path=path
        )
        return self._write(rows)

    def traverse(
        self,
        x: Any = None,
        *,
        latents: int | None = 8,
        steps: int = 9,
        reach: float = 3.0,
        condition: Mapping[str, Any] | None = None,
    ) -> dict[int, Any]:
        """What becomes of a row as one latent is moved, for those with most to say.

        Args:
            x: one row, (1, D); None: start from the prior's mean.
            latents: so many of them, by KL; None: all.
            steps: values of each; a categorical latent takes each of its categories.
            reach: standard deviations of the prior to both sides.
            condition: category by condition, where no row brings its own; None: not known.

        Returns:
            Rows, one for each value, by the latent's number in `embed`, the largest KL first.
        """
        base = None if x is None else self._read(x)
        walk = self._scorer().traverse(
            base, latents=latents, steps=steps, reach=reach, condition=condition
        )
        steps = len(walk.values)
        return {
            latent: self._write({k: v[i * steps : (i + 1) * steps] for k, v in walk.rows.items()})
            for i, latent in enumerate(walk.latents)
        }

    def denoise(self, X: Any) -> Any:
        """Noisy rows as the members expect them that learned to undo noise."""
        data = self._read(X)
        return self._beside(X, data, self._scorer().denoise(data))

    def impute(self, X: Any, *, draws: int | None = None, seed: int = 0) -> Any:
        """X with its missing cells filled in; observed cells stay as they are.

        Cells may be missing in any column, also where none was in `fit`.

        Args:
            X: NaN or None where a cell is missing; an array of pictures has NaN pixels.
            draws: None: the model's expectation. Else a list of so many tables whose missing cells
                are drawn, and spread as the model is unsure.
            seed: of the draws.
        """
        scorer = self._scorer()
        data = self._read(X, holes=True)
        if draws is None:
            return self._write({**data, **scorer.impute(data)}, X)
        drawn = scorer.impute_draws(data, draws, seed=seed)
        return [self._write({**data, **rows}, X) for rows in drawn]

    def compress(self, X: Any, *, step: float = 0.5) -> Compressed:
        """X as quantised codes, with the bits they take and the loss; see `vae_core.operations`."""
        return self._scorer().compress(self._read(X), step=step)
