"""Disentanglement on sprites: small pictures whose factors are known.

    python -m benchmarks.sprites

MIG, SAP and DCI of codes of VAEs with several β, of an autoencoder, of principal components, and
of the factors themselves; what the reconstructions of unseen sprites cost beside it. Lines go to
benchmarks/results/sprites.csv.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import markdown, runs
from benchmarks.markdown import Floor, Section
from vae_core import ModelConfig, Scorer, TrainConfig

FILE = "sprites.csv"
ROWS, JUDGED = 10_000, 5_000
STEPS = 3_000
LATENT = 8
SIDE = 32
FINE = 3  # each pixel is the mean of 3 × 3 points
SHAPES = ("ellipse", "triangle", "corner")
# values of each factor: no two pictures are alike, since no shape is symmetric below 180°
FACTORS = {"shape": 3, "size": 4, "rotation": 6, "x": 8, "y": 8}


class Sprites(NamedTuple):
    """White shapes on black.

    Attributes:
        pictures: (N, 32, 32, 1) uint8, 0 … 255, edges grey.
        factors: (N, 5) the number of each factor's value, in the order of ``FACTORS``.
    """

    pictures: NDArray[np.uint8]
    factors: NDArray[np.int64]


def sprites(count: int, seed: int = 0) -> Sprites:
    """Independent uniform factors, drawn.

    Args:
        count: N.
        seed: the same gives the same pictures.
    """
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(0, values, count) for values in FACTORS.values()], axis=1)
    every, place = np.unique(factors, axis=0, return_inverse=True)
    pictures = np.stack([_draw(*row) for row in every])
    return Sprites(pictures[place.ravel()], factors)


def _draw(shape: int, size: int, rotation: int, x: int, y: int) -> NDArray[np.uint8]:
    axis = (np.arange(SIDE * FINE) + 0.5) / FINE
    across, down = np.meshgrid(axis, axis)
    radius = 4.0 + size
    centre = [SIDE / 2 + 2.0 * (place - 3.5) for place in (x, y)]
    angle = np.pi * rotation / FACTORS["rotation"]
    dx, dy = (across - centre[0]) / radius, (down - centre[1]) / radius
    u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
    inside = {
        "ellipse": u**2 + (2 * v) ** 2 <= 1,
        "triangle": (u >= -0.8) & (np.abs(v) <= 0.4 * (1 - u)),
        "corner": (np.maximum(np.abs(u), np.abs(v)) <= 0.8) & ~((u > -0.2) & (v > -0.2)),
    }[SHAPES[shape]]
    grey = inside.reshape(SIDE, FINE, SIDE, FINE).mean(axis=(1, 3))
    return np.rint(255 * grey).astype(np.uint8)[..., None]


FACTORS_THEMSELVES, NOISE, COMPONENTS = "the factors", "noise", "PCA"
# fields of ModelConfig, and of TrainConfig
TRAINED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "autoencoder": ({"variant": "autoencoder"}, {}),
    "VAE": ({}, {}),
    "β-VAE, β = 4": ({}, {"beta": 4.0}),
    "β-VAE, β = 8": ({}, {"beta": 8.0}),
    "β-TC-VAE, β = 6": ({}, {"total_correlation": 5.0}),
    "β-TC-VAE, β = 21": ({}, {"total_correlation": 20.0}),
    "β-TC-VAE, β = 31": ({}, {"total_correlation": 30.0}),
}
METHODS = (FACTORS_THEMSELVES, NOISE, COMPONENTS, *TRAINED)
BETA_VAES = tuple(name for name in TRAINED if name.startswith("β-"))


def main() -> None:
    parser = runs.parser(__doc__, Path(), seeds=(0,))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    args = parser.parse_args()
    wanted = [{"method": name, "seed": seed} for seed in args.seeds for name in args.methods]
    runs.complete(
        args.results / FILE, wanted, lambda key: [measure(key["method"], key["seed"])], args.fresh
    )


def measure(method: str, seed: int) -> runs.Line:
    """Disentanglement of the codes of unseen sprites, and PSNR and SSIM of what they bring back."""
    from pipeline.quality.disentanglement import disentanglement
    from pipeline.quality.pictures import psnr, ssim

    judged = sprites(JUDGED, seed + 1)
    codes, pictures = _coded(method, judged, seed)
    found = disentanglement(codes, judged.factors, seed)
    real, none = judged.pictures, pictures is None
    return {
        **found,
        "psnr": np.nan if none else psnr(real, pictures),
        "ssim": np.nan if none else ssim(real, pictures),
    }


def _coded(
    method: str, judged: Sprites, seed: int
) -> tuple[NDArray[np.floating], NDArray[Any] | None]:
    """Codes (N, L), and the pictures that come back from them where any do."""
    from sklearn.decomposition import PCA

    if method == FACTORS_THEMSELVES:
        return judged.factors.astype(float), None
    if method == NOISE:
        return np.random.default_rng(seed).normal(size=(JUDGED, LATENT)), None
    if method == COMPONENTS:
        own, seen = (
            part.pictures.reshape(len(part.pictures), -1) / 255.0
            for part in (sprites(ROWS, seed), judged)
        )
        pca = PCA(LATENT, random_state=seed).fit(own)
        codes = pca.transform(seen)
        back = np.clip(pca.inverse_transform(codes), 0, 1).reshape(judged.pictures.shape)
        return codes, 255 * back
    scorer = fitted(method, seed)
    rows = {"sprite": judged.pictures}
    return scorer.embed(rows), scorer.reconstruct(rows)["sprite"]


@cache
def fitted(method: str, seed: int) -> Scorer:
    """One network, trained on 9,000 sprites; 1,000 more tell when to stop."""
    from pipeline.detector import ColumnKind
    from pipeline.fitting import fit_scorer

    model, training = TRAINED[method]
    shared: dict[str, Any] = {"members": 1, "denoisers": 0, "latent_dim": LATENT, "pixels": "bce"}
    pictures, held = sprites(ROWS, seed).pictures, ROWS // 10
    return fit_scorer(
        {"sprite": pictures[held:]},
        {"sprite": pictures[:held]},
        {"sprite": ColumnKind("image", False)},
        model=ModelConfig(**shared | {"hidden": (256, 128)} | model),
        training=TrainConfig(**{"max_steps": STEPS, "max_epochs": 1000} | training),
        score="reconstruction_error",
        device="cpu",
        seed=seed,
    ).scorer


def told_by(latent: NDArray[np.floating], factors: NDArray[np.integer]) -> str:
    """Name of the factor, of (N, 5), that a latent (N,) shares most of its information with."""
    from sklearn.metrics import mutual_info_score

    cut = np.digitize(latent, np.histogram_bin_edges(latent, 20)[1:-1])
    shared = [mutual_info_score(f, cut) / mutual_info_score(f, f) for f in factors.T]
    return list(FACTORS)[int(np.argmax(shared))]


def section(results: Path, images: Path) -> Section:
    """Means over seeds; the best β-VAE against the VAE."""
    done = runs.read(results / FILE)
    if done.empty:
        return Section([], [])
    means = done.groupby("method").mean(numeric_only=True)
    lines = ["## Disentanglement on sprites", ""]
    lines += markdown.paragraph(
        f"`python -m benchmarks.sprites`: {ROWS:,} sprites of 32 × 32 pixels with five independent",
        f"factors (shape, size, rotation, x, y), {LATENT} latents, {STEPS:,} steps, judged on",
        f"{JUDGED:,} more, seeds {markdown.listed(sorted(done.seed.unique()))}. MIG, SAP and DCI:",
        "0 where codes say nothing, 1 for one latent a factor; every higher is better.",
    )
    rows = [
        [
            name,
            *(f"{means[column][name]:.3f}" for column in ("mig", "sap", "dci_disentanglement")),
            *(_or_dash(means[column][name], d) for column, d in (("psnr", 2), ("ssim", 3))),
        ]
        for name in METHODS
        if name in means.index
    ]
    header = ["codes of", "MIG", "SAP", "DCI disentanglement", "PSNR, dB", "SSIM"]
    lines += markdown.table(header, rows)
    there = [name for name in BETA_VAES if name in means.index]
    if "VAE" not in means.index or not there:
        return Section(lines, [])
    best = max(there, key=lambda name: means.mig[name])
    ratio, cost = means.mig[best] / means.mig["VAE"], means.psnr["VAE"] - means.psnr[best]
    floor = Floor(
        "sprites, MIG of the best β-VAE (or β-TC-VAE) against the VAE, and its cost",
        "≥ 1.5×",
        "≥ 2×",
        f"{ratio:.2f}× ({best}), {markdown.signed(-cost, 1)} dB",
        bool(ratio >= 1.5),
        bool(ratio >= 2),
    )
    return Section(lines, [floor])


def _or_dash(value: float, digits: int) -> str:
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
