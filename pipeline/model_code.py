"""The registered model, as MLflow runs it: this one file, the packaged core and a saved scorer.

It is copied into every model version and imports nothing of this project: the core comes from the
version's own artifacts, under a module name made from its content. So two versions, an installed
core, and a consumer's modules of whatever name live in one process without meeting.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

_PIECE = 65_536


def read_sources(folder: Path) -> dict[str, bytes]:
    """A package's Python files by relative path."""
    files = sorted(folder.rglob("*.py"))
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def package_name(sources: dict[str, bytes]) -> str:
    """Module name made from the content of a package's Python files."""
    digest = hashlib.sha256()
    for path, content in sorted(sources.items()):
        digest.update(path.encode() + b"\0")
        digest.update(hashlib.sha256(content).digest())
    return f"vae_core_{digest.hexdigest()[:24]}"


def load_package(folder: Path) -> ModuleType:
    """Import the package in a folder under its content's name; equal content is imported once.

    All of it at once, and its sources are kept: MLflow may hand out a folder that is soon gone.

    Raises:
        ImportError: there is no package in the folder.
    """
    sources = read_sources(folder)
    name = package_name(sources)
    # One lock per process, though every loaded version has a copy of this file.
    lock = vars(sys).setdefault("_vae_core_lock", threading.RLock())
    with lock:
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"no package in {folder}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
            for path in sources:
                inner = path.removesuffix(".py").removesuffix("__init__").strip("/")
                if inner:
                    importlib.import_module(f"{name}.{inner.replace('/', '.')}")
        except BaseException:
            for loaded in [n for n in sys.modules if n == name or n.startswith(f"{name}.")]:
                del sys.modules[loaded]
            raise
        vars(module)["__sources__"] = sources
        return module


class AnomalyModel(PythonModel):
    """Scores rows: one row out for each row in, in order."""

    def load_context(self, context: Any) -> None:
        """Load the core and the scorer, on the CPU wherever it was trained."""
        self.core = core = load_package(Path(context.artifacts["vae_core"]))
        self.scorer = core.Scorer.load(context.artifacts["scorer"], device="cpu")

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Score rows.

        Args:
            context: unused.
            model_input: a column for each that the model was trained on, any order; integers are
                taken for numbers, further columns are ignored. A picture is an array or nested
                lists (height, width[, channels]), a flat list, or that many bytes, with values
                0 … 255; a condition that is left out or null is not known.
            params: ``alpha``: false-positive rate in (0, 1) at which ``is_anomaly`` is decided;
                the version's own threshold if left out. ``fdr`` is refused.

        Returns:
            anomaly_score, reconstruction_error, elbo, latent, p_value,
            p_value_reconstruction_error, p_value_elbo, is_anomaly. Scores: higher is more
            anomalous, but for elbo; small p-values are anomalous.

        Raises:
            ValueError: a column is missing, a cell is no number, infinite, or missing in a
                required column; the message names the column and counts, and quotes no cell.
        """
        given = params or {}
        if given.get("fdr"):
            raise ValueError(
                "fdr is not decided per request: it needs the p-values of a whole night; "
                "collect p_value and apply Benjamini-Hochberg to all of them"
            )
        alpha = given.get("alpha")
        columns = _columns(model_input, self.scorer.encoding, self.core.read_pictures)
        pieces = []
        for start in range(0, max(len(model_input), 1), _PIECE):
            piece = {name: values[start : start + _PIECE] for name, values in columns.items()}
            pieces.append(self.scorer.score(piece, alpha=alpha))
        result = {
            name: _without_nan(np.concatenate([piece[name] for piece in pieces]))
            for name in pieces[0]
        }
        return pd.DataFrame(result, index=model_input.index)


def _columns(frame: pd.DataFrame, encoding: Any, read: Any) -> dict[str, np.ndarray]:
    missing = [name for name in encoding.required if name not in frame.columns]
    if missing:
        raise ValueError(f"missing column(s): {', '.join(missing)}")
    repeated = [name for name in encoding.inputs if frame.columns.tolist().count(name) > 1]
    if repeated:
        raise ValueError(f"column(s) given twice: {', '.join(repeated)}")
    constants = encoding.constants.columns
    numeric = {column.name for column in encoding.numeric}
    numeric |= {column.name for column in constants if not isinstance(column.value, str)}
    out = {}
    for name in encoding.inputs:
        if name not in frame.columns:
            continue
        if encoding.image is not None and name == encoding.image.name:
            out[name] = _pictures(encoding.image, frame[name], read)
        else:
            out[name] = (_numbers if name in numeric else _texts)(name, frame[name])
    return out


def _pictures(column: Any, values: pd.Series, read: Any) -> np.ndarray:
    pictures, wrong = read(values.tolist(), (column.height, column.width, column.channels))
    if wrong:
        why = sorted(set(wrong.values()))[0]
        raise ValueError(
            f"column {column.name!r}: {len(wrong)} cell(s) that hold no picture of the size that "
            f"is due, such as {why}"
        )
    return np.asarray(pictures)


def _numbers(name: str, values: pd.Series) -> np.ndarray:
    if values.dtype.kind in "iuf" and isinstance(values.dtype, np.dtype):
        return values.to_numpy(dtype=np.float64)
    if isinstance(values.dtype, pd.StringDtype) or values.dtype.kind in "mM":
        # Text is refused even where it reads as a number: it says that a column was mixed up.
        strange = int(values.notna().sum())
    else:
        cells = values.tolist()
        strange = sum(isinstance(cell, (str, bytes)) for cell in cells)
    if not strange:
        try:
            return values.astype("object").where(values.notna(), np.nan).to_numpy(np.float64)
        except (TypeError, ValueError):
            strange = len(values)
    raise ValueError(f"column {name!r}: {strange} value(s) that are not numbers")


def _texts(name: str, values: pd.Series) -> np.ndarray:
    cells = np.empty(len(values), dtype=object)
    cells[:] = [None if cell is pd.NA else cell for cell in values.tolist()]
    return cells


def _without_nan(values: np.ndarray) -> np.ndarray:
    """A score that a model does not have is null: a bare NaN would make a reply invalid JSON."""
    if values.dtype.kind == "f" and np.isnan(values).any():
        cells = values.astype(object)
        cells[np.isnan(values)] = None
        return cells
    return values


set_model(AnomalyModel())
