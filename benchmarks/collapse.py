"""Posterior collapse, provoked and cured, on scikit-learn's digits (8 × 8 pixels).

    python -m benchmarks.collapse

Each way of training is run once per seed; what is printed and written to
benchmarks/results/collapse.csv is measured on held-out pictures, the bound always with β = 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from benchmarks import markdown, runs
from benchmarks.markdown import Floor, Section

FILE = "collapse.csv"
LATENT, STEPS = 16, 1000
HELD_OUT = 400


@dataclass(frozen=True)
class Way:
    """Fields of ModelConfig and of TrainConfig beside those that all share."""

    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


CURE = {"warmup": 0.5, "free_bits": 0.25}
STRONG = {"beta": 20.0, "warmup": 0.0}
LOUD = {"learned_variance": False}
WAYS: dict[str, Way] = {
    "default": Way(),
    "β = 20": Way(training=STRONG),
    "β = 20, warm-up": Way(training={**STRONG, "warmup": 0.5}),
    "β = 20, warm-up and free bits": Way(training=STRONG | CURE),
    "σ = 1": Way(LOUD, {"warmup": 0.0}),
    "σ = 1, warm-up": Way(LOUD, {"warmup": 0.5}),
    "σ = 1, warm-up and free bits": Way(LOUD, CURE),
}
PROVOKED = ("β = 20", "σ = 1")
CURED = tuple(f"{way}, warm-up and free bits" for way in PROVOKED)


def main() -> None:
    parser = runs.parser(__doc__, Path(), seeds=(0, 1, 2))
    args = parser.parse_args()
    wanted = [{"way": way, "seed": seed} for way in WAYS for seed in args.seeds]
    runs.complete(
        args.results / FILE,
        wanted,
        lambda key: [measure(WAYS[key["way"]], key["seed"])],
        args.fresh,
    )


def measure(way: Way, seed: int, steps: int = STEPS) -> dict[str, Any]:
    """Latent health, bound and the gate's verdict of one training."""
    from pipeline.detector import ColumnKind
    from pipeline.fitting import fit_scorer
    from pipeline.gates import has_not_collapsed
    from vae_core import ModelConfig, TrainConfig

    pictures = np.rint(load_digits().images * (255 / 16))[..., None]
    pictures = pictures[np.random.default_rng(seed).permutation(len(pictures))]
    shared = {"members": 1, "denoisers": 0, "latent_dim": LATENT}
    fit = fit_scorer(
        {"picture": pictures[HELD_OUT:]},
        {"picture": pictures[:HELD_OUT]},
        {"picture": ColumnKind("image", False)},
        model=ModelConfig(**shared | dict(way.model)),
        training=TrainConfig(max_steps=steps, **way.training),
        score="reconstruction_error",
        device="cpu",
        seed=seed,
    )
    seen, held_out = fit.scorer.diagnostics, {"picture": pictures[:HELD_OUT]}
    raw = fit.scorer.raw_scores(held_out)
    return {
        "active_units": seen["active_units"],
        "kl": float(raw.kl.mean()),
        "mutual_information": seen["mutual_information"],
        "elbo": float(raw.elbo.mean()),
        "squared_error": float(raw.reconstruction_error.mean()),
        "gate_passed": has_not_collapsed(fit.scorer).passed,
    }


def section(results: Path, images: Path) -> Section:
    """Means over seeds."""
    done = runs.read(results / FILE)
    if done.empty:
        return Section([], [])
    lines = ["## Posterior collapse, provoked and cured", ""]
    lines += markdown.paragraph(
        "`python -m benchmarks.collapse`: scikit-learn's digits, one VAE of",
        f"{LATENT} latents, {STEPS:,} steps; means over {done.seed.nunique()} seeds on held-out",
        "pictures. The bound is that of β = 1 in nats of 0 … 255 values; it compares among the",
        "lines that learn σ, and among those that hold σ = 1. KL and mutual information in nats.",
        "With σ = 1 the decoder calls all pixels noise and leaves nothing for the latent to say.",
        "The gate is the one that a version must pass before it scores nights",
        "(`pipeline/gates.py`).",
    )
    means = done.groupby("way")[list(done.columns[2:])].mean()
    rows = [
        [
            way,
            f"{line.active_units:.1f}",
            f"{line.kl:.2f}",
            f"{line.mutual_information:.2f}",
            f"{line.squared_error:.4f}",
            f"{line.elbo:.1f}",
            {0.0: "refuses", 1.0: "passes"}.get(line.gate_passed, f"passes {line.gate_passed:.0%}"),
        ]
        for way in WAYS
        if way in means.index
        for line in [means.loc[way]]
    ]
    header = ["trained with", "active", "KL", "information", "squared error", "ELBO", "gate"]
    return Section([*lines, *markdown.table(header, rows)], _floors(means.gate_passed))


def _floors(passed: pd.Series) -> list[Floor]:
    """Every training that provokes a collapse is refused, every cured one passes."""
    floors = []
    for what, ways, share in (
        ("posterior collapse provoked (large β, loud decoder): the gate refuses", PROVOKED, 0.0),
        ("same, cured by warm-up and free bits: the gate passes", CURED, 1.0),
    ):
        there = [way for way in ways if way in passed.index]
        right = sum(bool(passed[way] == share) for way in there)
        holds = bool(there) and right == len(ways)
        measured = f"{right} of {len(ways)} ways, every seed"
        floors.append(Floor(what, "always", "always", measured, holds, holds))
    return floors


if __name__ == "__main__":
    main()
