"""What a measurement says: a figure, what stands beside it, and how to read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

__all__ = ["GUIDE", "Figure", "Guide", "Quality"]

Against = Literal["ceiling", "nearest_row", "training_rows", "bound"]
# what stands beside a figure, in words
BESIDE: dict[Against, str] = {
    "ceiling": "real rows in place of the model's",
    "nearest_row": "the nearest training row in place of the reconstruction",
    "training_rows": "the same of training rows",
    "bound": "the most there can be",
}


class Guide(NamedTuple):
    """How to read a figure.

    Attributes:
        better: ``higher``, ``lower``, or ``equal``: as near as can be to what stands beside it.
        range: of possible values, with the unit.
        meaning: in a few words.
    """

    better: Literal["higher", "lower", "equal", "–"]
    range: str
    meaning: str


# by name without the extractor's; docs/user-guide.md says when to trust each
GUIDE: dict[str, Guide] = {
    "elbo": Guide("higher", "nats a row", "bound on log p(row)"),
    "importance_weighted_elbo": Guide("higher", "nats a row", "tighter bound on log p(row)"),
    "bits_per_dimension": Guide("lower", "≥ 0", "bits to store a value of a picture"),
    "reconstruction_explained": Guide("higher", "≤ 1", "R² of numeric columns"),
    "reconstruction_accuracy": Guide("higher", "0 … 1", "categories met"),
    "reconstruction_mean_log_probability": Guide("higher", "≤ 0 nats", "of observed categories"),
    "reconstruction_spread": Guide("equal", "≥ 0", "spread against the rows' own"),
    "reconstruction_psnr": Guide("higher", "0 … 100 dB", "peak signal to noise"),
    "reconstruction_ssim": Guide("higher", "−1 … 1", "structural similarity"),
    "reconstruction_sharpness": Guide("equal", "≥ 0", "variance of the Laplacian"),
    "reconstruction_high_frequencies": Guide("equal", "0 … 1", "share of fine detail"),
    "generation_shape_similarity": Guide("higher", "0 … 1", "columns one by one"),
    "generation_correlation_similarity": Guide("higher", "0 … 1", "pairs of numbers"),
    "generation_contingency_similarity": Guide("higher", "0 … 1", "pairs of columns"),
    "generation_spread": Guide("equal", "≥ 0", "spread against real rows'"),
    "generation_classifier_auroc": Guide("lower", "½ … 1", "a classifier tells them apart"),
    "generation_precision": Guide("higher", "0 … 1", "generated among real ones"),
    "generation_recall": Guide("higher", "0 … 1", "real among generated ones"),
    "generation_density": Guide("higher", "≥ 0", "how deep among real ones"),
    "generation_coverage": Guide("higher", "0 … 1", "real ones with a generated one near"),
    "generation_frechet_distance": Guide("lower", "≥ 0", "distance of Gaussians in features"),
    "generation_kernel_distance": Guide("lower", "about 0 and up", "distance of all moments to 3"),
    "generation_modes_covered": Guide("higher", "0 … 1", "clusters or classes not lost"),
    "generation_mode_share_similarity": Guide("higher", "0 … 1", "clusters in proportion"),
    "generation_sharpness": Guide("equal", "≥ 0", "variance of the Laplacian"),
    "generation_high_frequencies": Guide("equal", "0 … 1", "share of fine detail"),
    "generation_nearest_distance": Guide("equal", "≥ 0", "to the nearest training row"),
    "generation_copied_share": Guide("equal", "0 … 1", "as good as copies of training rows"),
    "generation_nearer_to_training": Guide("equal", "0 … 1", "than to rows never seen"),
    "active_units": Guide("higher", "0 … latents", "latents that depend on the row"),
    "kl": Guide("–", "≥ 0 nats", "what the latent costs a row"),
    "largest_kl": Guide("–", "≥ 0 nats", "of one latent"),
    "mutual_information": Guide("higher", "0 … log rows", "nats that codes say about a row"),
    "marginal_kl": Guide("lower", "≥ 0 nats", "all codes against the prior"),
    "decoder_variance_at_bound": Guide("lower", "0 … 1", "columns at the least variance"),
}


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes:
        name: stable, as logged; an extractor's name stands in brackets behind it.
        value: of the model.
        beside: of what ``against`` says, None where nothing compares.
        against: key of ``BESIDE``.
    """

    name: str
    value: float
    beside: float | None = None
    against: Against = "ceiling"

    @property
    def guide(self) -> Guide:
        """How to read it."""
        return GUIDE[self.name.partition("[")[0]]


@dataclass(frozen=True)
class Quality:
    """All figures of a model.

    Attributes:
        figures: in the order they are shown.
        generation: of a table, how near its generated columns come, see ``generation_quality``.
        reconstructions: column by column, see ``reconstruction_quality``.
        basis: what was measured on: rows, seed, extractor.
    """

    figures: tuple[Figure, ...]
    generation: dict[str, Any] = field(default_factory=dict)
    reconstructions: dict[str, dict[str, float]] = field(default_factory=dict)
    basis: dict[str, Any] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """Stable name → value, as MLflow takes them: ``NAME``, and ``NAME_ceiling`` (or
        ``_nearest_row``, ``_training_rows``) for what stands beside; ``[x]`` becomes ``.x``."""
        out: dict[str, float] = {}
        for figure in self.figures:
            base, _, extractor = figure.name.partition("[")
            tail = f".{extractor.rstrip(']')}" if extractor else ""
            out[base + tail] = figure.value
            if figure.beside is not None and figure.against != "bound":
                out[f"{base}_{figure.against}{tail}"] = figure.beside
        return out

    def rows(self) -> list[dict[str, Any]]:
        """One flat record per figure, for JSON, Parquet and tables."""
        return [
            {
                "name": figure.name,
                "value": figure.value,
                "beside": figure.beside,
                "against": figure.against if figure.beside is not None else None,
                "better": figure.guide.better,
                "range": figure.guide.range,
                "meaning": figure.guide.meaning,
            }
            for figure in self.figures
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "basis": self.basis,
            "figures": self.rows(),
            "generation": self.generation.get("columns", {}),
            "reconstructions": self.reconstructions,
        }
