"""Dockerfile, compose.yaml and systemd units: linted, and of one piece with the product.

`tests/cluster.py` starts MLflow and Prefect by compose.yaml's own commands.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
PROGRAMS = {entry.name for entry in entry_points(group="console_scripts")} | {"python"}


def variables(text: str) -> set[str]:
    """Names that an environment file sets."""
    return set(re.findall(r"^(\w+)=", text, re.MULTILINE))


def test_dockerfile_is_clean() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [str(linter), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_image_gets_what_it_copies() -> None:
    allowed = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text("utf-8"), re.M))
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text("utf-8"), re.M)
    names = {name for line in copied for name in line.split()}
    assert names == allowed
    assert all((ROOT / name).exists() for name in names)


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_is_whole(name: str) -> None:
    service = COMPOSE["services"][name]
    assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), "passwords travel in the clear: this machine only"
    for mount in service.get("volumes", []):
        source = mount.partition(":")[0]
        assert source.startswith("./") or source in COMPOSE["volumes"]
    for config in service.get("configs", []):
        assert config["source"] in COMPOSE["configs"]
    if "build" in service:
        assert service["image"] == f"vae-anomaly:{version('vae-anomaly')}"
        assert service["command"][0] in PROGRAMS
    else:
        assert ":" in service["image"], "no image moves by itself"
    waited = {
        other
        for each in COMPOSE["services"].values()
        for other, how in each.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    assert name not in waited or "healthcheck" in service


def test_every_password_is_asked_for() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    assert asked == set(re.findall(r"\$\{?(\w+)", text)), "one that may be empty"
    assert asked == variables((ROOT / "deploy" / "environment.example").read_text("utf-8"))


def test_both_ways_set_the_same_variables() -> None:
    """The units' environment file names what compose.yaml gives its services, and no more."""
    given = set().union(*(s.get("environment", {}) for s in COMPOSE["services"].values()))
    inline = {
        name for unit in UNITS for name in re.findall(r"^Environment=(\w+)", unit.read_text(), re.M)
    }
    file = (ROOT / "deploy" / "systemd" / "vae-anomaly.environment").read_text(encoding="utf-8")
    own = {"AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP", "PGPORT", "HEALTH", "PREFECT_UI_API_URL"}
    own |= {"MLFLOW_AUTH_ADMIN_USERNAME"}  # its defaults fit, or the containers' network asks
    own |= {name for name in given if name.startswith(("POSTGRES_", "MINIO_"))}
    assert given - own <= variables(file) | inline
    assert variables(file) <= given


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("needs systemd-analyze")
    scripts = f"{Path(sys.executable).parent}/"
    for each in UNITS:
        text = each.read_text(encoding="utf-8")
        assert "/opt/vae-anomaly/.venv/bin/" in text
        text = text.replace("/opt/vae-anomaly/.venv/bin/", scripts).replace("User=vae", "User=root")
        (tmp_path / each.name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [analyse, "verify", "--man=no", "--recursive-errors=no", str(tmp_path / unit.name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert unit.name not in done.stderr, done.stderr


def test_units_and_containers_run_the_same_commands() -> None:
    for unit, name in (("mlflow", "mlflow"), ("prefect-server", "prefect"),
                       ("vae-anomaly-worker", "worker")):  # fmt: skip
        text = (ROOT / "deploy" / "systemd" / f"{unit}.service").read_text(encoding="utf-8")
        found = re.search(r"^ExecStart=\S+/(.+?[^\\])$", text.replace("\\\n", ""), re.M)
        assert found is not None
        here = found.group(1).split()
        there = [a.replace("0.0.0.0", "127.0.0.1") for a in COMPOSE["services"][name]["command"]]
        assert here == [a for a in there if not a.startswith("--allowed-hosts")]
