"""A consumer's process: MLflow and the requirements, not this project, modules of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from registered import register, rows, scorer

from pipeline import registry
from pipeline.home import Home

ROOT = Path(__file__).resolve().parents[2]

# Written into the consumer's folder beside modules named `pipeline` and `flows`.
PROGRAM = '''
import json, sys

if {guard}:
    class Absent:
        """This project's packages cannot be found, as on a machine that does not have them."""

        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == "vae_core" or name in ("prefect", "deltalake"):
                raise ModuleNotFoundError(f"{{name}} is not installed here")
            return None

    sys.meta_path.insert(0, Absent())
    sys.path[:] = [entry for entry in sys.path if entry != {root!r}]

sys.path.insert(0, {folder!r})
import flows, pipeline
assert (pipeline.OWN, flows.OWN) == (True, True)

import mlflow.pyfunc
import pandas as pd

mlflow.set_tracking_uri({uri!r})
frame = pd.read_parquet({data!r})
answers = {{}}
for name in {versions!r}:
    model = mlflow.pyfunc.load_model(f"models:/shop{{name}}")
    answers[name] = {{k: [float.hex(float(x)) for x in v] for k, v in model.predict(frame).items()}}

assert (pipeline.OWN, flows.OWN) == (True, True)
ours = [m for m in sys.modules if m.split(".")[0] in ("vae_core",)]
assert not ours, ours
for module in list(sys.modules.values()):
    file = getattr(module, "__file__", None) or ""
    assert not file.startswith(tuple({packages!r})), file
with open({out!r}, "w") as file:
    json.dump(answers, file)
'''


def consume(
    home: Home,
    folder: Path,
    python: str | Path,
    versions: list[str],
    guard: bool,
) -> dict[str, dict[str, list[float]]]:
    """Run the consumer; the columns that each version answered."""
    folder.mkdir()
    for name in ("pipeline", "flows"):
        (folder / f"{name}.py").write_text("OWN = True\n", encoding="utf-8")
    data, out = folder / "rows.parquet", folder / "out.json"
    pd.DataFrame(rows(200, 8)).to_parquet(data)
    program = folder / "consumer.py"
    program.write_text(
        PROGRAM.format(
            guard=guard,
            root=str(ROOT),
            packages=[f"{ROOT / name}{os.sep}" for name in ("vae_core", "pipeline", "flows")],
            folder=str(folder),
            uri=home.mlflow_uri,
            data=str(data),
            versions=versions,
            out=str(out),
        ),
        encoding="utf-8",
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MLFLOW", "VAE"))}
    done = subprocess.run(
        [str(python), "-I", "-W", "error::UserWarning:__main__", str(program)],
        cwd=folder,
        env={**kept, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr and "WARNING" not in done.stderr, done.stderr
    answers = json.loads(out.read_text(encoding="utf-8"))
    return {
        version: {k: [float.fromhex(x) for x in v] for k, v in columns.items()}
        for version, columns in answers.items()
    }


def check_equal(answered: dict[str, list[float]]) -> None:
    for name, values in scorer().score(rows(200, 8)).items():
        np.testing.assert_array_equal(np.asarray(answered[name]), values.astype(float), name)


@pytest.fixture
def registered(home: Home, tmp_path: Path) -> Home:
    """Version 1, champion, by the installed core; version 2 by a changed one."""
    import vae_core

    register(home)
    from pipeline.model_code import load_package

    registry.promote(home, "shop")
    changed = tmp_path / "changed"
    shutil.copytree(Path(vae_core.__file__).parent, changed)
    file = changed / "calibration.py"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("(1 + at_least) / (n + 1)", "at_least * 0 + 0.125"), "utf-8")
    scorer().save(tmp_path / "scorer")
    register(home, load_package(changed).Scorer.load(tmp_path / "scorer", device="cpu"))
    return home


def test_a_consumer_gets_the_same_scores(registered: Home, tmp_path: Path) -> None:
    answers = consume(
        registered, tmp_path / "consumer", sys.executable, ["@champion", "/1", "/2"], guard=True
    )
    check_equal(answers["@champion"])
    check_equal(answers["/1"])
    assert set(answers["/2"]["p_value"]) == {0.125}
    assert answers["/2"]["anomaly_score"] == answers["/1"]["anomaly_score"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_fresh_environment_of_the_logged_requirements(registered: Home, tmp_path: Path) -> None:
    """Installs what the model asks for, under this project's constraints, and nothing of it.

    A `sqlite:` registry needs two packages more than the model itself does.
    """
    requirements = next(registered.mlflow_artifacts.rglob("requirements.txt"))
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    done = subprocess.run(
        [
            *(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("-r", str(requirements), "-c", str(ROOT / "constraints.txt")),
            *("sqlalchemy", "alembic", "pyarrow"),
        ],
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    if done.returncode and "No matching distribution" not in done.stderr:
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    found = subprocess.run(
        [str(python), "-I", "-c", "import vae_core"], capture_output=True, check=False
    )
    assert found.returncode == 1
    answers = consume(registered, tmp_path / "consumer", python, ["@champion"], guard=False)
    check_equal(answers["@champion"])
