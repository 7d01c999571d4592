"""Seeded losses and scores stay what they were; see `golden_run.py` to refresh them."""

import json

import pytest
import torch
from golden_run import VALUES, values

# bit-identical on one torch build and CPU type; between CPU types training drifts a little
TOLERANCE = 1e-3


def test_losses_and_scores_are_unchanged(device: str) -> None:
    golden = json.loads(VALUES.read_text(encoding="utf-8"))
    if device not in golden:
        pytest.skip(f"no golden values were recorded on {device}")
    now = values(device)
    for name, expected in golden[device].items():
        assert now[name] == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE), (
            f"{name} moved; recorded with torch {golden['torch']}, this is {torch.__version__}"
        )
