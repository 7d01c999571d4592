"""The VAE: models, ELBO, training, scoring. Needs torch, numpy and safetensors, nothing else."""

from .additive import ColumnStatistics, column_statistics
from .batches import Stream
from .calibration import NotCalibratedError, Threshold, conformal_cut, conformal_rank, p_values
from .canonical import canonical, is_missing
from .columns import (
    BinaryColumn,
    CategoricalColumn,
    Column,
    ConditionColumn,
    ImageColumn,
    NumericColumn,
)
from .constants import ConstantColumn
from .device import choose_device
from .diagnostics import diagnose
from .distributed import ALONE, Team, joined, under_torchrun
from .encoding import Encoding
from .heat import Heat
from .importance import ImportanceBound, importance_weighted_log_prob
from .joining import JOINS, SCORE_KINDS, robust_scale
from .models import MODELS, ModelConfig, build_model
from .neighbours import Neighbours
from .pictures import read_pictures, size_in_words
from .references import References
from .scorer import (
    Explanation,
    RawScores,
    Scorer,
    check_score_kind,
    check_score_of,
)
from .train import TrainConfig, TrainResult, train
from .weighted import Weighted, fit_weighted

__all__ = [
    "ALONE",
    "JOINS",
    "MODELS",
    "SCORE_KINDS",
    "BinaryColumn",
    "CategoricalColumn",
    "Column",
    "ColumnStatistics",
    "ConditionColumn",
    "ConstantColumn",
    "Encoding",
    "Explanation",
    "Heat",
    "ImageColumn",
    "ImportanceBound",
    "ModelConfig",
    "Neighbours",
    "NotCalibratedError",
    "NumericColumn",
    "RawScores",
    "References",
    "Scorer",
    "Stream",
    "Team",
    "Threshold",
    "TrainConfig",
    "TrainResult",
    "Weighted",
    "build_model",
    "canonical",
    "check_score_kind",
    "check_score_of",
    "choose_device",
    "column_statistics",
    "conformal_cut",
    "conformal_rank",
    "diagnose",
    "fit_weighted",
    "importance_weighted_log_prob",
    "is_missing",
    "joined",
    "p_values",
    "read_pictures",
    "robust_scale",
    "size_in_words",
    "train",
    "under_torchrun",
]
