"""How well a model reconstructs and generates rows."""

from pipeline.quality.reconstruction import reconstruction_quality
from pipeline.quality.tables import METRICS, generation_quality

__all__ = ["METRICS", "generation_quality", "reconstruction_quality"]
