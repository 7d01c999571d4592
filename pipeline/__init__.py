"""Everything about data, thresholds, quality, registry and reports."""

from typing import Any

__all__ = ["VAEDetector"]


def __getattr__(name: str) -> Any:
    # the estimator imports torch and scikit-learn: seconds that a command's --help need not wait
    if name == "VAEDetector":
        from pipeline.detector import VAEDetector

        return VAEDetector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
