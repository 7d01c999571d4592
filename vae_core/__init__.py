"""The VAE: models, ELBO, training, scoring. Needs torch, numpy and safetensors, nothing else."""

from .additive import ColumnStatistics, column_statistics
from .calibration import NotCalibratedError, Threshold, conformal_cut, conformal_rank, p_values
from .canonical import canonical
from .columns import BinaryColumn, CategoricalColumn, Column, Encoding, NumericColumn
from .constants import ConstantColumn
from .device import choose_device
from .diagnostics import diagnose
from .joining import JOINS, SCORE_KINDS, robust_scale
from .models import MODELS, ModelConfig, build_model
from .neighbours import Codes
from .scorer import (
    Explanation,
    RawScores,
    Scorer,
    check_score_kind,
)
from .train import TrainConfig, TrainResult, train

__all__ = [
    "JOINS",
    "MODELS",
    "SCORE_KINDS",
    "BinaryColumn",
    "CategoricalColumn",
    "Codes",
    "Column",
    "ColumnStatistics",
    "ConstantColumn",
    "Encoding",
    "Explanation",
    "ModelConfig",
    "NotCalibratedError",
    "NumericColumn",
    "RawScores",
    "Scorer",
    "Threshold",
    "TrainConfig",
    "TrainResult",
    "build_model",
    "canonical",
    "check_score_kind",
    "choose_device",
    "column_statistics",
    "conformal_cut",
    "conformal_rank",
    "diagnose",
    "p_values",
    "robust_scale",
    "train",
]
