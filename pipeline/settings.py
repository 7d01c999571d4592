"""The `model` and `training` sections of a config; they mirror the core's own settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of the config: unknown keys are errors, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(Section):
    """Shape of the model."""

    variant: str = Field("vae", description="which model; see vae_core/models")
    members: int = Field(4, ge=1, description="networks trained side by side; scores are means")
    latent_dim: int | None = Field(None, ge=1, description="latent size; null chooses one")
    hidden: tuple[int, ...] = Field((128, 128), description="widths of the hidden layers")


class TrainSettings(Section):
    """How the model is trained."""

    batch_size: int = Field(128, ge=1, description="rows per member and step")
    max_epochs: int = Field(400, ge=1, description="passes over the training rows at most")
    max_steps: int = Field(2000, ge=1, description="steps at most")
    patience: int = Field(10, ge=1, description="evaluations without progress before stopping")
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    beta: float = Field(1.0, ge=0, description="weight of the KL term while training")
    free_bits: float = Field(0.0, ge=0, description="nats per latent that cost nothing")
