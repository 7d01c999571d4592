"""How well a model reconstructs and generates rows."""

from pipeline.quality.figure import GUIDE, Figure, Quality
from pipeline.quality.measure import Measured, measure_quality
from pipeline.quality.reconstruction import reconstruction_quality
from pipeline.quality.tables import METRICS, generation_quality

__all__ = [
    "GUIDE",
    "METRICS",
    "Figure",
    "Measured",
    "Quality",
    "generation_quality",
    "measure_quality",
    "reconstruction_quality",
]
