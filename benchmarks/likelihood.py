"""Log-likelihood of binarised MNIST: the whole family on one network, at equal time.

    python -m benchmarks.likelihood --minutes 40

Training pictures are drawn from their grey values every time they are seen; the test pictures are
drawn once (seed 0). −log p(x) in nats by the importance-weighted bound: 5,000 draws on the first
1,000 test pictures, 500 on all 10,000. Each model's steps are what the given minutes of one thread
hold, measured before it starts in processor time, which other work on the machine hardly touches.
Lines go to benchmarks/results/likelihood.csv.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from benchmarks import markdown, mnist, runs
from benchmarks.markdown import Floor, Section
from vae_core import ModelConfig, TrainConfig, build_model, train
from vae_core.importance import importance_weighted_log_prob
from vae_core.models import Model

FILE = "likelihood.csv"
TRIAL_STEPS = 200


@dataclass(frozen=True)
class Contender:
    """Fields of ModelConfig and TrainConfig beside those that all share."""

    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


SHARED_MODEL: dict[str, Any] = {
    "members": 1,
    "denoisers": 0,
    "latent_dim": 40,
    "hidden": (512, 512),
    "pixels": "bernoulli",
    "draws": 2,
}
SHARED_TRAINING: dict[str, Any] = {
    "binarise": True,
    "batch_size": 256,
    "learning_rate": 4e-3,
    "weight_decay": 0.0,
    "warmup": 0.05,
    "drop": 0.0,
    "clip_norm": 200.0,
    "max_epochs": 10**6,
    "patience": 10**6,
}
CONTENDERS: dict[str, Contender] = {
    "VAE": Contender(),
    "flow prior": Contender({"prior": "flow"}),
    "VampPrior": Contender({"prior": "vamp", "components": 200}),
    "flow VAE": Contender({"variant": "flow", "prior": "flow"}),
    "hierarchical VAE": Contender({"variant": "hierarchical"}),
    "discrete VAE": Contender(
        {"variant": "discrete", "prior": "autoregressive", "latent_dim": 200, "categories": 2},
        {"batch_size": 128, "learning_rate": 2e-3, "warmup": 0.02},
    ),
    "conditional VAE": Contender({"variant": "conditional", "prior": "conditional"}),
}
NEAR = ("discrete VAE", "conditional VAE")  # held against the VAE


def main() -> None:
    parser = runs.parser(__doc__, runs.DATA / "mnist", seeds=(0,))
    parser.add_argument("--minutes", type=float, default=40, help="of training, each")
    parser.add_argument("--models", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--first", action="store_true", help="score the first 1,000 only")
    args = parser.parse_args()
    wanted = [
        {"model": name, "minutes": args.minutes, "seed": seed}
        for seed in args.seeds
        for name in args.models
    ]

    def run(key: runs.Key) -> list[runs.Line]:
        return [measure(key, args.data, args.device, args.first)]

    runs.complete(args.results / FILE, wanted, run, args.fresh)


def measure(key: runs.Key, data: Path, device: str, first_only: bool = False) -> dict[str, float]:
    """Train for the time given and estimate −log p of the test pictures, in nats."""
    name, seed = key["model"], key["seed"]
    digits = read(name, data)
    clock = time.process_time if device == "cpu" else time.perf_counter

    def timed(steps: int, held_out: int = mnist.VALIDATION) -> tuple[Model, float]:
        started = clock()
        model = fit(name, digits, steps, seed, device, held_out)
        return model, clock() - started

    timed(1, held_out=1)
    _, trial = timed(TRIAL_STEPS, held_out=1)
    steps = max(1, round(60 * key["minutes"] / trial * TRIAL_STEPS))
    model, seconds = timed(steps)
    test = digits.test_binary.to(device)
    first = _nll(model, test[:1000], 5000)
    all_rows = _nll(model, test[:0] if first_only else test, 500)
    return {
        "nll_1000": float(first.mean()),
        "error_1000": _standard_error(first),
        "nll_all": float(all_rows.mean()),
        "error_all": _standard_error(all_rows),
        "steps": steps,
        "epochs": steps * _training(name)["batch_size"] / len(digits.train),
        "seconds": seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def read(name: str, data: Path) -> mnist.Digits:
    """MNIST as a contender reads it: with labels where it is conditional."""
    return mnist.read(data, conditional=CONTENDERS[name].model.get("variant") == "conditional")


def fit(
    name: str,
    digits: mnist.Digits,
    steps: int,
    seed: int,
    device: str = "cpu",
    held_out: int = mnist.VALIDATION,
) -> Model:
    """A contender, trained for so many steps.

    Args:
        held_out: validation pictures that tell which weights to keep.
    """
    config = ModelConfig(**SHARED_MODEL | CONTENDERS[name].model)
    training = TrainConfig(**_training(name), max_steps=steps)
    model = build_model(digits.layout, config, seed).to(device)
    rows, validation = digits.train.to(device), digits.validation[:held_out].to(device)

    def say(entry: dict[str, float]) -> None:
        seen = f"step {entry['step']:.0f} of {steps}, validation ELBO"
        print(f"  {name}: {seen} {entry['validation_elbo']:.2f}", flush=True)

    train(model, rows, validation, training, seed=seed, report=say)
    return model.eval()


def _training(name: str) -> dict[str, Any]:
    return SHARED_TRAINING | CONTENDERS[name].training


def _nll(model: Model, rows: Tensor, draws: int) -> Tensor:
    return -importance_weighted_log_prob(model, rows, draws, seed=0)[0].double().cpu()


def _standard_error(values: Tensor) -> float:
    return float(values.std() / len(values) ** 0.5) if len(values) else math.nan


def section(results: Path, images: Path) -> Section:
    """−log p by model, each on the runs of its longest training."""
    done = runs.read(results / FILE)
    if done.empty:
        return Section([], [])
    longest = done.minutes == done.groupby("model").minutes.transform("max")
    done = done[longest].sort_values("nll_1000")
    minutes = done.minutes.mode()[0]
    lines = ["## Log-likelihood of binarised MNIST", ""]
    lines += markdown.paragraph(
        f"`python -m benchmarks.likelihood --minutes {minutes:g}`: −log p(x) in nats",
        "(lower is better), by the importance-weighted bound: S = 5,000 draws on the first 1,000",
        "test pictures, S = 500 on all 10,000, with standard errors over pictures. Pictures are",
        "binarised afresh every time they are seen in training; the test pictures were drawn once",
        "(seed 0). One network (784-512-512 and back) and, but for those named, equal processor",
        "time; equal time means fewer epochs for slower models. The conditional VAE is told the",
        "digit.",
        "Published, with far longer training: VAE 86.8–89.9, IWAE 84.8–87.1, hierarchical",
        "85.3–86.4, VampPrior 85.6–85.8, NVAE about 78.",
    )
    rows = [
        [
            str(line.model),
            f"{line.nll_1000:.2f} ± {line.error_1000:.2f}",
            "–" if math.isnan(line.nll_all) else f"{line.nll_all:.2f} ± {line.error_all:.2f}",
            f"{line.epochs:.0f}",
            f"{line.seconds / 60:.0f}",
        ]
        for line in done.itertuples()
    ]
    other = done[done.minutes != minutes]
    if len(other):
        told = (f"{line.model} {line.minutes:g}" for line in other.itertuples())
        listed = markdown.listed(told)
        lines += markdown.paragraph(f"Trained for other times, in minutes: {listed}.")
    header = ["model", "first 1,000 (S = 5,000)", "all (S = 500)", "epochs", "minutes"]
    lines += markdown.table(header, rows)
    return Section(lines, _floors(done.set_index("model")))


def _floors(done: pd.DataFrame) -> list[Floor]:
    """Of the VAE, of the best of the family as long as it, and of those that must come near it."""
    if "VAE" not in done.index:
        return []
    plain = done.nll_1000["VAE"]
    peers = done.nll_1000[(done.minutes == done.minutes["VAE"]) & (done.index != "conditional VAE")]
    best = peers.min()
    floors = [
        Floor(
            "binarised MNIST, VAE with one stochastic layer, nats",
            "≤ 88.5",
            "≤ 87.0",
            f"{plain:.2f}",
            bool(plain <= 88.5),
            bool(plain <= 87.0),
        ),
        Floor(
            "same, best of the family at equal time",
            "VAE − 1.5",
            "≤ 84.0",
            f"{best:.2f} ({peers.idxmin()})",
            bool(best <= plain - 1.5),
            bool(best <= 84.0),
        ),
    ]
    for name in NEAR:
        behind, measured = math.inf, "no run yet"
        if name in done.index:
            behind = done.nll_1000[name] - plain
            measured = f"{markdown.signed(behind, 2)} after {done.minutes[name]:g} minutes"
        floors.append(
            Floor(
                f"same, {name} against the VAE, nats",
                "≤ +5",
                "≤ +2",
                measured,
                bool(behind <= 5),
                bool(behind <= 2),
            )
        )
    return floors


if __name__ == "__main__":
    main()
