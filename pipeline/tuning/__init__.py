"""Search of settings without labels: what is varied, by what it is judged, how it is recorded."""

from pipeline.tuning.study import TuneResult, TuningError, tune

__all__ = ["TuneResult", "TuningError", "tune"]
