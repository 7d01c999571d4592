"""What a model version is made of, and how it is written: code, scorer, signature, requirements.

The folder of a version holds no pickle and no path of the machine that made it.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.frames import encoded_roles, inputs, to_frame
from pipeline.pictures import size_in_words
from pipeline.tracking import pyfunc

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature
    from numpy.typing import NDArray

    from pipeline.tracking import Run
    from vae_core import Scorer

Columns = Mapping[str, "NDArray[Any]"]

__all__ = ["REQUIREMENTS", "log_model", "save_model", "signature"]

# Lower bounds of what is used, never a local build such as torch 2.13.0+cpu.
REQUIREMENTS = [
    "mlflow-skinny>=3.17",
    "numpy>=2.0",
    "pandas>=2.3",
    "safetensors>=0.5",
    "torch>=2.11",
]
_EXAMPLE_ROWS = 5


def log_model(
    run: Run, scorer: Scorer, example: Columns, metadata: Mapping[str, Any] | None = None
) -> str:
    """Write a calibrated scorer as an MLflow model of the run.

    Args:
        run: the calibrating run.
        scorer: calibrated; the core that it came from is packaged with it.
        example: a few rows, (N,) per column.
        metadata: JSON that goes into the model's description.

    Returns:
        The logged model's id.
    """
    from mlflow.models import Model

    pyfunc()
    names = inputs(scorer.encoding)
    rows = to_frame({name: example[name][:_EXAMPLE_ROWS] for name in names}, names)
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder)
        scorer.save(build / "scorer")
        for path, content in core_sources(scorer).items():
            file = build / "vae_core" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        shutil.copy(Path(__file__).with_name("model_code.py"), build / "anomaly_model.py")
        # Made here, since MLflow would otherwise put it into its default experiment.
        logged = run.client.create_logged_model(
            run.experiment_id, name="model", source_run_id=run.run_id, model_type="vae-anomaly"
        )
        Model.log(
            artifact_path=None,
            flavor=sys.modules[__name__],
            model_id=logged.model_id,
            run_id=run.run_id,
            python_model=str(build / "anomaly_model.py"),
            artifacts={"scorer": str(build / "scorer"), "vae_core": str(build / "vae_core")},
            signature=signature(names),
            input_example=rows,
            pip_requirements=REQUIREMENTS,
            metadata={**(metadata or {}), "columns": _described(scorer)},
        )
    return str(logged.model_id)


def save_model(path: str, mlflow_model: Model, **arguments: Any) -> None:
    """What ``Model.log`` calls: MLflow's own writer, then the maker's paths are taken out."""
    pyfunc().save_model(path=path, mlflow_model=mlflow_model, **arguments)
    flavor = mlflow_model.flavors["python_function"]
    flavor["model_code_path"] = Path(flavor["model_code_path"]).name
    for name, artifact in flavor["artifacts"].items():
        artifact["uri"] = name
    location = mlflow_model.artifact_path
    if location and (location.startswith("file:") or Path(location).is_absolute()):
        mlflow_model.artifact_path = "model"
    mlflow_model.save(str(Path(path) / "MLmodel"))


def signature(names: Sequence[str]) -> ModelSignature:
    """Inputs by name, scores out, ``alpha`` and ``fdr`` as parameters.

    Inputs are optional and of any type, and the model itself checks them: for a column declared
    double MLflow refuses integers, and its refusal prints the rows.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    numbers = (
        "anomaly_score",
        "reconstruction_error",
        "elbo",
        "latent",
        "p_value",
        "p_value_reconstruction_error",
        "p_value_elbo",
    )
    outputs = [ColSpec("double", name, required=False) for name in numbers]
    return ModelSignature(
        inputs=Schema([ColSpec(AnyType(), name, required=False) for name in names]),
        outputs=Schema([*outputs, ColSpec("boolean", "is_anomaly")]),
        params=ParamSchema(
            [ParamSpec("alpha", "double", None), ParamSpec("fdr", "boolean", False)]
        ),
    )


def _described(scorer: Scorer) -> dict[str, str]:
    """Kind of each input column, for those who read the model's description."""
    roles = encoded_roles(scorer.encoding)
    return {c.name: _kind(roles[c.name], c) for c in scorer.encoding.columns}


def _kind(role: str, column: Any) -> str:
    if role == "image":
        shape = (column.height, column.width, column.channels)
        return f"image of {size_in_words(shape)}, 0 to 255, as nested lists, array or bytes"
    if role == "condition":
        return "condition, may be null"
    return role + (", may be null" if getattr(column, "nullable", True) else "")


def core_sources(scorer: Scorer) -> dict[str, bytes]:
    """The code of this very scorer by file: the installed core, or a version's packaged one."""
    from pipeline.model_code import read_sources

    package = sys.modules[type(scorer).__module__.split(".")[0]]
    packaged: dict[str, bytes] | None = getattr(package, "__sources__", None)
    if packaged is not None:
        return packaged
    if package.__file__ is None:
        raise RuntimeError(f"package {package.__name__} has no folder")
    return read_sources(Path(package.__file__).parent)
