"""Bits per dimension of CIFAR-10 with discretised likelihoods.

    python -m benchmarks.bits --minutes 20

10,000 training pictures (published figures use 50,000) and 2,000 test pictures. Bits per dimension
by the importance-weighted bound with 16 draws; each model trains for the minutes given. Lines go
to benchmarks/results/bits.csv.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import markdown, runs
from benchmarks.markdown import Floor, Section
from benchmarks.picture_rows import encoded, layout_of, pixels
from vae_core import ModelConfig, TrainConfig, build_model, train
from vae_core.importance import importance_weighted_log_prob
from vae_core.models import Model

FILE = "bits.csv"
VALIDATION = 500
DRAWS = 16
TRIAL_STEPS = 10
SHARED_MODEL: dict[str, Any] = {
    "members": 1,
    "denoisers": 0,
    "latent_dim": 256,
    "network": "conv",
    "channels": (32, 64, 64),
    "blocks": 1,
    "pixels": "logistic_mixture",
    "draws": 2,
}
TRAINING: dict[str, Any] = {
    "batch_size": 64,
    "learning_rate": 2e-3,
    "weight_decay": 0.0,
    "drop": 0.0,
    "max_epochs": 10**6,
    "patience": 10**6,
    "clip_norm": 500.0,
}
CONTENDERS: dict[str, dict[str, Any]] = {
    "VAE": {},
    "hierarchical VAE": {"variant": "hierarchical"},
}


def main() -> None:
    parser = runs.parser(__doc__, runs.DATA / "cifar10", seeds=(0,))
    parser.add_argument("--minutes", type=float, default=20, help="of training, each")
    parser.add_argument("--models", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    wanted = [
        {"model": name, "minutes": args.minutes, "seed": seed}
        for seed in args.seeds
        for name in args.models
    ]

    def run(key: runs.Key) -> list[runs.Line]:
        return [measure(key, args.data, args.device)]

    runs.complete(args.results / FILE, wanted, run, args.fresh)


def measure(key: runs.Key, data: Path, device: str) -> runs.Line:
    """Train for the time given (a processor's own); bits per dimension of the test pictures."""
    with np.load(data / "cifar10_subset.npz") as file:
        layout = layout_of(file["x_test"])
        rows, test = (
            encoded(layout, pixels(file[f"x_{part}"])).to(device) for part in ("train", "test")
        )
    config = ModelConfig(**SHARED_MODEL | CONTENDERS[key["model"]])
    clock = time.process_time if device == "cpu" else time.perf_counter

    def fit(steps: int, looks: int) -> tuple[Model, float]:
        model = build_model(layout, config, key["seed"]).to(device)
        started = clock()
        train(
            model,
            rows[:-VALIDATION],
            rows[len(rows) - looks :],
            TrainConfig(**TRAINING, max_steps=steps),
            seed=key["seed"],
            report=lambda entry: print(
                f"  {key['model']}: step {entry['step']:.0f} of {steps}, "
                f"{_bits(model, torch.tensor(entry['validation_elbo'])):.3f} bits per dimension",
                flush=True,
            ),
        )
        return model.eval(), clock() - started

    fit(1, 1)
    _, trial = fit(TRIAL_STEPS, 1)  # few steps are looked at often: hence one picture to look at
    steps = max(TRIAL_STEPS, round(60 * key["minutes"] / trial * TRIAL_STEPS))
    model, seconds = fit(steps, VALIDATION)
    bound = importance_weighted_log_prob(model, test, DRAWS, seed=0)[0].double().cpu()
    bits = _bits(model, bound)
    return {
        "bits": float(bits.mean()),
        "error": float(bits.std() / len(bits) ** 0.5),
        "steps": steps,
        "epochs": steps * TRAINING["batch_size"] / (len(rows) - VALIDATION),
        "seconds": seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def _bits(model: Model, log_prob: Tensor) -> Tensor:
    """Per dimension, of pictures' log p in nats."""
    assert model.likelihood.image is not None
    return model.likelihood.image.bits_per_dimension(log_prob)


def section(results: Path, images: Path) -> Section:
    """Bits per dimension by model, with the compute that they took."""
    done = runs.read(results / FILE)
    if done.empty:
        return Section([], [])
    done = done[done.minutes == done.minutes.max()].sort_values("bits")
    lines = ["## Bits per dimension of CIFAR-10", ""]
    lines += markdown.paragraph(
        f"`python -m benchmarks.bits --minutes {done.minutes.iloc[0]:g}`: discretised mixture of",
        f"logistics, importance-weighted bound with {DRAWS} draws on 2,000 test pictures, standard",
        "errors over pictures; 9,500 training pictures where published figures (IAF-VAE 3.11,",
        "BIVA 3.08, NVAE 2.91, VDVAE 2.87) have 50,000 and days of many GPUs.",
    )
    rows = [
        [
            str(line.model),
            f"{line.bits:.3f} ± {line.error:.3f}",
            f"{line.epochs:.0f}",
            f"{line.seconds / 60:.0f}",
            f"{line.parameters / 1e6:.1f} M",
        ]
        for line in done.itertuples()
    ]
    lines += markdown.table(["model", "bits", "epochs", "minutes", "parameters"], rows)
    best = done.bits.min()
    floor = Floor(
        "CIFAR-10, bits per dimension, best variant",
        "reported",
        "≤ 3.5",
        f"{best:.3f}",
        True,
        best <= 3.5,
    )
    return Section(lines, [floor])


if __name__ == "__main__":
    main()
