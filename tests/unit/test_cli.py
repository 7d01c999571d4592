"""The command line in this process: what it says, and with which exit code it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli

COMMANDS = (
    *("init", "ingest", "train", "calibrate", "score", "run"),
    *("generate", "reconstruct", "traverse", "interpolate", "denoise", "impute", "compress"),
    *("tune", "quality", "rescore", "promote", "rollback", "report", "serve", "deploy", "doctor"),
)
CONFIG = """\
name: small
source: {path: landing}
columns:
  x: {role: numeric}
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run where no config lies, with a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAE_ANOMALY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "WARNING")
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return int(ended.value.code or 0), said.out, said.err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for command in COMMANDS:
        assert f"│ {command} " in out, command


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert "Example" in out
    assert f"vae-anomaly {command}" in out


def test_without_a_config_it_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "train")
    assert code == 2
    assert "there is no vae-anomaly.yaml here" in err
    assert "vae-anomaly init DATA" in err


def test_a_config_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "score", "nowhere.yaml")
    assert code == 2
    assert "nowhere.yaml" in err


def test_a_typo_in_the_config_names_the_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "vae-anomaly.yaml").write_text(CONFIG + "treshold: {alpha: 0.01}\n")
    code, _, err = run(capsys, "ingest")
    assert code == 2
    assert "treshold" in err
    assert "threshold" in err.replace("treshold", "")


def test_missing_tables_say_how_to_make_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "vae-anomaly.yaml").write_text(CONFIG)
    code, _, err = run(capsys, "ingest")
    assert code == 1
    assert "vae-anomaly init" in err


def test_tables_can_be_made_before_the_data_is_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "early.yaml"
    config.write_text(CONFIG)
    code, out, _ = run(capsys, "init", str(config))
    assert code == 0
    assert "No data yet: there is no file or folder" in out
    assert "`source.path`" in out
    (tmp_path / "landing").mkdir()
    assert "No data yet" not in run(capsys, "init", str(config))[1]


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    from pipeline.errors import UserError

    (tmp_path / "vae-anomaly.yaml").write_text(CONFIG)
    with pytest.raises(UserError):
        cli.main(["--debug", "ingest"])


def test_home_option_wins_over_the_environment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "vae-anomaly.yaml").write_text(CONFIG)
    code, _, _ = run(capsys, "--home", "elsewhere", "init", "vae-anomaly.yaml")
    assert code == 0
    assert (tmp_path / "elsewhere" / "tables" / "small" / "nights").is_dir()
    assert not (tmp_path / "home").exists()


def test_no_night_yet_no_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "vae-anomaly.yaml").write_text(CONFIG)
    run(capsys, "init", "vae-anomaly.yaml")
    code, _, err = run(capsys, "report")
    assert code == 1
    assert "no night of 'small' has been scored yet" in err


def test_heavy_packages_are_imported_by_the_command_that_needs_them() -> None:
    heavy = ("prefect", "mlflow", "torch", "pandas", "sklearn", "matplotlib", "flows")
    program = (
        "import sys, pipeline.cli\n"
        "try: pipeline.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print('loaded:', [m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "loaded: []" in done.stdout


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_a_wrong_home_does_not_grow_a_second_store(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "shop.yaml"
    config.write_text("name: shop\nsource: {path: inbox}\ncolumns: {a: {role: numeric}}\n")
    code, _, said = run(capsys, command, str(config))
    assert code == 1
    assert "there is no table `ingested` of 'shop'" in said
    assert not (tmp_path / "home").exists()
