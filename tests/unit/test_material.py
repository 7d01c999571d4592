"""What a training reads: a sample, or a stream that shows every row once an epoch."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from night_homes import CONFIG, HISTORY_ROWS, deliver, empty_home

from pipeline import tracking
from pipeline.checkpoints import STALE_DAYS, checkpoint, training_key
from pipeline.config import Config
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.material import read_material
from pipeline.preprocess import fit_encoding
from pipeline.sampling import read_rows
from pipeline.split import Range, make_split
from pipeline.training import train
from vae_core import Scorer
from vae_core.batches import Streamed

STREAMED = CONFIG.replace("training: {", "training: {rows: 200, stream: true, ")


def shop(folder: Path, store: Path, text: str) -> tuple[Home, Config]:
    home, config = empty_home(folder, text)
    shutil.copy(store, home.path / "mlflow.db")
    deliver(home, config, "history", rows=HISTORY_ROWS, seed=0)
    return home, config


@pytest.fixture(scope="module")
def streamed(migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    return shop(tmp_path_factory.mktemp("streamed"), migrated_store, STREAMED)


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_every_row_comes_once_an_epoch_for_each_member(streamed: tuple[Home, Config]) -> None:
    home, config = streamed
    lake = Lake(config, home)
    split = make_split(lake, config)
    material = read_material(lake, split)
    assert material.stream is not None and len(material.rows) == 200
    encoding = fit_encoding(material.rows.columns, config.feature_columns).encoding
    stream = material.stream(encoding)
    assert stream.rows == split.train.rows == 630
    assert stream.at_once * (stream.rows // stream.blocks) <= 200

    everything = encoding.encode(read_rows(lake, config, split.train).columns)[0]
    whole = torch.cat([stream.read(block) for block in range(stream.blocks)])
    np.testing.assert_array_equal(whole.numpy(), everything)

    seen = Streamed(stream, 2, 10, torch.Generator().manual_seed(0))
    epochs = []
    for _ in range(2):
        batches, held = [], 0
        while True:
            batches.append(seen.next())
            held = max(held, len(seen.rows))
            if not len(seen.to_come) and seen.order.shape[1] < seen.size:
                break
        epochs.append(torch.cat(batches, dim=1))
        assert held <= 200
    for member in range(2):
        for epoch in epochs:
            rows = epoch[member].numpy()
            counted = np.unique(np.concatenate([rows, everything]), axis=0, return_counts=True)[1]
            # what is left of a window, less than a batch, is let go
            assert (counted >= 1).all() and (counted == 1).sum() < 10 * seen.windows
            assert len(rows) > 630 - 10 * seen.windows
    assert not torch.equal(epochs[0][0], epochs[0][1])
    assert not torch.equal(epochs[0], epochs[1])


def test_a_table_that_fits_is_not_streamed(tmp_path: Path, migrated_store: Path) -> None:
    text = CONFIG.replace("training: {", "training: {rows: 630, stream: true, ")
    home, config = shop(tmp_path, migrated_store, text)
    lake = Lake(config, home)
    material = read_material(lake, make_split(lake, config))
    assert material.stream is None and len(material.rows) == 630


def test_rows_beyond_the_limit_are_sampled_unless_streamed(
    tmp_path: Path, migrated_store: Path
) -> None:
    home, config = shop(
        tmp_path, migrated_store, CONFIG.replace("training: {", "training: {rows: 150, ")
    )
    lake = Lake(config, home)
    material = read_material(lake, make_split(lake, config))
    assert material.stream is None and len(material.rows) == 150


def test_a_streamed_training_is_logged_with_all_its_rows(
    streamed: tuple[Home, Config], tmp_path: Path
) -> None:
    home, config = streamed
    result = train(home, config)
    client = tracking.connect(home)
    run = client.get_run(result.run_id)
    assert run.data.metrics["training_rows"] == 630
    assert "resumed_from_step" not in run.data.tags
    folder = client.download_artifacts(result.run_id, "scorer", str(tmp_path))
    assert Scorer.load(folder).metadata["training_rows"] == 630
    assert np.isfinite(result.metrics["elbo"])
    assert not list((home.path / "checkpoints").rglob("*.safetensors"))


def test_the_key_is_that_of_rows_settings_and_split(streamed: tuple[Home, Config]) -> None:
    home, config = streamed
    lake = Lake(config, home)
    split = make_split(lake, config)
    key = training_key(config, split, "rows")
    assert key == training_key(config, split, "rows")

    def changed(section: str, **values: object) -> Config:
        new = getattr(config, section).model_copy(update=values)
        return config.model_copy(update={section: new})

    same = changed("training", checkpoint_minutes=1.0)
    assert training_key(same, split, "rows") == key
    others = [
        training_key(config, split, "other rows"),
        training_key(changed("training", beta=2.0), split, "rows"),
        training_key(changed("model", members=2), split, "rows"),
        training_key(config.model_copy(update={"seed": 1}), split, "rows"),
    ]
    moved = type(split)(Range(1, 629), Range(630, 720), split.calibration)
    others.append(training_key(config, moved, "rows"))
    assert len({key, *others}) == 6


def test_a_checkpoint_outlives_errors_but_not_its_time(tmp_path: Path) -> None:
    import os

    home = Home(tmp_path)
    with pytest.raises(RuntimeError), checkpoint(home, "shop", "one") as file:
        file.parent.mkdir(parents=True)
        file.write_bytes(b"state")
        raise RuntimeError
    with checkpoint(home, "shop", "two") as other:
        assert file.exists() and other != file
    old = file.stat().st_mtime - 86_400 * (STALE_DAYS + 1)
    os.utime(file, (old, old))
    with checkpoint(home, "shop", "two"):
        assert not file.exists()


def test_what_a_killed_process_was_writing_goes_with_the_work(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with checkpoint(Home(tmp_path), "shop", "one") as file:
        file.parent.mkdir(parents=True)
        file.write_bytes(b"state")
        left, being_written = (
            file.with_name(f"{file.name}.{pid}.part") for pid in (ended.pid, os.getpid())
        )
        left.write_bytes(b"half")
        being_written.write_bytes(b"half")
    assert not file.exists() and not left.exists()
    assert being_written.exists(), "another training of the same rows is at it"
