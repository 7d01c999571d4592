"""The sections of a config."""

from __future__ import annotations

from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.values import canonical

Role = Literal["numeric", "categorical", "binary", "id", "time", "label", "ignore"]


class Section(BaseModel):
    """A part of the config: unknown keys are errors, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Section):
    """Where rows come from."""

    path: str = Field(min_length=1, description="a file, a folder or a glob")
    format: Literal["auto", "csv", "parquet", "jsonl"] = "auto"
    encoding: str = Field("utf-8", description="of CSV and JSON lines")
    delimiter: str = Field(",", min_length=1, max_length=1, description="of CSV")
    allow_same_content: bool = Field(
        False, description="ingest a file whose content is already there under another name"
    )
    unique_id_history: bool = Field(
        False, description="refuse ids that earlier files hold, not only repeats within a file"
    )

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except LookupError:
            raise ValueError(f"{value!r} is not an encoding; try utf-8 or latin-1") from None
        return value


class ColumnSettings(Section):
    """What one column of the data is."""

    role: Role
    nullable: bool = False
    timezone: str | None = Field(None, description="of time stamps that carry no UTC offset")
    normal: tuple[str, ...] | None = Field(None, description="label values that mean normal")
    values: tuple[str, ...] | None = Field(None, description="the two values of a binary column")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        return _check_zone(value)

    @field_validator("normal", "values", mode="before")
    @classmethod
    def _as_texts(cls, value: Any) -> Any:
        if value is None:
            return None
        many = value if isinstance(value, (list, tuple)) else [value]
        return tuple(canonical(v) for v in many)

    @model_validator(mode="after")
    def _fits_role(self) -> Self:
        owners = {"timezone": "time", "normal": "label", "values": "binary"}
        for key, role in owners.items():
            if getattr(self, key) is not None and self.role != role:
                raise ValueError(f"`{key}` belongs to role {role}, this column is {self.role}")
        if self.role == "label" and not self.normal:
            raise ValueError("a label needs `normal`: the value (or values) that mean normal")
        if self.values is not None and len(set(self.values)) != 2:
            raise ValueError(f"a binary column has two values, got {list(self.values)}")
        return self


class SplitSettings(Section):
    """Which share of the rows up to `until` trains, stops early, and calibrates."""

    train: float = Field(0.7, gt=0, lt=1)
    validation: float = Field(0.1, gt=0, lt=1)
    calibration: float = Field(0.2, gt=0, lt=1)
    until: int | None = Field(None, ge=3, description="last row id used; null: all present")

    @model_validator(mode="after")
    def _is_a_share(self) -> Self:
        total = self.train + self.validation + self.calibration
        if total > 1 + 1e-9:
            raise ValueError(f"train + validation + calibration = {total:g}, must be at most 1")
        return self


class ModelSettings(Section):
    """Shape of the model; the fields of `vae_core.ModelConfig`."""

    variant: str = Field("vae", description="which model; see vae_core/models")
    members: int = Field(4, ge=1, description="networks trained side by side; scores are means")
    denoisers: int | None = Field(
        None, ge=0, description="members that learn to denoise; null: half of them"
    )
    latent_dim: int | None = Field(None, ge=1, description="latent size; null chooses one")
    hidden: tuple[int, ...] = Field((128, 128), description="hidden widths, multiples of 8")
    draws: int = Field(4, ge=1, description="points for the ELBO's expectation; 1 or even")
    learned_variance: bool = Field(True, description="false: variance 1, the MSE loss")

    @field_validator("hidden")
    @classmethod
    def _widths_fill_registers(cls, widths: tuple[int, ...]) -> tuple[int, ...]:
        if any(width < 8 or width % 8 for width in widths):
            raise ValueError(f"widths must be multiples of 8, {list(widths)} are not")
        return widths

    @field_validator("draws")
    @classmethod
    def _draws_come_in_pairs(cls, draws: int) -> int:
        if draws > 1 and draws % 2:
            raise ValueError(
                f"must be 1 or even, since draws come in antithetic pairs, not {draws}"
            )
        return draws


class TrainSettings(Section):
    """How the model is trained; the fields of `vae_core.TrainConfig`."""

    beta: float = Field(1.0, ge=0, description="weight of the KL while training")
    denoiser_beta: float = Field(0.1, ge=0, description="the same for members that denoise")
    free_bits: float = Field(0.0, ge=0, description="nats per latent that cost nothing")
    warmup: float = Field(0.1, ge=0, le=1, description="share of steps over which beta rises")
    noise: float = Field(0.0, ge=0, description="noise on numeric inputs, scaled units")
    denoiser_noise: float = Field(0.3, ge=0, description="the same for members that denoise")
    drop: float = Field(0.05, ge=0, lt=1, description="share of input cells hidden")
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    batch_size: int = Field(128, ge=1, description="rows per member and step")
    max_epochs: int = Field(400, ge=1, description="passes over the training rows at most")
    max_steps: int = Field(1000, ge=1, description="steps at most")
    patience: int = Field(10, ge=1, description="evaluations without progress before stopping")
    clip_norm: float = Field(50.0, gt=0, description="largest gradient norm per member")
    trim: float = Field(0.0, ge=0, lt=1, description="share of each batch, its worst, left out")
    precision: Literal["auto", "fp32"] = Field("auto", description="auto: bf16 where it helps")


class ThresholdSettings(Section):
    """What is flagged."""

    score: str = "combined"
    method: str = "conformal"
    alpha: float = Field(0.05, gt=0, lt=1, description="promised false-positive rate")
    conditional_delta: float | None = Field(
        None, gt=0, lt=1, description="conformal: promise it for all but this share of draws"
    )
    peaks: int | None = Field(None, ge=30, description="pot: largest scores that make the tail")
    f_beta: float | None = Field(None, gt=0, description="best_f1: weight of recall; null: 1")


class AlertSettings(Section):
    """What a closed night reports."""

    fdr: bool = Field(False, description="alerts: Benjamini-Hochberg over the night")
    covariate_shift: bool = Field(
        False, description="alerts: calibration rows weighted as the night's mix of rows asks for"
    )
    drift_level: float | None = Field(
        0.001, gt=0, lt=1, description="false alarms of the drift test per night; null: no test"
    )
    expected_anomaly_share: float = Field(0.0, ge=0, lt=1)
    reasons: int = Field(3, ge=1, description="columns named for each alert at most")
    report_rows: int = Field(50, ge=1, description="alerts on the report's page at most")

    @model_validator(mode="after")
    def _one_decision(self) -> Self:
        if self.fdr and self.covariate_shift:
            raise ValueError(
                "`fdr` and `covariate_shift` exclude each other: Benjamini-Hochberg is not known "
                "to hold its rate on weighted p-values"
            )
        return self


class RowRange(Section):
    """Rows `first` to `last`, both included, by `_row_id`."""

    first: int = Field(ge=1)
    last: int = Field(ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"first = {self.first} lies after last = {self.last}")
        return self


class Schedule(Section):
    """When the flows run; cron lines, null for never."""

    ingest: str | None = "0 1 * * *"
    score: str | None = "0 2 * * *"
    retrain: str | None = "0 3 * * 0"
    timezone: str = "UTC"

    @field_validator("ingest", "score", "retrain")
    @classmethod
    def _five_fields(cls, value: str | None) -> str | None:
        if value is not None and len(value.split()) != 5:
            raise ValueError(f"{value!r} is not a cron line of five fields such as '0 2 * * *'")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return _check_zone(value) or "UTC"


def _check_zone(value: str | None) -> str | None:
    if value is not None:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f"{value!r} is not a time zone; expected a name such as Europe/Berlin or UTC"
            ) from None
    return value
