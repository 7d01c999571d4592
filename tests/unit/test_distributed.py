"""Two real processes over gloo train as one does: same losses, same weights, to rounding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vae_core import Team, TrainConfig, build_model, train
from vae_core.columns import Layout
from vae_core.models import ModelConfig
from vae_core.shares import share_losses
from vae_core.train import _goal

WIDTH = 8
# batches of 63 rows do not divide by two; a spoilt row makes steps to be skipped
CHILD = f"""
import json, sys, torch

from pathlib import Path
from safetensors.torch import save_file
from vae_core import TrainConfig, build_model, joined, train
from vae_core.columns import Layout
from vae_core.models import ModelConfig

def make(variant):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, {WIDTH}, generator=generator)
    x[:, 1] = x[:, 0] + 0.1 * x[:, 1]
    x[7, 3] = torch.nan
    shape = ModelConfig(variant, members=2, hidden=(16,), latent_dim=3, components=4)
    return build_model(Layout({WIDTH}, 0, (), ()), shape), x[:240], x[240:]

def run(variant, folder, team, steps):
    model, rows, validation = make(variant)
    how = TrainConfig(max_steps=steps, batch_size=63, patience=99, checkpoint_minutes=0)
    file = folder / f"{{variant}}.checkpoint" if team.rank == 0 else folder / "none"
    result = train(model, rows, validation, how, seed=1, team=team, checkpoint=file)
    if team.rank == 0:
        save_file(model.state_dict(), folder / f"{{variant}}-{{steps}}.safetensors")
    told = {{"history": result.history, "skipped": result.skipped_steps, "resumed": result.resumed}}
    name = f"{{variant}}-{{steps}}-{{team.rank}}.json"
    (folder / name).write_text(json.dumps(told))

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with joined(torch.device("cpu")) as team:
        for variant in ("vae", "hierarchical"):
            run(variant, folder, team, 44)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folders with what one process and what two have made of the same trainings."""
    folders = {}
    for processes in (1, 2):
        folder = tmp_path_factory.mktemp(f"{processes}")
        (folder / "child.py").write_text(CHILD, encoding="utf-8")
        command = [sys.executable, "child.py", "."]
        if processes > 1:
            launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
            command = [sys.executable, *launch, "child.py", "."]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=300, check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        folders[processes] = folder
    return folders


def told(folder: Path, variant: str, rank: int = 0) -> dict:
    return json.loads((folder / f"{variant}-44-{rank}.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["vae", "hierarchical"])
def test_two_processes_take_the_course_of_one(ran: dict[int, Path], variant: str) -> None:
    one, two = told(ran[1], variant), told(ran[2], variant)
    assert [h["step"] for h in one["history"]] == [h["step"] for h in two["history"]]
    for before, after in zip(one["history"], two["history"], strict=True):
        assert after["validation_elbo"] == pytest.approx(before["validation_elbo"], rel=1e-4)
        assert after["train_objective"] == pytest.approx(
            before["train_objective"], rel=1e-4, nan_ok=True
        )
    assert one["skipped"] == two["skipped"] > 0
    name = f"{variant}-44.safetensors"
    first, second = (load_file(ran[n] / name) for n in (1, 2))
    for key, weights in first.items():
        torch.testing.assert_close(second[key], weights, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_all_processes_saw_the_same_and_the_first_alone_kept_it(ran: dict[int, Path]) -> None:
    assert told(ran[2], "vae", 0) == told(ran[2], "vae", 1)
    assert (ran[2] / "vae.checkpoint").exists()
    assert not (ran[2] / "none").exists()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("batch", [1, 2, 63, 128])
def test_shares_are_the_batch(size: int, batch: int) -> None:
    shares = [Team(rank, size).share(batch) for rank in range(size)]
    rows = np.arange(batch)
    assert np.concatenate([rows[share] for share in shares]).tolist() == rows.tolist()
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"free_bits": 0.1}, "free_bits"), ({"trim": 0.1}, "trim"), ({"capacity": 2.0}, "capacity"),
        ({"total_correlation": 1.0}, "total_correlation"),
    ],
)  # fmt: skip
def test_losses_that_need_the_whole_batch_are_refused(change: dict, name: str) -> None:
    model = build_model(Layout(WIDTH, 0, (), ()), ModelConfig(members=2, hidden=(16,)))
    goal = _goal(model, TrainConfig(**change), 100)
    with pytest.raises(ValueError, match=f"{name} look at a batch as a whole"):
        share_losses(model, goal, Team(0, 2))


def test_an_adversary_is_refused() -> None:
    model = build_model(Layout(WIDTH, 0, (), ()), ModelConfig("vae_gan", members=2, hidden=(16,)))
    rows = torch.zeros(10, WIDTH)
    with pytest.raises(ValueError, match="adversary of variant vae_gan look at a batch"):
        train(model, rows, rows, TrainConfig(max_steps=2), team=Team(0, 2))
