"""A training on disk: one file of safetensors, whose header holds numbers and history as JSON.

Written beside and renamed, so that whoever is killed at any moment leaves the last whole one.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor


class Saved(NamedTuple):
    """What a checkpoint holds: tensors by name, and what JSON can say."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


class Checkpoint:
    """Where a training keeps its state, and how often.

    Args:
        path: of the file. The caller names it by all that decides the course of the training, so
            that another one never finds it, and removes it when it is no longer needed.
        minutes: between two times of writing; 0: after every step.
    """

    def __init__(self, path: Path, minutes: float) -> None:
        self.path, self.minutes = path, minutes
        self._written = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() - self._written >= 60 * self.minutes

    def write(self, saved: Saved) -> None:
        """Replace the file; whole or not at all, even where the machine stops."""
        tensors = {k: v.detach().cpu().contiguous() for k, v in saved.tensors.items()}
        data = save(tensors, metadata={"numbers": json.dumps(saved.numbers)})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)
        self._written = time.monotonic()

    def read(self) -> bytes | None:
        """The file; None where there is none, or what is there was damaged."""
        try:
            data = self.path.read_bytes()
            unpack(data)
        except (FileNotFoundError, SafetensorError, ValueError, KeyError):
            return None
        return data


def unpack(data: bytes) -> Saved:
    """What `Checkpoint.write` has put into a file.

    Raises:
        SafetensorError, ValueError, KeyError: it is none of its files, or a part of one.
    """
    tensors = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return Saved(tensors, json.loads(header["__metadata__"]["numbers"]))


def generator_state(generator: torch.Generator) -> Tensor:
    """As a tensor on the CPU, whatever the generator's device."""
    return generator.get_state().cpu()
