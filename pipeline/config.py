"""The config: one YAML file per data set, checked when read; a typo is an error that names it."""

from __future__ import annotations

import difflib
import math
import os
import re
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator

from pipeline.errors import ConfigError
from pipeline.settings import (
    AlertSettings,
    ColumnSettings,
    ModelSettings,
    RowRange,
    Schedule,
    Section,
    Source,
    SplitSettings,
    ThresholdSettings,
    TrainSettings,
)
from pipeline.yamlfile import read_yaml

FEATURES = ("numeric", "categorical", "binary")
RESERVED = ("_row_id", "_source", "_source_hash", "_source_row", "_ingested_at")


class Config(Section):
    """Everything about one data set. `path` is the file it was read from (never dumped)."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)
    source: Source
    columns: dict[str, ColumnSettings]
    split: SplitSettings = SplitSettings.model_validate({})
    model: ModelSettings = ModelSettings.model_validate({})
    training: TrainSettings = TrainSettings.model_validate({})
    threshold: ThresholdSettings = ThresholdSettings.model_validate({})
    alerts: AlertSettings = AlertSettings.model_validate({})
    calibration_rows: RowRange | None = None
    image: tuple[int, ...] | None = Field(
        None, description="lines, columns (and channels) of the image that the features make up"
    )
    schedule: Schedule = Schedule.model_validate({})
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = Field(0, ge=0)
    path: Path = Field(Path("config.yaml"), exclude=True)

    @field_validator("columns", mode="before")
    @classmethod
    def _names_are_text(cls, value: Any) -> Any:
        return {str(k): v for k, v in value.items()} if isinstance(value, dict) else value

    @field_validator("columns")
    @classmethod
    def _columns_fit_together(cls, columns: dict[str, ColumnSettings]) -> Any:
        for name in columns:
            if name in RESERVED:
                raise ValueError(f"`{name}` is a name that the tables use; rename the column")
            if not name.strip() and columns[name].role != "ignore":
                raise ValueError("a column without a name cannot be used; give it role: ignore")
        stored = [n for n, c in columns.items() if c.role != "ignore"]
        folded = [n.casefold() for n in stored]
        for name in stored:
            if folded.count(name.casefold()) > 1:
                raise ValueError(
                    f"`{name}` differs from another column by case only, which tables cannot "
                    "hold; give all but one of them role: ignore"
                )
        for role in ("label", "time"):
            names = [n for n, c in columns.items() if c.role == role]
            if len(names) > 1:
                raise ValueError(
                    f"only one column can have role {role}, these have it: {', '.join(names)}; "
                    "give the others role: ignore"
                )
        if not any(c.role in FEATURES for c in columns.values()):
            raise ValueError("no column has role numeric, categorical or binary: nothing to learn")
        return columns

    @field_validator("image")
    @classmethod
    def _columns_make_up_the_image(cls, shape: tuple[int, ...] | None, info: Any) -> Any:
        if shape is None or "columns" not in info.data:
            return shape
        if len(shape) not in (2, 3) or min(shape) < 1 or shape[2:] not in ((), (1,), (3,)):
            raise ValueError(
                f"an image is [lines, columns] or, with channels, [lines, columns, 3], "
                f"not {list(shape)}"
            )
        roles = [c.role for c in info.data["columns"].values() if c.role in FEATURES]
        if len(roles) != math.prod(shape) or set(roles) != {"numeric"}:
            raise ValueError(
                f"{list(shape)} needs {math.prod(shape):,} columns of role numeric and no other "
                f"features, there are {roles.count('numeric'):,} numeric ones of {len(roles):,}"
            )
        return shape

    @property
    def features(self) -> list[str]:
        """Names of the columns that the model sees, in the config's order."""
        return [n for n, c in self.columns.items() if c.role in FEATURES]

    @property
    def feature_columns(self) -> dict[str, ColumnSettings]:
        """Settings of the columns that the model sees, in the config's order."""
        return {n: self.columns[n] for n in self.features}

    @property
    def label(self) -> str | None:
        """The label column, if there is one; never a feature."""
        return next((n for n, c in self.columns.items() if c.role == "label"), None)

    @property
    def time(self) -> str | None:
        """The event-time column, if there is one."""
        return next((n for n, c in self.columns.items() if c.role == "time"), None)

    @property
    def ids(self) -> list[str]:
        """The id columns; together they name a row."""
        return [n for n, c in self.columns.items() if c.role == "id"]

    @property
    def stored(self) -> list[str]:
        """Columns kept in the `ingested` table: all but the ignored ones."""
        return [n for n, c in self.columns.items() if c.role != "ignore"]

    @property
    def source_path(self) -> str:
        """`source.path` made absolute; a relative one starts at the config file's folder."""
        written = Path(self.source.path).expanduser()
        return os.path.abspath(self.path.parent / written)  # noqa: PTH100 (keeps links, globs)

    def with_source(self, path: str | Path) -> Config:
        """The same config reading another file, folder or glob (relative to the current folder)."""
        absolute = os.path.abspath(Path(path).expanduser())  # noqa: PTH100
        return self.model_copy(update={"source": self.source.model_copy(update={"path": absolute})})


def load_config(path: str | Path) -> Config:
    """Read and check a config.

    Raises:
        ConfigError: missing or unreadable file, unknown key (with the nearest known one), wrong
            value; all problems at once, each with its key.
    """
    file = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100
    content = read_yaml(file)
    if not isinstance(content, dict):
        raise ConfigError(
            f"{file} holds no settings",
            hint="A config starts with `name:`, `source:` and `columns:`; "
            "`vae-anomaly init DATA` writes one.",
        )
    if "path" in content:
        raise ConfigError(
            f"{file}: unknown key `path`; did you mean `source.path`?",
            hint="Mend the file and run again.",
        )
    try:
        config = Config.model_validate({**content, "path": file})
    except ValidationError as error:
        problems = [_explain(dict(one)) for one in error.errors()]
        listed = problems[0] if len(problems) == 1 else "".join(f"\n  - {p}" for p in problems)
        raise ConfigError(f"{file}: {listed}", hint="Mend the file and run again.") from None
    _check_names(config)
    return config


def _explain(error: dict[str, Any]) -> str:
    location = [str(part) for part in error["loc"]]
    key = ".".join(location).strip()
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        advice = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
        return f"unknown key `{key}`; {advice}"
    if error["type"] == "missing":
        return f"`{key}` is missing"
    if key == "name" and error["type"] == "string_pattern_mismatch":
        return f"`name` is {error['input']!r}; use small letters, digits and dashes only"
    if error["type"] == "literal_error":
        near = difflib.get_close_matches(str(error["input"]), re.findall(r"'(\w+)'", message), n=1)
        message += f" (did you mean {near[0]!r}?)" if near else ""
    got = "" if error["type"] == "value_error" else f", got {error['input']!r}"
    return f"`{key}`: {message[:1].lower()}{message[1:]}{got}"


def _known_keys(location: list[str]) -> list[str]:
    """Keys that the section at `location` has."""
    section: type[BaseModel] = Config
    for part in location:
        if section is ColumnSettings or part not in section.model_fields:
            section = ColumnSettings
            continue
        annotation = section.model_fields[part].annotation
        inner = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type)]
        section = next((a for a in inner if issubclass(a, BaseModel)), section)
    return [k for k in section.model_fields if k != "path" or section is not Config]


def _check_names(config: Config) -> None:
    """Model, method and score exist; the lists are only loaded for names that are not default."""
    default = {k: f.default for k, f in ThresholdSettings.model_fields.items()}
    if config.model.variant != ModelSettings.model_fields["variant"].default:
        from vae_core.models import MODELS

        _check_name(config, "model.variant", config.model.variant, MODELS)
    parameters = config.threshold.model_dump(exclude={"score", "method", "alpha"})
    given = {name: value for name, value in parameters.items() if value is not None}
    if config.threshold.method != default["method"] or set(given) - {"conditional_delta"}:
        _check_threshold(config, given)
    if config.threshold.score != default["score"]:
        from vae_core import SCORE_KINDS

        _check_name(config, "threshold.score", config.threshold.score, SCORE_KINDS)
    if config.model.variant != ModelSettings.model_fields["variant"].default:
        _check_score(config)


def _check_threshold(config: Config, given: dict[str, Any]) -> None:
    """The method exists, takes the parameters given, and has the labels that it needs."""
    from pipeline.thresholds import THRESHOLDS, check_parameters, needs_labels

    method = config.threshold.method
    if method == "conformal_fdr":
        raise ConfigError(
            f"{config.path}: `threshold.method`: FDR control decides over a closed night, it is no "
            "threshold of a model",
            hint="Write `threshold: {method: conformal}` and `alerts: {fdr: true}`.",
        )
    _check_name(config, "threshold.method", method, THRESHOLDS)
    try:
        check_parameters(method, given)
    except ValueError as error:
        raise ConfigError(
            f"{config.path}: `threshold`: {error}", hint="Mend the file and run again."
        ) from None
    if needs_labels(method) and config.label is None:
        raise ConfigError(
            f"{config.path}: `threshold.method`: {method} chooses by labels, and no column has "
            "role label",
            hint="Give the label column `role: label` with its `normal` value, or choose another "
            "method.",
        )


def _check_score(config: Config) -> None:
    """The model has what the score is made of."""
    from vae_core import check_score_kind
    from vae_core.models import MODELS

    variant = config.model.variant
    try:
        check_score_kind(config.threshold.score, MODELS[variant].has_elbo, variant)
    except ValueError as error:
        raise ConfigError(
            f"{config.path}: `threshold.score`: {error}", hint="Mend the file and run again."
        ) from None


def _check_name(config: Config, key: str, name: str, known: Any) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=1)
        raise ConfigError(
            f"{config.path}: `{key}`: {name!r} is not known; known: {', '.join(known)}",
            hint=f"Did you mean {near[0]!r}?" if near else "Mend the file and run again.",
        )
