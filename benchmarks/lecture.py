"""The pictures that lectures about variational autoencoders show, by this project's own gallery.

    python -m benchmarks.lecture [mnist_reconstruction …]

Each name is a picture in docs/images/. Models train anew every time, for some minutes each.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks import markdown, runs, sprites
from benchmarks.markdown import Section
from vae_core import ModelConfig, Scorer, TrainConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HELD_OUT = 500
STEPS = 9
BETA_VAE = "β-VAE, β = 4"
SHARED: dict[str, Any] = {"members": 1, "denoisers": 0}


def mnist_reconstruction(data: Path) -> Figure:
    from pipeline.gallery.grids import reconstruction_grid

    rows = {"picture": _read(data, "mnist/mnist.npz", "x_test")[:24]}
    back = _digits(data).reconstruct(rows)["picture"]
    return reconstruction_grid(
        {"input": rows["picture"], "reconstruction": back},
        "Digits never seen, and what comes back",
    )


def mnist_generation(data: Path) -> Figure:
    from pipeline.gallery.grids import picture_grid

    drawn = _digits(data).generate(60, seed=0)["picture"]
    return picture_grid(drawn, "Digits drawn from the prior, a flow", 12)


def cifar10_generation(data: Path) -> Figure:
    from pipeline.gallery.grids import picture_grid

    scorer = _fitted(
        _read(data, "cifar10/cifar10_subset.npz", "x_train"),
        ModelConfig(**SHARED, latent_dim=128, network="conv", channels=(32, 64), prior="flow"),
        TrainConfig(max_steps=500, max_epochs=1000, patience=1000),
    )
    drawn = scorer.generate(60, seed=0)["picture"]
    return picture_grid(drawn, "Pictures drawn from the prior, a flow: CIFAR-10", 12)


def sprites_traversal(data: Path) -> Figure:
    """Every latent of the β-VAE moved; lines are named by the factor that they tell most of."""
    from pipeline.gallery.grids import walk_grid

    scorer = sprites.fitted(BETA_VAE, 0)
    seen = sprites.sprites(sprites.JUDGED, 1)
    codes = scorer.embed({"sprite": seen.pictures})
    middle = {"sprite": seen.pictures[_central(seen)][None]}
    walk = scorer.traverse(middle, latents=None, steps=STEPS, reach=2.0)
    names = [sprites.told_by(codes[:, latent], seen.factors) for latent in walk.latents]
    title = f"One latent of a {BETA_VAE} moved at a time, and the factor it tells most of"
    return walk_grid(walk.rows["sprite"], STEPS, names, title, "−2 … 2 standard deviations")


class Picture(NamedTuple):
    """What draws it, and what it shows."""

    draw: Callable[[Path], Figure]
    caption: str


PICTURES = {
    "mnist_reconstruction": Picture(mnist_reconstruction, "MNIST, reconstruction"),
    "mnist_generation": Picture(mnist_generation, "MNIST, generation"),
    "cifar10_generation": Picture(cifar10_generation, "CIFAR-10, generation"),
    "sprites_traversal": Picture(
        sprites_traversal,
        "Sprites, traversal of a β-VAE: rotation is shared by several latents, not the work of one",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", help=", ".join(PICTURES))
    parser.add_argument("--data", type=Path, default=runs.DATA, help="folder of the data sets")
    parser.add_argument("--images", type=Path, default=runs.IMAGES)
    args = parser.parse_args()
    unknown = set(args.names) - set(PICTURES)
    if unknown:
        parser.error(f"unknown {', '.join(sorted(unknown))}; known: {', '.join(PICTURES)}")
    with runs.single_threaded():
        for name in args.names or PICTURES:
            path = args.images / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            figure = PICTURES[name].draw(args.data)
            figure.savefig(path, dpi=110, metadata={"Software": None})
            print(path, flush=True)


@cache
def _digits(data: Path) -> Scorer:
    return _fitted(
        _read(data, "mnist/mnist.npz", "x_train"),
        ModelConfig(
            **SHARED, latent_dim=32, hidden=(512, 256), pixels="continuous_bernoulli", prior="flow"
        ),
        TrainConfig(max_steps=2500, max_epochs=1000, patience=1000),
    )


def _fitted(pictures: np.ndarray, model: ModelConfig, training: TrainConfig) -> Scorer:
    from pipeline.detector import ColumnKind
    from pipeline.fitting import fit_scorer

    return fit_scorer(
        {"picture": pictures[HELD_OUT:]},
        {"picture": pictures[:HELD_OUT]},
        {"picture": ColumnKind("image", False)},
        model=model,
        training=training,
        score="reconstruction_error",
        device="cpu",
    ).scorer


def _read(data: Path, file: str, part: str) -> np.ndarray:
    with np.load(data / file) as archive:
        pictures: np.ndarray = archive[part]
    return pictures if pictures.ndim == 4 else pictures[..., None]


def _central(seen: sprites.Sprites) -> int:
    """A large triangle about the middle, upright."""
    wanted = [sprites.SHAPES.index("triangle"), 3, 0, 4, 4]
    return int(np.abs(seen.factors - wanted).sum(1).argmin())


def section(results: Path, images: Path) -> Section:
    """The pictures that are there, each with its command."""
    there = [name for name in PICTURES if (images / f"{name}.png").exists()]
    if not there:
        return Section([], [])
    lines = ["## Pictures", ""]
    lines += markdown.paragraph(
        "Drawn by the functions that every trained model's figures come from (`pipeline/gallery`)."
    )
    for name in there:
        lines += [f"{PICTURES[name].caption}: `python -m benchmarks.lecture {name}`", ""]
        lines += [f"![{PICTURES[name].caption}](images/{name}.png)", ""]
    return Section(lines, [])


if __name__ == "__main__":
    main()
