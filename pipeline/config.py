"""The config: one YAML file per data set, checked when read; a typo is an error that names it."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, Field, ValidationError, field_validator

from pipeline.config_checks import check_config
from pipeline.credentials import masked
from pipeline.errors import ConfigError
from pipeline.settings import (
    AlertSettings,
    ColumnSettings,
    Engine,
    ModelSettings,
    RowRange,
    Schedule,
    Section,
    SplitSettings,
    ThresholdSettings,
    TrainSettings,
)
from pipeline.source_settings import Source
from pipeline.yamlfile import read_yaml

FEATURES = ("numeric", "categorical", "binary", "image")  # what a score is made of
READ = (*FEATURES, "condition")
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
    schedule: Schedule = Schedule.model_validate({})
    engine: Engine = Engine.model_validate({})
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
            raise ValueError(
                "no column has role numeric, categorical, binary or image: nothing to learn"
            )
        images = [n for n, c in columns.items() if c.role == "image"]
        beside = [n for n, c in columns.items() if c.role in FEATURES and n not in images]
        if len(images) + len(beside) > 1 and images:
            others = [*images[1:], *beside]
            raise ValueError(
                f"`{images[0]}` is an image, which must be the only column to learn from; give "
                f"role ignore to {_some(others)}, or role condition to what is known of a picture"
            )
        return columns

    @property
    def features(self) -> list[str]:
        """Names of the columns that the model reads, conditions too, in the config's order."""
        return [n for n, c in self.columns.items() if c.role in READ]

    @property
    def feature_columns(self) -> dict[str, ColumnSettings]:
        """Settings of the columns that the model reads, in the config's order."""
        return {n: self.columns[n] for n in self.features}

    @property
    def image(self) -> str | None:
        """The column of pictures, if there is one."""
        return next((n for n, c in self.columns.items() if c.role == "image"), None)

    @property
    def conditions(self) -> list[str]:
        """Columns that a conditional model is told, in the config's order."""
        return [n for n, c in self.columns.items() if c.role == "condition"]

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
        """Where the source's files or Delta table lie; its `table` or "query" in a database.

        A URI stays as it is; a relative path starts at the config file's folder.
        """
        if self.source.sql:
            return self.source.sql.table or "query"
        written = self.source.delta.path if self.source.delta else self.source.path
        assert written is not None  # one of the three is given
        return absolute(written, self.path.parent)

    def with_source(self, path: str | Path) -> Config:
        """The same config reading another file, folder or glob (relative to the current folder)."""
        there = {"path": absolute(str(path), Path.cwd()), "sql": None, "delta": None}
        return self.model_copy(update={"source": self.source.model_copy(update=there)})


def absolute(place: str, folder: Path) -> str:
    """A URI as it is; a path made absolute from `folder`, with its links and globs."""
    if place.startswith("file://"):
        place = unquote(urlsplit(place).path)
    if is_uri(place):
        return place
    return os.path.abspath(folder / Path(place).expanduser())  # noqa: PTH100


def is_uri(place: str) -> bool:
    """Whether a place is a URI such as s3://bucket/folder, and no path."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", place))


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
    check_config(config)
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
    return masked(f"`{key}`: {message[:1].lower()}{message[1:]}{got}")


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


def _some(names: list[str], most: int = 5) -> str:
    listed = ", ".join(f"`{name}`" for name in names[:most])
    more = len(names) - most
    return listed + (f" and {more:,} more" if more > 0 else "")
