"""The speed benchmark: that it runs, on a bare machine too, and judges what it measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import runs
from benchmarks.speed import __main__ as speed
from benchmarks.speed import contestants, install, page
from benchmarks.speed.network import Plain, flops
from benchmarks.speed.scaling import exponent

BARE = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pandas", "sklearn", "scipy", "pyod", "pyarrow", "mlflow"}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
from benchmarks.speed import __main__, card, core, scaling
__main__.write_page(__main__.Path(sys.argv[1]))
"""


def test_the_core_needs_torch_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BARE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pandas is not installed" in done.stdout


@pytest.mark.slow
def test_the_core_is_measured_and_the_page_written(tmp_path: Path) -> None:
    speed.main(["core", "--quick", "--device", "cpu", "--results", str(tmp_path)])
    found = json.loads((tmp_path / speed.FILE).read_text())["core"]
    assert set(found["training"]["32"]) == {"ours", "bare loop", "PyOD's loop", "limit fp32"}
    assert all(pace["rows_per_second"] > 0 for pace in found["scoring"].values())
    text = (tmp_path / "performance.md").read_text()
    assert "training 8 members" in text
    assert "## Where the time goes" in text


@pytest.mark.slow
@pytest.mark.parametrize("part", ["scaling", "peers", "install", "cold", "night", "large", "auroc"])
def test_every_part_is_measured(part: str, tmp_path: Path) -> None:
    for package in {"peers": ("pyod", "pythae"), "auroc": ("pyod",)}.get(part, ()):
        pytest.importorskip(package)
    if part == "auroc" and not (runs.DATA / "adbench").exists():
        pytest.skip(f"no data sets in {runs.DATA / 'adbench'}")
    speed.main([part, "--quick", "--device", "cpu", "--results", str(tmp_path)])
    assert json.loads((tmp_path / speed.FILE).read_text())[part]["quick"]
    assert (tmp_path / "performance.md").read_text().startswith("# Performance")


def test_an_installation_is_what_the_product_needs_and_no_more() -> None:
    brought = install.closure(install.PRODUCT)
    assert {"torch", "prefect", "mlflow-skinny", "annotated-types"} <= set(brought)
    assert not {install.PRODUCT, "pytest", "moto", "dask"} & set(brought)
    assert install.installed_bytes("torch") > 100 << 20


def test_unknown_parts_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        speed.main(["corr"])
    assert "unknown part corr; known: core, scaling, peers" in capsys.readouterr().err


def test_the_exponent_of_a_power_is_found() -> None:
    sizes = np.array([10.0, 100.0, 1000.0])
    assert exponent(sizes, 3 * sizes**1.5) == pytest.approx(1.5)


def test_arithmetic_of_the_network_is_that_of_its_layers() -> None:
    # PyOD's head gives mean and log-variance separately: two outputs of two, as one of four here
    layers = [m for m in Plain(32).modules() if isinstance(m, torch.nn.Linear)]
    assert flops(32) == sum(2 * m.in_features * m.out_features for m in layers)


def test_ours_has_the_same_layers() -> None:
    model = contestants.ours(32)
    widths = [layer.weight.shape[1] for layer in (*model.encoder.layers, *model.decoder.layers)]
    assert widths == [32, 128, 64, 32, 2, 32, 64, 128]


@pytest.mark.parametrize(
    ("rate", "verdict"), [(10.0, "**floor missed**"), (16.0, "floor holds"), (40.0, "goal met")]
)
def test_floors_are_judged_by_what_was_measured(rate: float, verdict: str, tmp_path: Path) -> None:
    pace = {"noise": 0.01, "cpu_per_wall": 1.0}
    names = ("PyOD VAE, 32", "ours, 32", "bare loop, 32")
    training = {name: {"rows_per_second": 10.0, **pace} for name in names}
    training["ours, 32"] = {"rows_per_second": rate, **pace}
    limits = ("limit fp32", "limit fp32, 2 decodings", "limit fp32, 3 decodings")
    ours = [f"ours, {what}" for what in ("error", *_elbos())]
    scoring = {name: {"rows_per_second": 1.0, **pace} for name in (*ours, *limits, "PyOD VAE")}
    machine = {
        "processor": "P", "cores": 2, "torch": "2", "load_average": 0.1, "when": "2026-01-01",
    }  # fmt: skip
    part = {
        "machine": machine, "quick": False, "seconds": 1.0, "rows": 10, "columns": 32,
        "training": training, "scoring": scoring,
        "pictures": {n: {"rows_per_second": 1.0, **pace} for n in ("ours", "pythae")},
    }  # fmt: skip
    page.write({"peers": part}, tmp_path / "p.md")
    lines = (tmp_path / "p.md").read_text().splitlines()
    line = next(line for line in lines if line.startswith("| training at PyOD's batch"))
    assert line.endswith(f"| {verdict} |")


def _elbos() -> list[str]:
    return ["ELBO at the mean and error", "ELBO of 2 draws and error"]
