"""Odd pictures: one-class MNIST, corrupted MNIST, and pictures of another set.

    python -m benchmarks.picture_anomalies

One-class: a detector learns the training pictures of one digit; the test pictures of the other
digits are anomalies. Corrupted: it learns all digits; test pictures are anomalies once noise, an
inverted patch, a blur or a shift has been put on them. Another set: it learns CIFAR-10 and MNIST
digits (padded, in three equal channels) or blank pictures are anomalies, where raw likelihood is
known to fail (Nalisnick et al. 2019). Lines go to benchmarks/results/picture_anomalies.csv.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from benchmarks import markdown, runs
from benchmarks.markdown import Section
from vae_core import ModelConfig, Scorer, TrainConfig

FILE = "picture_anomalies.csv"
MOST_TRAIN = 2_500
MOST_TEST = 300  # of either kind
STEPS = {"mlp": 800, "conv": 200}
VALIDATION = 500
OTHER_SETS = ("digits of MNIST", "blank pictures")


class Task(NamedTuple):
    """Pictures (N, H, W[, C]) uint8; the test ones are normal or odd."""

    train: np.ndarray
    normal: np.ndarray
    odd: np.ndarray


def main() -> None:
    parser = runs.parser(__doc__, runs.DATA, seeds=(0,))
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    args = parser.parse_args()
    wanted = [{"task": task, "seed": seed} for seed in args.seeds for task in args.tasks]

    def run(key: runs.Key) -> list[runs.Line]:
        kind, what = TASKS[key["task"]]
        task = kind(args.data, what, np.random.default_rng(key["seed"]))
        labels = np.repeat([0, 1], [len(task.normal), len(task.odd)])
        test = np.concatenate([task.normal, task.odd])
        found = scores(task.train, test, key["seed"])
        return [
            {
                "score": name,
                "auroc": float(roc_auc_score(labels, values)),
                "average_precision": float(average_precision_score(labels, values)),
            }
            for name, values in found.items()
        ]

    runs.complete(args.results / FILE, wanted, run, args.fresh)


def one_digit(data: Path, digit: str, rng: np.random.Generator) -> Task:
    train, labels, test, test_labels = _mnist(data)
    own = int(digit)
    return Task(
        _some(train[labels == own], MOST_TRAIN, rng),
        _some(test[test_labels == own], MOST_TEST, rng),
        _some(test[test_labels != own], MOST_TEST, rng),
    )


def corrupted(data: Path, how: str, rng: np.random.Generator) -> Task:
    train, _, test, _ = _mnist(data)
    test = _some(test, 2 * MOST_TEST, rng)
    normal, odd = np.split(test, 2)
    return Task(_some(train, MOST_TRAIN, rng), normal, CORRUPTIONS[how](odd, rng))


def other_set(data: Path, what: str, rng: np.random.Generator) -> Task:
    with np.load(data / "cifar10" / "cifar10_subset.npz") as file:
        train, test = file["x_train"], file["x_test"]
    normal = _some(test, MOST_TEST, rng)
    if what == OTHER_SETS[0]:
        digits = np.pad(_some(_mnist(data)[2], MOST_TEST, rng), ((0, 0), (2, 2), (2, 2)))
        odd = np.repeat(digits[..., None], 3, axis=-1)
    else:
        colours = rng.integers(0, 256, (MOST_TEST, 1, 1, 3), dtype=np.uint8)
        odd = np.broadcast_to(colours, (MOST_TEST, 32, 32, 3)).copy()
    return Task(_some(train, MOST_TRAIN, rng), normal, odd)


def noisy(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(pictures + rng.normal(0, 40, pictures.shape), 0, 255).astype(np.uint8)


def patched(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square of 7 × 7 pixels inverted."""
    out = pictures.copy()
    for picture in out:
        line, column = rng.integers(4, 17, 2)
        picture[line : line + 7, column : column + 7] ^= 255
    return out


def blurred(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return gaussian_filter(pictures.astype(float), (0, 1.5, 1.5)).astype(np.uint8)


def shifted(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """By 6 pixels along a line or column."""
    return np.stack([np.roll(p, rng.choice([-6, 6]), axis=rng.integers(2)) for p in pictures])


CORRUPTIONS: Mapping[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "noise": noisy,
    "inverted patch": patched,
    "blur": blurred,
    "shift": shifted,
}
TASKS: dict[str, tuple[Callable[[Path, str, np.random.Generator], Task], str]] = {
    **{f"MNIST, only {digit}": (one_digit, str(digit)) for digit in range(10)},
    **{f"MNIST, {how}": (corrupted, how) for how in CORRUPTIONS},
    **{f"CIFAR-10, {what}": (other_set, what) for what in OTHER_SETS},
}


def scores(train: np.ndarray, test: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Every score of the test pictures, higher is more anomalous; ours, then simple methods."""
    from pipeline.detector import ColumnKind
    from pipeline.fitting import fit_scorer
    from vae_core.complexity import complexity
    from vae_core.regret import likelihood_regret

    colour = train.ndim == 4
    network = "conv" if colour else "mlp"
    model = ModelConfig(members=2, latent_dim=32, network=network)
    scorer = fit_scorer(
        {"picture": train[VALIDATION:]},
        {"picture": train[:VALIDATION]},
        {"picture": ColumnKind("image", False)},
        model=model,
        training=TrainConfig(max_steps=STEPS[network]),
        seed=seed,
    ).scorer
    rows = {"picture": test}
    raw = scorer.raw_scores(rows)
    x = torch.from_numpy(scorer.encoding.encode(rows)[0])
    layout = scorer.encoding.layout
    out = {
        "combined": _joined(scorer, rows),
        "reconstruction error": raw.reconstruction_error,
        "−ELBO": raw.elbo_score,
        "latent distance": raw.latent_distance,
        "−ELBO less complexity": raw.elbo_score - complexity(layout, x),
        "likelihood regret": likelihood_regret(scorer.model, x).numpy(),
    }
    flat, own = test.reshape(len(test), -1) / 255, train.reshape(len(train), -1) / 255
    pca = PCA(n_components=32, random_state=seed).fit(own)
    residual = flat - pca.inverse_transform(pca.transform(flat))
    neighbours = NearestNeighbors(n_neighbors=5).fit(own)
    return out | {
        "PCA error": np.square(residual).sum(1),
        "kNN": neighbours.kneighbors(flat)[0][:, -1],
        "IForest": -IsolationForest(random_state=seed).fit(own).score_samples(flat),
    }


def _joined(scorer: Scorer, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    return replace(scorer, score_kind="combined").raw_scores(rows).anomaly_score


def _mnist(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    with np.load(data / "mnist" / "mnist.npz") as file:
        return file["x_train"], file["y_train"], file["x_test"], file["y_test"]


def _some(pictures: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return pictures[rng.permutation(len(pictures))[:most]]


def section(results: Path, images: Path) -> Section:
    """AUROC by task and score."""
    done = runs.read(results / FILE)
    if done.empty:
        return Section([], [])
    table = done.groupby(["task", "score"], sort=False).auroc.mean().unstack("score")
    table = table.reindex([task for task in TASKS if task in table.index])
    groups = {"MNIST, only": "**mean, one digit**", "MNIST, ": "", "CIFAR-10": ""}
    lines = ["## Odd pictures", ""]
    lines += markdown.paragraph(
        f"`python -m benchmarks.picture_anomalies`: AUROC on {MOST_TEST} normal and as many odd",
        f"test pictures; up to {MOST_TRAIN:,} training pictures and {STEPS['mlp']} steps",
        f"({STEPS['conv']} on CIFAR-10), an hour of a core in all; seeds",
        f"{markdown.listed(sorted(done.seed.unique()))}. Raw likelihood is known to take smooth",
        "pictures of another set for the likeliest of all: less the complexity of the picture, or",
        "as likelihood regret, it does not have to.",
        "The first six columns are scores of one fitted model; PCA (32 components), kNN (k = 5)",
        "and the isolation forest work on pixels.",
    )
    rows = [[str(task), *markdown.best_bold(row)] for task, row in table.iterrows()]
    for prefix, title in groups.items():
        part = table[[str(task).startswith(prefix) for task in table.index]]
        if title and len(part):
            rows.append([title, *markdown.best_bold(part.mean())])
    return Section([*lines, *markdown.table(["task", *map(str, table.columns)], rows)], [])


if __name__ == "__main__":
    main()
