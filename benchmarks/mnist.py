"""MNIST as the benchmarks use it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.picture_rows import encoded
from vae_core.columns import Layout

VALIDATION = 5_000  # the last rows of the official training part
DIGITS = 10
PIXELS = 28 * 28


class Digits(NamedTuple):
    """Pictures as encoded rows: pixels in [0, 1], then the label's one-hot where it is a condition.

    Attributes:
        layout: of the rows.
        train, validation: grey (N, W); training draws binary pictures afresh every time.
        test_binary: drawn once.
        train_labels, test_labels: (N,) digits.
    """

    layout: Layout
    train: Tensor
    validation: Tensor
    test_binary: Tensor
    train_labels: np.ndarray
    test_labels: np.ndarray


def read(folder: Path, *, conditional: bool = False) -> Digits:
    """The official split; 5,000 training rows are kept for validation.

    Binary test pictures: pixel = 1 where a uniform number of `np.random.default_rng(0)` lies
    below its grey value.
    """
    with np.load(folder / "mnist.npz") as file:
        grey = {part: file[f"x_{part}"].reshape(-1, PIXELS) / 255 for part in ("train", "test")}
        labels = {part: file[f"y_{part}"].astype(int) for part in ("train", "test")}
    layout = Layout(
        0, 0, (), (), image=(1, 28, 28), conditions=(1 + DIGITS,) if conditional else ()
    )
    test = np.random.default_rng(0).random(grey["test"].shape) < grey["test"]
    train, held_out = labels["train"][:-VALIDATION], labels["train"][-VALIDATION:]
    return Digits(
        layout=layout,
        train=rows(layout, grey["train"][:-VALIDATION], train),
        validation=rows(layout, grey["train"][-VALIDATION:], held_out),
        test_binary=rows(layout, test, labels["test"]),
        train_labels=train,
        test_labels=labels["test"],
    )


def rows(layout: Layout, pixels: np.ndarray, labels: np.ndarray) -> Tensor:
    """Encoded rows (N, W) of pixels (N, 784) in [0, 1]; bucket 0 of a condition is "not known"."""
    x = encoded(layout, pixels)
    if layout.conditions:
        x[torch.arange(len(x)), layout.condition.start + 1 + torch.from_numpy(labels)] = 1.0
    return x
