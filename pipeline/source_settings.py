"""Where rows come from: the section `source` of a config."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.credentials import holds_secret, secret_options
from pipeline.settings import Section

SOURCES = ("path", "sql", "delta")


class SqlSource(Section):
    """Rows of a database table or query, read on from the greatest watermark so far."""

    url: str = Field(min_length=1, description="SQLAlchemy URL; `${NAME}` is read when connecting")
    table: str | None = Field(None, min_length=1, description="a table, or SCHEMA.TABLE")
    query: str | None = Field(None, min_length=1, description="a SELECT, in place of a table")
    watermark: str = Field(min_length=1, description="a column that grows with each new row")
    lookback: float = Field(
        0,
        ge=0,
        allow_inf_nan=False,
        description="how far below the watermark late rows are looked for: seconds of a time "
        "stamp, days of a date, else the number itself",
    )

    @model_validator(mode="before")
    @classmethod
    def _is_a_section(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            # said here, since the general message would quote a URL with its password
            raise ValueError("write the keys `url`, `table` (or `query`) and `watermark` below it")
        return value

    @field_validator("url", mode="before")
    @classmethod
    def _without_password(cls, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError("expected text such as postgresql://reader:${PASSWORD}@host/shop")
        if holds_secret(value):
            raise ValueError(
                "holds a password; write the name of an environment variable in its place, such "
                "as postgresql://reader:${SHOP_PASSWORD}@host/shop"
            )
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("give either `table` or `query`")
        return self


class DeltaSource(Section):
    """Rows that are appended to a Delta table, version after version."""

    path: str = Field(min_length=1, description="folder or URI of the table")
    skip_changes: bool = Field(
        False, description="pass over versions that delete or rewrite rows, with all they hold"
    )


class Source(Section):
    """Where rows come from: exactly one of `path`, `sql`, `delta`."""

    path: str | None = Field(None, min_length=1, description="file, folder or glob; or a URI")
    sql: SqlSource | None = None
    delta: DeltaSource | None = None
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="of the store that a URI names; `${NAME}` is read when it is opened",
    )
    format: Literal["auto", "csv", "parquet", "jsonl", "npz", "picture"] = "auto"
    encoding: str = Field("utf-8", description="of CSV and JSON lines")
    delimiter: str = Field(",", min_length=1, max_length=1, description="of CSV")
    allow_same_content: bool = Field(
        False, description="ingest a file whose content is already there under another name"
    )
    unique_id_history: bool = Field(
        False, description="refuse ids that earlier files hold, not only repeats within a file"
    )

    @field_validator("path", mode="before")
    @classmethod
    def _without_password(cls, value: Any) -> Any:
        if isinstance(value, str) and holds_secret(value):
            raise ValueError("holds a password; give it in `source.options`, as `${NAME}`")
        return value

    @field_validator("options")
    @classmethod
    def _without_secrets(cls, value: dict[str, Any]) -> dict[str, Any]:
        if found := secret_options(value):
            raise ValueError(
                f"holds secrets ({', '.join(found)}); write the names of environment variables in "
                f"their place, such as {found[0]}: ${{NAME}}"
            )
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except LookupError:
            raise ValueError(f"{value!r} is not an encoding; try utf-8 or latin-1") from None
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        given = [f"`{name}`" for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"{' and '.join(given)} exclude each other"
                if given
                else "say where rows come from: `path` (files), `sql` (a database) or `delta`"
            )
        return self

    @property
    def kind(self) -> str:
        """Which of `SOURCES` is given."""
        return next(name for name in SOURCES if getattr(self, name) is not None)
