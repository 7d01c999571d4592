"""A scorer on disk: a folder of JSON and safetensors, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from .additive import ColumnStatistics
from .calibration import Threshold
from .columns import Layout
from .device import choose_device
from .encoding import Encoding
from .models import ModelConfig, build_model
from .neighbours import Neighbours
from .references import References
from .rows import Rows
from .weighted import Weighted

if TYPE_CHECKING:
    from .scorer import Scorer

SCHEMA_VERSION = 5


def write(scorer: Scorer, folder: str | Path) -> None:
    """Write `scorer.json` and `scorer.safetensors`; the JSON last, so that it vouches."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{k}": v for k, v in scorer.model.state_dict().items()}
    for name, values in scorer.calibration.items():
        tensors[f"calibration.{name}"] = torch.from_numpy(values)
    for name, value in scorer.statistics._asdict().items():
        tensors[f"statistics.{name}"] = torch.as_tensor(value, dtype=torch.float64)
    if scorer.weighted is not None:
        for name, value in scorer.weighted._asdict().items():
            tensors[f"weighted.{name}"] = torch.as_tensor(value)
    codes, rows = scorer.references
    tensors["codes.points"], tensors["codes.typical"] = codes.points, codes.typical
    if rows is not None:
        tensors["rows.kept"], tensors["rows.typical"] = rows.kept, rows.neighbours.typical
        if rows.directions is not None:
            tensors["rows.directions"] = rows.directions
    saved = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    save_file(saved, folder / "scorer.safetensors")
    document = {
        "schema_version": SCHEMA_VERSION,
        "columns": scorer.encoding.to_dict(),
        "model": asdict(scorer.config),
        "score_kind": scorer.score_kind,
        "scales": list(scorer.scales),
        "thresholds": {k: t.to_dict() for k, t in scorer.thresholds.items()},
        "diagnostics": scorer.diagnostics,
        "metadata": scorer.metadata,
    }
    part = folder / "scorer.json.part"
    part.write_text(json.dumps(document, indent=1, sort_keys=True), encoding="utf-8")
    part.replace(folder / "scorer.json")


def read(folder: str | Path, device: str = "auto") -> dict[str, Any]:
    """The fields of a saved scorer, whatever device it was trained on.

    Raises:
        FileNotFoundError: no scorer there.
        ValueError: written by another version, or the device is not to be had.
    """
    folder = Path(folder)
    document = json.loads((folder / "scorer.json").read_text(encoding="utf-8"))
    version = document["schema_version"]
    if version != SCHEMA_VERSION:
        remedy = "update the package" if version > SCHEMA_VERSION else "train it again"
        raise ValueError(
            f"{folder} was saved with scorer schema {version}; this code reads "
            f"{SCHEMA_VERSION}: {remedy}"
        )
    tensors = load_file(folder / "scorer.safetensors")
    encoding = Encoding.from_dict(document["columns"])
    config = model_config(document["model"])
    model = build_model(encoding.layout, config)
    model.load_state_dict(_with_prefix(tensors, "model."))
    statistics: dict[str, Any] = {
        k: v.numpy() if v.dim() else v.item()
        for k, v in _with_prefix(tensors, "statistics.").items()
    }
    place = choose_device(device)
    weighted: dict[str, Any] = _with_prefix(tensors, "weighted.")
    return {
        "encoding": encoding,
        "model": model.to(place).eval(),
        "references": _references(tensors, encoding.layout, place),
        "config": config,
        "statistics": ColumnStatistics(**statistics),
        "weighted": _weighted(weighted, place) if weighted else None,
        "score_kind": document["score_kind"],
        "scales": tuple(document["scales"]),
        "calibration": {k: v.numpy() for k, v in _with_prefix(tensors, "calibration.").items()},
        "thresholds": {k: Threshold.from_dict(t) for k, t in document["thresholds"].items()},
        "diagnostics": document["diagnostics"],
        "metadata": document["metadata"],
    }


def _references(
    tensors: Mapping[str, torch.Tensor], layout: Layout, place: torch.device
) -> References:
    codes = Neighbours(tensors["codes.points"], tensors["codes.typical"])
    rows, kept = None, _with_prefix(tensors, "rows.")
    if kept:
        rows = Rows(kept["kept"], kept["typical"], kept.get("directions"), layout).to(place)
    return References(codes.to(place), rows)


def _weighted(tensors: Mapping[str, torch.Tensor], place: torch.device) -> Weighted:
    return Weighted(
        tensors["draws"].to(place),
        tensors["value"].numpy(),
        tensors["term"].numpy(),
        tensors["latent"].item(),
    )


def model_config(fields: Mapping[str, Any]) -> ModelConfig:
    """The config whose fields JSON has kept."""
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    return ModelConfig(**given)


def _with_prefix(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
