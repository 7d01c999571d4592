"""The installed command, as a person runs it: from data to a report, and what errors look like."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pyarrow.csv
from small_data import HISTORY_ROWS, rows

from flows.servers import clean_environment, tool

SETTINGS = "model: {members: 1, hidden: [16], latent_dim: 2}\ntraining: {max_steps: 150}\n"


def vae_anomaly(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*tool("pipeline.cli"), *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=clean_environment(),
        timeout=300,
        check=False,
    )


def test_three_commands_from_data_to_a_report(tmp_path: Path) -> None:
    pyarrow.csv.write_csv(rows(HISTORY_ROWS, seed=1), tmp_path / "payments.csv")
    done = vae_anomaly("init", "payments.csv", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    config = tmp_path / "vae-anomaly.yaml"
    with config.open("a", encoding="utf-8") as file:
        file.write(SETTINGS)

    done = vae_anomaly("run", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Night 1 of payments" in done.stdout
    assert f"{HISTORY_ROWS:,} rows in" in done.stdout
    assert done.stderr == "", "no warning in a normal run"

    done = vae_anomaly("report", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.strip())
    assert page.is_relative_to(tmp_path / ".vae-anomaly")
    assert "payments" in page.read_text(encoding="utf-8")

    done = vae_anomaly("score", folder=tmp_path)
    assert done.returncode == 0
    assert "Nothing new to score" in done.stdout

    done = vae_anomaly("rollback", folder=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_help_is_there_at_once(tmp_path: Path) -> None:
    def seconds() -> float:
        started = time.monotonic()
        assert vae_anomaly("--help", folder=tmp_path).returncode == 0
        return time.monotonic() - started

    assert min(seconds() for _ in range(3)) < 1.0


def test_errors_are_messages(tmp_path: Path) -> None:
    (tmp_path / "payments.yaml").write_text("name: payments\nsorce: {path: x}\n")
    done = vae_anomaly("train", "payments.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert "sorce" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["payments.yaml"]
