"""The `model` and `training` sections of a config; they mirror the core's own settings."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of the config: unknown keys are errors, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(Section):
    """Shape of the model; the fields of `vae_core.ModelConfig`."""

    variant: str = Field("vae", description="which model; see vae_core/models")
    members: int = Field(4, ge=1, description="networks trained side by side; scores are means")
    latent_dim: int | None = Field(None, ge=1, description="latent size; null chooses one")
    hidden: tuple[int, ...] = Field((128, 128), description="hidden widths, multiples of 8")
    draws: int = Field(4, ge=1, description="points for the ELBO's expectation; 1 or even")
    learned_variance: bool = Field(True, description="false: variance 1, the MSE loss")


class TrainSettings(Section):
    """How the model is trained; the fields of `vae_core.TrainConfig`."""

    beta: float = Field(1.0, ge=0, description="weight of the KL while training")
    free_bits: float = Field(0.0, ge=0, description="nats per latent that cost nothing")
    warmup: float = Field(0.1, ge=0, le=1, description="share of steps over which beta rises")
    noise: float = Field(0.0, ge=0, description="noise on numeric inputs, scaled units")
    drop: float = Field(0.05, ge=0, lt=1, description="share of input cells hidden")
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    batch_size: int = Field(128, ge=1, description="rows per member and step")
    max_epochs: int = Field(400, ge=1, description="passes over the training rows at most")
    max_steps: int = Field(2000, ge=1, description="steps at most")
    patience: int = Field(10, ge=1, description="evaluations without progress before stopping")
    clip_norm: float = Field(50.0, gt=0, description="largest gradient norm per member")
    precision: Literal["auto", "fp32"] = Field("auto", description="auto: bf16 where it helps")
