"""Rows made by a registered version, through the command: files that can be read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from night_homes import champion_home

from pipeline import cli

OPERATIONS = {
    "generate": ["--count", "30"],
    "reconstruct": ["--rows", "1-9"],
    "traverse": ["--latents", "2", "--steps", "3"],
    "interpolate": ["--start", "3", "--end", "7", "--steps", "4"],
    "denoise": [],
    "impute": ["--rows", "1-20", "--blank", "0.3"],
    "compress": ["--rows", "1-50"],
}
ROWS = {"generate": 30, "reconstruct": 9, "traverse": 6, "interpolate": 4, "impute": 20}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("making")
    patch = pytest.MonkeyPatch()
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home, config = champion_home(folder)
    patch.undo()
    assert config.path is not None
    return home.path, Path(config.path)


def run(
    shop: tuple[Path, Path], capsys: pytest.CaptureFixture[str], command: str, *words: str
) -> tuple[int, str, str]:
    home, config = shop
    with pytest.raises(SystemExit) as ended:
        cli.main(["--home", str(home), command, str(config), *words])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return int(ended.value.code or 0), said.out, said.err


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("VAE_ANOMALY_HOME", "unused")
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "WARNING")


@pytest.mark.parametrize("command", [c for c in OPERATIONS if c != "denoise"])
def test_rows_and_pictures_are_written_and_read_again(
    shop: tuple, command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for suffix in (".parquet", ".png"):
        path = tmp_path / f"made{suffix}"
        code, out, err = run(shop, capsys, command, *OPERATIONS[command], "--output", str(path))
        assert (code, err) == (0, ""), err
        assert "Written to" in out and "version 1" in out
    assert (tmp_path / "made.png").read_bytes().startswith(PNG)
    frame = pd.read_parquet(tmp_path / "made.parquet")
    assert len(frame) == ROWS.get(command, 50)
    assert {"amount", "items", "weight", "country", "express"} <= set(frame.columns)
    if command == "impute":
        assert frame.notna().all().all()
    if command == "compress":
        assert (frame["_bits"] > 0).all() and np.isfinite(frame["_distortion"]).all()
    if command == "traverse":
        assert frame["_value"].tolist() == [-3, 0, 3] * 2


def test_the_same_seed_makes_the_same_rows(
    shop: tuple, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        path = tmp_path / f"{name}.parquet"
        run(shop, capsys, "generate", "--seed", seed, "--output", str(path))
        made.append(pd.read_parquet(path))
    pd.testing.assert_frame_equal(made[0], made[1])
    assert not made[0].equals(made[2])


def test_cells_missing_in_the_tables_are_filled_in_and_drawn_among_the_others(
    shop: tuple, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "filled.png"
    code, _, err = run(shop, capsys, "impute", "--rows", "1-200", "--output", str(path))
    assert (code, err) == (0, "")
    assert path.read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("generate", ["--output", "rows.xlsx"], "ends in .parquet or .png"),
        ("generate", ["--output", "nowhere/rows.png"], "there is no folder nowhere"),
        ("generate", ["--version", "9"], "no version 9"),
        ("generate", ["--given", "country=de"], "no condition of this version"),
        ("traverse", ["--given", "country=de"], "no condition 'country'"),
        ("reconstruct", ["--rows", "a-b"], "names no rows"),
        ("reconstruct", ["--rows", "1-²"], "names no rows"),
        ("reconstruct", ["--rows", "9" * 5000], "names no rows"),
        ("reconstruct", ["--rows", "24-1"], "'24-1' ends before it starts"),
        ("reconstruct", ["--rows", "1,1-99999999999"], "names more than 1,000,000 rows"),
        ("reconstruct", ["--rows", "999999"], "there is no row 999,999"),
        ("reconstruct", ["--rows", "0"], "Row ids run from 1 to"),
        ("denoise", [], "no member of this model learned to undo noise"),
    ],
)
def test_what_cannot_be_done_is_said(
    shop: tuple, command: str, words: list[str], said: str,
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, _, err = run(shop, capsys, command, *words)
    assert code == 1
    assert said in err
    assert not list(tmp_path.glob("*.p*"))


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("generate", ["--how", "magic"], "'magic' is not one of"),
        ("interpolate", ["--start", "1", "--end", "2", "--path", "zigzag"], "'spherical'"),
        ("compress", ["--step", "0"], "greater than"),
    ],
)
def test_what_an_option_cannot_be_is_said_before_anything_is_loaded(
    command: str, words: list[str], said: str,
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)  # where there is no config
    with pytest.raises(SystemExit) as end:
        cli.main([command, *words])
    assert end.value.code == 2
    assert said in capsys.readouterr().err
