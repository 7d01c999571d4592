"""The sections of a config."""

from __future__ import annotations

from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from pipeline.values import canonical

Role = Literal[
    "numeric", "categorical", "binary", "image", "condition", "id", "time", "label", "ignore"
]  # fmt: skip


class Section(BaseModel):
    """A part of the config: unknown keys are errors, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnSettings(Section):
    """What one column of the data is."""

    role: Role
    nullable: bool = False
    timezone: str | None = Field(None, description="of time stamps that carry no UTC offset")
    normal: tuple[str, ...] | None = Field(None, description="label values that mean normal")
    values: tuple[str, ...] | None = Field(None, description="the two values of a binary column")
    shape: tuple[int, ...] | None = Field(
        None, description="height and width of an image, and 3 where it is coloured"
    )

    @property
    def may_be_missing(self) -> bool:
        """Whether a cell without a value is no reason to refuse its row; of a label it never is."""
        return self.nullable or self.role == "label"

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
        owners = {"timezone": "time", "normal": "label", "values": "binary", "shape": "image"}
        for key, role in owners.items():
            if getattr(self, key) is not None and self.role != role:
                raise ValueError(f"`{key}` belongs to role {role}, this column is {self.role}")
        if self.role == "label" and not self.normal:
            raise ValueError("a label needs `normal`: the value (or values) that mean normal")
        if self.role == "image":
            self._check_image()
        if self.values is not None and len(set(self.values)) != 2:
            raise ValueError(f"a binary column has two values, got {list(self.values)}")
        return self

    def _check_image(self) -> None:
        shape = self.shape
        if shape is None:
            raise ValueError(
                "an image needs `shape`: [height, width] in pixels, or [height, width, 3] with "
                "colours"
            )
        if len(shape) not in (2, 3) or min(shape) < 1 or shape[2:] not in ((), (1,), (3,)):
            raise ValueError(
                f"`shape` is [height, width] or, with colours, [height, width, 3], not "
                f"{list(shape)}"
            )
        if self.nullable:
            raise ValueError(
                "an image cannot be missing; leave `nullable` out (such rows go to quarantine)"
            )


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
    members: int = Field(2, ge=1, description="networks trained side by side; scores are means")
    denoisers: int | None = Field(
        None, ge=0, description="members that learn to denoise; null: half of them"
    )
    latent_dim: int | None = Field(None, ge=1, description="latent size; null chooses one")
    hidden: tuple[int, ...] = Field((128, 128), description="hidden widths, multiples of 8")
    activation: Literal["silu", "relu"] = Field(
        "silu", description="between the layers of mlp; relu scores faster"
    )
    draws: int = Field(4, ge=1, description="points for the ELBO's expectation; 1 or even")
    weighted_draws: int = Field(
        64, ge=2, multiple_of=2, description="points for score importance_weighted; even"
    )
    learned_variance: bool = Field(True, description="false: variance 1, the MSE loss")
    network: str = Field("mlp", description="mlp, or conv for pictures")
    channels: tuple[int, ...] = Field((32, 64), description="widths of conv, multiples of 8")
    blocks: int = Field(1, ge=0, description="residual blocks of conv at each width")
    pixels: str = Field(
        "gaussian",
        description="likelihood of a picture's pixels: gaussian, continuous_bernoulli, "
        "logistic_mixture, bernoulli (binary pictures), or the loss bce",
    )
    numeric: str = Field(
        "gaussian", description="likelihood of numeric columns; student_t: for heavy tails"
    )
    prior: str = Field("normal", description="of the latent; see vae_core/priors")
    components: int = Field(64, ge=1, description="of prior vamp, or of mixture at most")
    couplings: int = Field(4, ge=1, description="layers of a flow, prior or posterior")
    categories: int = Field(10, ge=2, description="discrete: values of each latent")
    straight_through: bool = Field(
        True, description="discrete: train on hard codes; else on relaxed ones"
    )
    temperature: tuple[PositiveFloat, PositiveFloat] = Field(
        (1.0, 0.3), description="discrete: of relaxed codes, first and last in training"
    )
    ladder: tuple[PositiveInt, ...] = Field(
        (), description="hierarchical: layers' widths, at least 2; empty chooses them"
    )

    @field_validator("hidden", "channels")
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

    @model_validator(mode="after")
    def _somebody_is_left_for_the_elbo(self) -> Self:
        if self.denoisers is not None and self.denoisers >= self.members:
            raise ValueError(
                f"`denoisers` must be fewer than the {self.members} members, got {self.denoisers}"
            )
        return self


# of `TrainSettings`: which rows train, which is no business of the core
READING = {"rows", "stream"}


class TrainSettings(Section):
    """How the model is trained: the fields of `vae_core.TrainConfig`, and `READING`."""

    rows: int = Field(2_000_000, ge=100, description="training rows in memory at most")
    stream: bool = Field(
        False, description="more training rows are read in turn; false: a uniform sample is taken"
    )

    beta: float = Field(1.0, ge=0, description="weight of the KL while training")
    denoiser_beta: float = Field(0.1, ge=0, description="the same for members that denoise")
    free_bits: float = Field(0.0, ge=0, description="nats per latent that cost nothing")
    capacity: float | None = Field(
        None, ge=0, description="nats the KL is held at, beta weighing the distance"
    )
    total_correlation: float = Field(0.0, ge=0, description="its weight beside the KL")
    adversarial: float = Field(1.0, ge=0, description="weight of the discriminator's term: vae_gan")
    warmup: float = Field(0.1, ge=0, le=1, description="share of steps over which beta rises")
    cycles: int = Field(1, ge=1, description="how often beta rises; above 1: cyclical warm-up")
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
    forget: float = Field(
        0.0, ge=0, lt=1, description="share of training rows, the oddest, not measured to"
    )
    binarise: bool = Field(False, description="pixels are drawn as 0 or 1 at every sight")
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="of the networks; auto: bf16 where it helps"
    )
    checkpoint_minutes: float = Field(
        5.0, ge=0, description="between two times that an interrupted training can go on from"
    )


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


class Engine(Section):
    """Where files are checked and the rows of a night are scored."""

    kind: Literal["local", "dask"] = Field(
        "local", description="dask (extra `dask`): the flows have workers check files and score"
    )
    address: str | None = Field(
        None, description="of a Dask scheduler; null: workers of the flow's own, on its machine"
    )
    workers: int | None = Field(None, ge=1, description="how many of these; null: one for a core")
    piece_rows: int = Field(500_000, ge=1, description="rows that one worker is given at a time")
    file_bytes: int = Field(
        16 << 20, ge=0, description="smaller files are read by the run itself: a task costs more"
    )

    @model_validator(mode="after")
    def _one_cluster(self) -> Self:
        if self.address is not None and self.workers is not None:
            raise ValueError(
                "`address` is of a cluster that is there, `workers` of one that is made: give one"
            )
        if self.kind == "local" and (self.address or self.workers):
            raise ValueError("`address` and `workers` are of Dask: write `kind: dask` too")
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
