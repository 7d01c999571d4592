"""MNIST pictures that models of `benchmarks.likelihood` draw, and reconstructions against PCA.

    python -m benchmarks.generation

Samples: the Fréchet and kernel distance of 10,000 drawn pictures to the test pictures, on features
of the project's own classifier of digits, by the prior they are drawn from: the standard normal,
a mixture fitted to the same trained VAE's codes, a flow. Conditional samples: the share that the
classifier takes for the digit that was asked for; their model's prior is learned for each digit.
Reconstructions: PSNR and SSIM of test pictures from as many numbers as PCA gets. The models are
trained here, for a fixed number of steps. Lines go to benchmarks/results/generation.csv.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA

from benchmarks import likelihood, markdown, mnist, runs
from benchmarks.markdown import Floor, Section
from benchmarks.picture_rows import encoded, layout_of, pictures_of, pixels
from pipeline.quality.distances import frechet_distance, kernel_distance
from pipeline.quality.extractors import Extractor, fit_classifier
from pipeline.quality.pictures import psnr, ssim
from vae_core import ModelConfig, TrainConfig, build_model, train
from vae_core.columns import Layout
from vae_core.models import Model

FILE = "generation.csv"
STEPS = 800
CONDITIONAL_STEPS = 12_000
JUDGE_STEPS = 2_000  # of the classifier
SAMPLES = 10_000
HELD_OUT = 500
LATENT = {"MNIST": 32, "CIFAR-10": 128}
NETWORKS: dict[str, dict[str, Any]] = {
    "MNIST": {"hidden": (512, 512)},
    "CIFAR-10": {"network": "conv", "channels": (32, 64)},
}
RECONSTRUCTION_STEPS = {"MNIST": 2_000, "CIFAR-10": 400}
REAL = "real pictures"
NORMAL, MIXTURE, FLOW = "normal prior", "mixture fitted to codes", "flow prior"


def main() -> None:
    parser = runs.parser(__doc__, runs.DATA, seeds=(0,))
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    args = parser.parse_args()
    wanted = [{"task": task, "seed": seed} for seed in args.seeds for task in args.tasks]

    def run(key: runs.Key) -> list[runs.Line]:
        measured = TASKS[key["task"]](args.data, key["seed"])
        return [one for line in measured for one in figures(line)]

    runs.complete(args.results / FILE, wanted, run, args.fresh)


def figures(line: runs.Line) -> list[runs.Line]:
    """A line for each figure: tasks have figures of their own and share the file."""
    return [
        {"what": line["what"], "figure": name, "value": value}
        for name, value in line.items()
        if name != "what"
    ]


def plain_and_mixture(data: Path, seed: int) -> list[runs.Line]:
    """Distances of drawn pictures to the test pictures: of one trained VAE, by two priors."""
    digits = likelihood.read("VAE", data / "mnist")
    model = _fit("VAE", digits, seed)
    train = _pictures(data, "x_train")
    # the first of this order train the extractor: what it has learned by heart is no fair ceiling
    chosen = np.random.default_rng(0).permutation(len(train))[SAMPLES : 2 * SAMPLES]
    drawn = {
        REAL: train[chosen],
        NORMAL: draw(model, seed),
        MIXTURE: draw(with_mixture(model, digits, seed), seed),
    }
    return _distances(data, drawn)


def flow(data: Path, seed: int) -> list[runs.Line]:
    """The same of a VAE whose prior is a flow."""
    digits = likelihood.read("flow prior", data / "mnist")
    return _distances(data, {FLOW: draw(_fit("flow prior", digits, seed), seed)})


def _distances(data: Path, drawn: Mapping[str, np.ndarray]) -> list[runs.Line]:
    extractor = _extractor(data)
    test = extractor.features(_pictures(data, "x_test"))
    seen = {name: extractor.features(pictures) for name, pictures in drawn.items()}
    return [
        {
            "what": name,
            "frechet": frechet_distance(test, points),
            "kernel": kernel_distance(test, points),
        }
        for name, points in seen.items()
    ]


def conditional(data: Path, seed: int) -> list[runs.Line]:
    """How many conditional samples are taken for the digit asked for; real ones beside them."""
    digits = likelihood.read("conditional VAE", data / "mnist")
    model = likelihood.fit("conditional VAE", digits, CONDITIONAL_STEPS, seed, held_out=HELD_OUT)
    asked = np.arange(SAMPLES) % mnist.DIGITS
    given = mnist.rows(digits.layout, np.zeros((SAMPLES, mnist.PIXELS)), asked)
    classify = _extractor(data).classify
    assert classify is not None
    with np.load(data / "mnist" / "mnist.npz") as file:
        real = file["y_test"]
    return [
        {"what": REAL, "right": float((classify(_pictures(data, "x_test")) == real).mean())},
        {
            "what": "conditional samples",
            "right": float((classify(draw(model, seed, given)) == asked).mean()),
        },
    ]


def reconstructions(which: str) -> Callable[[Path, int], list[runs.Line]]:
    def measure(data: Path, seed: int) -> list[runs.Line]:
        train_pictures, test = _both(data, which)
        layout, rows, held = layout_of(test), pixels(train_pictures), pixels(test)
        model = _reconstructing(which, layout, encoded(layout, rows), seed)
        pca = PCA(n_components=LATENT[which], random_state=seed).fit(rows)
        back = {
            "VAE": _through(model, encoded(layout, held)),
            "PCA": np.clip(pca.inverse_transform(pca.transform(held)), 0, 1),
        }
        lines = []
        for name, flat in back.items():
            pictures = pictures_of(flat, layout)
            lines.append({"what": name, "psnr": psnr(test, pictures), "ssim": ssim(test, pictures)})
        return lines

    return measure


def _reconstructing(which: str, layout: Layout, rows: torch.Tensor, seed: int) -> Model:
    shared = {"members": 1, "denoisers": 0, "latent_dim": LATENT[which], "draws": 2}
    model = build_model(layout, ModelConfig(**shared | NETWORKS[which]), seed)
    training = TrainConfig(
        max_steps=RECONSTRUCTION_STEPS[which],
        max_epochs=10**6,
        batch_size=128,
        learning_rate=1e-3,
        patience=10**6,
    )
    train(model, rows[:-HELD_OUT], rows[-HELD_OUT:], training, seed=seed)
    return model.eval()


@torch.no_grad()
def _through(model: Model, rows: torch.Tensor) -> np.ndarray:
    """(N, C·H·W) what comes back from the posterior means of encoded rows."""
    means = [
        model.likelihood.mean(model.decode(model.encode(part[None]).mu[:, None]))[0, 0]
        for part in rows.split(500)
    ]
    return torch.cat(means)[:, model.likelihood.layout.picture].numpy()


TASKS: dict[str, Callable[[Path, int], list[runs.Line]]] = {
    "samples": plain_and_mixture,
    "conditional": conditional,
    **{f"reconstructions, {name}": reconstructions(name) for name in LATENT},
    "samples, flow": flow,
}


def _fit(name: str, digits: mnist.Digits, seed: int) -> Model:
    """A contender of the likelihoods, trained for as long as this benchmark's models are."""
    return likelihood.fit(name, digits, STEPS, seed, held_out=HELD_OUT)


def with_mixture(trained: Model, digits: mnist.Digits, seed: int) -> Model:
    """A trained VAE, its prior replaced by a mixture fitted to the codes of training rows."""
    config = ModelConfig(**likelihood.SHARED_MODEL | {"prior": "mixture"})
    model = build_model(digits.layout, config, seed)
    model.load_state_dict(trained.state_dict(), strict=False)
    model.eval()
    model.fit_prior(digits.train[:SAMPLES], seed)
    return model


@torch.no_grad()
def draw(model: Model, seed: int, given: torch.Tensor | None = None) -> np.ndarray:
    """(10,000, 28, 28, 1) expected pictures of z from the model's prior, given rows' conditions."""
    generator = torch.Generator().manual_seed(seed)
    rows = None if given is None else given[None]
    z = model.prior(rows).sample(SAMPLES, generator)
    mean = model.likelihood.mean(model.decode(z, rows))[0, 0, :, model.likelihood.layout.picture]
    return pictures_of(mean.numpy(), model.likelihood.layout)


@cache
def _extractor(data: Path) -> Extractor:
    with np.load(data / "mnist" / "mnist.npz") as file:
        labels, held_out = file["y_train"], file["y_test"]
    return fit_classifier(
        _pictures(data, "x_train"),
        labels,
        _pictures(data, "x_test"),
        held_out,
        "mnist",
        steps=JUDGE_STEPS,
    )


def _pictures(data: Path, part: str) -> np.ndarray:
    with np.load(data / "mnist" / "mnist.npz") as file:
        return file[part][..., None]


def _both(data: Path, which: str) -> tuple[np.ndarray, np.ndarray]:
    if which == "MNIST":
        return _pictures(data, "x_train"), _pictures(data, "x_test")
    with np.load(data / "cifar10" / "cifar10_subset.npz") as file:
        return file["x_train"], file["x_test"]


def section(results: Path, images: Path) -> Section:
    """The three tables, and their floors."""
    done = runs.read(results / FILE)
    if done.empty:
        return Section([], [])
    lines = ["## Drawn and reconstructed pictures", ""]
    lines += markdown.paragraph(
        "`python -m benchmarks.generation`, on models of `benchmarks.likelihood` trained for",
        f"{STEPS:,} steps, a tenth of what those models get or less, the conditional one for",
        f"{CONDITIONAL_STEPS:,}; {SAMPLES:,} pictures are drawn.",
        "Distances are between features of the project's own classifier (`cnn-mnist`) and mean",
        "nothing beside figures from other features; real training pictures are the ceiling.",
    )
    floors: list[Floor] = []
    for task, show in (
        ("samples", _show_samples),
        ("conditional", _show_conditional),
        *((f"reconstructions, {name}", _show_reconstructions) for name in LATENT),
    ):
        # the two kinds of samples make one table
        part = done[(done.task == task) | (done.task == f"{task}, flow")]
        if (done.task == task).any():
            means = part.groupby(["what", "figure"], sort=False).value.mean()
            table = means.unstack("figure").reindex(part.what.unique())
            more, found = show(task, table)
            lines += more
            floors += found
    return Section(lines, floors)


def _show_samples(task: str, table: Any) -> tuple[list[str], list[Floor]]:
    rows = [[w, f"{r.frechet:.2f}", f"{r.kernel:.4f}"] for w, r in table.iterrows()]
    best = min(table.index.intersection([MIXTURE, FLOW]), key=lambda name: table.frechet[name])
    ratio = table.frechet[best] / table.frechet[NORMAL]
    floor = Floor(
        "MNIST samples, Fréchet distance [cnn-mnist]: fitted mixture or flow against plain prior",
        "≤ 0.95",
        "≤ 0.7",
        f"{ratio:.2f} ({best})",
        ratio <= 0.95,
        ratio <= 0.7,
    )
    header = ["drawn from", "Fréchet distance [cnn-mnist]", "kernel distance [cnn-mnist]"]
    return markdown.table(header, rows), [floor]


def _show_conditional(task: str, table: Any) -> tuple[list[str], list[Floor]]:
    rows = [[w, markdown.percent(r.right, 1)] for w, r in table.iterrows()]
    right = table.right["conditional samples"]
    floor = Floor(
        "conditional samples classified as asked",
        "≥ 95 %",
        "≥ 98 %",
        markdown.percent(right, 1),
        right >= 0.95,
        right >= 0.98,
    )
    return markdown.table(["pictures", "classified as their digit"], rows), [floor]


def _show_reconstructions(task: str, table: Any) -> tuple[list[str], list[Floor]]:
    name = task.split(", ")[1]
    rows = [[w, f"{r.psnr:.2f}", f"{r.ssim:.3f}"] for w, r in table.iterrows()]
    header = [f"{name}, {LATENT[name]} numbers a picture", "PSNR, dB", "SSIM"]
    ours, theirs = table.loc["VAE"], table.loc["PCA"]
    better = bool(ours.psnr > theirs.psnr and ours.ssim > theirs.ssim)
    measured = f"{ours.psnr:.2f} / {ours.ssim:.3f} against {theirs.psnr:.2f} / {theirs.ssim:.3f}"
    main = name == "MNIST"
    floor = Floor(
        f"reconstructions of {name}, PSNR / SSIM, VAE against PCA",
        "better" if main else "–",
        "better",
        measured,
        better or not main,
        better,
    )
    return markdown.table(header, rows), [floor]


if __name__ == "__main__":
    main()
