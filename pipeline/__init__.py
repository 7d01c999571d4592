"""Everything about data, thresholds, quality, registry and reports.

Where what is:

- config: config, settings, yamlfile, home, errors; guesses and inference write one from data
- files in: sources, readers, values, schema, row_checks, spool, ledger, ingest, ingest_result
- tables: tables, evolution, lake, commits, frames, sampling, split
- model: preprocess, fitting, thresholds, guarantee, detector
- train and calibrate: training, calibration, trial, gates, comparison, synthetic, evaluate, quality
- tune: tuning
- MLflow: mlflow_store, tracking, provenance, versions, registry, packaging, model_code
- a night: nights, scoring, tally, explain, finishing, recording
- looks at a whole night: decision, fdr, covariate_shift, drift
- shown to people: report, brief, verdict, sketches, templates, figures, heatmap, canvas, progress
- command line: cli
"""

from typing import Any

__all__ = ["VAEDetector"]


def __getattr__(name: str) -> Any:
    # the estimator imports torch and scikit-learn: seconds that a command's --help need not wait
    if name == "VAEDetector":
        from pipeline.detector import VAEDetector

        return VAEDetector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
