"""Part `peers`: the core beside the packages that a user would take instead."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from typing import Any

import numpy as np
import torch
from pyod.models import vae as pyod_vae
from pyod.models.ecod import ECOD
from sklearn.ensemble import IsolationForest
from torch import Tensor

from benchmarks import runs
from benchmarks.speed import clock, contestants
from benchmarks.speed.clock import Work
from benchmarks.speed.core import BATCHES, COLUMNS, scorings, steps_of
from benchmarks.speed.network import PyodDataset
from benchmarks.speed.size import Size
from vae_core import ModelConfig, TrainConfig, build_model, train
from vae_core.columns import Layout

PYOD_BATCH = 32
PICTURE = (1, 28, 28)
PICTURE_BATCH = 64


def run(size: Size, device: str = "auto") -> dict[str, Any]:
    """Training, scoring and pictures, each in turns with the core; one torch thread a worker."""
    rows = contestants.standardised(size.rows, COLUMNS)
    with runs.single_threaded():
        return {
            "rows": size.rows,
            "columns": COLUMNS,
            "training": training(rows, size),
            "scoring": scoring(rows, size),
            "pictures": clock.interleaved(pictures(size), size.repetitions),
        }


def training(rows: Tensor, size: Size) -> dict[str, Any]:
    """An epoch of PyOD's at its batch of 32, and ours at that and at larger ones."""
    works = {"PyOD VAE, 32": train_pyod(rows, steps_of(PYOD_BATCH, size))}
    for batch in (b for b in BATCHES if b <= len(rows)):
        works[f"ours, {batch}"] = contestants.train_ours(rows, batch, steps_of(batch, size))
    works["bare loop, 32"] = contestants.train_bare(rows, PYOD_BATCH, steps_of(PYOD_BATCH, size))
    return clock.interleaved(works, size.repetitions)


def scoring(rows: Tensor, size: Size) -> dict[str, Any]:
    """Everyone's scores of the same rows; PyOD's of fewer, at its default batch."""
    few = rows[: size.slow_rows].numpy()
    works = scorings(rows, "cpu")
    fitted = {
        "PyOD VAE": pyod_vae.VAE(epoch_num=1, verbose=0).fit(few[:512]),
        "ECOD": ECOD().fit(few),
        "isolation forest": IsolationForest(random_state=contestants.SEED).fit(few),
    }
    for name, detector in fitted.items():
        works[name] = _scores(detector, few)
    return clock.interleaved(works, size.repetitions)


def _scores(detector: Any, rows: np.ndarray) -> Work:
    return lambda: len(detector.decision_function(rows))


def train_pyod(rows: Tensor, steps: int) -> Work:
    """PyOD's own training of one epoch; its `fit` would score the rows besides."""
    few = rows[: steps * PYOD_BATCH]

    def work() -> int:
        detector = pyod_vae.VAE(epoch_num=1, verbose=0)
        detector.data_num, detector.feature_size = few.shape
        detector.build_model()
        detector.training_prepare()
        detector.train(
            torch.utils.data.DataLoader(
                PyodDataset(few), batch_size=PYOD_BATCH, shuffle=True, drop_last=True
            )
        )
        return len(few)

    return work


def pictures(size: Size) -> dict[str, Work]:
    """pythae's default VAE on 28 × 28 pictures, and ours with its layers, loss and batch."""
    rows = max(PICTURE_BATCH * 2, size.slow_rows // 10 // PICTURE_BATCH * PICTURE_BATCH)
    generator = torch.Generator().manual_seed(contestants.SEED)
    images = torch.rand(rows, *PICTURE, generator=generator)
    return {"pythae": train_pythae(images), "ours": train_pictures(images)}


def train_pictures(images: Tensor) -> Work:
    rows = images.flatten(1)
    steps = len(rows) // PICTURE_BATCH
    shape = ModelConfig(
        members=1, denoisers=0, latent_dim=10, hidden=(512,), draws=1, learned_variance=False
    )
    config = TrainConfig(
        batch_size=PICTURE_BATCH, max_steps=steps, drop=0.0, precision="fp32", patience=10**6
    )

    def work() -> int:
        model = build_model(Layout(0, 0, (), (), image=PICTURE), shape, contestants.SEED)
        train(model, rows, rows[:PICTURE_BATCH], config, seed=contestants.SEED)
        return steps * PICTURE_BATCH

    return work


def train_pythae(images: Tensor) -> Work:
    """One epoch of pythae's trainer, its preparations left out."""
    with quiet():
        from pythae.data.datasets import BaseDataset
        from pythae.models import VAE, VAEConfig
        from pythae.trainers import BaseTrainer, BaseTrainerConfig

    def work() -> int:
        with quiet(), tempfile.TemporaryDirectory() as folder:
            config = BaseTrainerConfig(
                output_dir=folder,
                num_epochs=1,
                per_device_train_batch_size=PICTURE_BATCH,
                no_cuda=True,
            )
            labels = torch.zeros(len(images))
            trainer = BaseTrainer(
                model=VAE(VAEConfig(input_dim=PICTURE, latent_dim=10)),
                train_dataset=BaseDataset(images, labels),
                training_config=config,
            )
            trainer.prepare_training()
            trainer.train_step(epoch=1)
        return len(images)

    return work


@contextlib.contextmanager
def quiet() -> Any:
    """pythae prints bars and its configuration."""
    logging.getLogger("pythae").setLevel(logging.ERROR)
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123
        contextlib.redirect_stderr(nowhere),
        contextlib.redirect_stdout(nowhere),
    ):
        yield
