"""A training that is stopped goes on to the same losses and weights, to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from pipeline.detector import ColumnKind
from pipeline.preprocess import fit_encoding
from vae_core import MODELS, Encoding, ModelConfig, Stream, TrainConfig, build_model, train
from vae_core.checkpoint import Checkpoint
from vae_core.models import Model

HOW = TrainConfig(max_steps=44, batch_size=64, patience=99, checkpoint_minutes=0.0)
SHAPE = ModelConfig(members=2, hidden=(16,), latent_dim=3, components=8, couplings=2)
CASES = {variant: replace(SHAPE, variant=variant) for variant in MODELS} | {
    prior: replace(SHAPE, prior=prior) for prior in ("vamp", "mixture", "flow")
}


class KilledError(Exception):
    """Stands in for the end of a process."""


def data(conditional: bool) -> tuple[Encoding, torch.Tensor]:
    """A mixed table with holes: 300 rows."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=300)
    columns = {
        "a": np.where(rng.random(300) < 0.1, np.nan, a),
        "b": 3 * a + rng.normal(size=300),
        "kind": np.where(a > 0, "up", "down").astype(object),
    }
    kinds = {n: ColumnKind("numeric", n == "a") for n in "ab"}
    kinds["kind"] = ColumnKind("condition" if conditional else "categorical", False)
    encoding = fit_encoding(columns, kinds).encoding
    return encoding, torch.from_numpy(encoding.encode(columns)[0])


def in_blocks(rows: torch.Tensor) -> Stream:
    blocks = rows.tensor_split(6)
    return Stream(len(rows), 6, blocks.__getitem__, 2)


def weights(model: Model) -> list[torch.Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def stopped_after(evaluations: int):
    seen = []

    def report(entry: dict[str, float]) -> None:
        seen.append(entry)
        if len(seen) == evaluations:
            raise KilledError

    return report


@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
@pytest.mark.parametrize("case", CASES)
def test_resumed_is_uninterrupted(case: str, streamed: bool, tmp_path: Path, device: str) -> None:
    shape = CASES[case]
    encoding, x = data(MODELS[shape.variant].conditional)
    x = x.to(device)
    rows, stream = x[:240], in_blocks(x[:240].cpu()) if streamed else None
    file = tmp_path / "state.safetensors"

    def fresh() -> Model:
        return build_model(encoding.layout, shape).to(device)

    whole = fresh()
    expected = train(whole, rows, x[240:], HOW, seed=3, stream=stream)
    resumed_at = []
    # killed twice: at steps 11 and 22, of which 10 and 21 were kept
    for evaluations in (1, 2):
        with pytest.raises(KilledError):
            train(
                fresh(), rows, x[240:], HOW, seed=3, stream=stream, checkpoint=file,
                report=stopped_after(evaluations),
            )  # fmt: skip
        resumed_at.append(Checkpoint(file, 0).read() is not None)
    assert all(resumed_at)
    model = fresh()
    result = train(model, rows, x[240:], HOW, seed=3, stream=stream, checkpoint=file)
    assert result.resumed == 21
    assert result.history == expected.history
    assert result.best_epoch == expected.best_epoch
    assert result.skipped_steps == expected.skipped_steps
    for before, after in zip(weights(whole), weights(model), strict=True):
        assert torch.equal(before, after)


def test_a_training_that_had_ended_ends_again_at_once(tmp_path: Path) -> None:
    """Patience ran out just before the process was killed."""
    encoding, x = data(False)
    how = replace(HOW, max_steps=400, patience=2, learning_rate=1e-12)
    file = tmp_path / "state.safetensors"
    expected = train(build_model(encoding.layout, SHAPE), x[:50], x[240:], how, checkpoint=file)
    assert expected.history[-1]["step"] < 400
    model = build_model(encoding.layout, SHAPE)
    again = train(model, x[:50], x[240:], how, checkpoint=file)
    assert again.resumed == expected.history[-1]["step"]
    assert again.history == expected.history


def test_the_file_is_safetensors_and_names_everything(tmp_path: Path) -> None:
    encoding, x = data(False)
    file = tmp_path / "below" / "state.safetensors"
    shape = replace(SHAPE, variant="vae_gan")
    train(build_model(encoding.layout, shape), x[:240], x[240:], HOW, checkpoint=file)
    assert [p.name for p in file.parent.iterdir()] == [file.name]
    with safe_open(file, "pt") as opened:
        parts = {name.split(".")[0] for name in opened.keys()}  # noqa: SIM118
        assert '"history"' in opened.metadata()["numbers"]
    assert parts == {
        "model", "optimizer", "best", "batches", "generator", "running", "skipped", "adversary",
    }  # fmt: skip


@pytest.mark.parametrize("spoil", [lambda b: b[:-100], lambda b: b"", lambda b: b[:4] + b[8:]])
def test_a_damaged_file_is_passed_over(tmp_path: Path, spoil) -> None:
    encoding, x = data(False)
    file = tmp_path / "state.safetensors"
    how = replace(HOW, max_steps=10)
    train(build_model(encoding.layout, SHAPE), x[:240], x[240:], how, checkpoint=file)
    file.write_bytes(spoil(file.read_bytes()))
    result = train(build_model(encoding.layout, SHAPE), x[:240], x[240:], how, checkpoint=file)
    assert result.resumed == 0


def test_nothing_is_written_before_its_time(tmp_path: Path) -> None:
    encoding, x = data(False)
    file = tmp_path / "state.safetensors"
    how = replace(HOW, checkpoint_minutes=60.0)
    train(build_model(encoding.layout, SHAPE), x[:240], x[240:], how, checkpoint=file)
    assert not file.exists()
