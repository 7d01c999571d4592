"""Everything about data, thresholds, quality, registry and reports.

Where what is:

- config: config, config_checks, settings, limits, source_settings, credentials, yamlfile
- where things lie, and what goes wrong: home, errors
- config from data: inference, sample, guesses, picture_guesses
- rows in: ingest, ingest_result, ingest_files, ingest_pictures, sources, files, readers
- rows from a database: ingest_sql, stream_state, known_rows, databases
- rows from Delta tables: ingest_delta, delta_source
- rows checked: sifting, staged_files, values, pictures, schema, row_checks, spool, ledger
- tables: tables, evolution, lake, commits, stores, frames, sampling, split
- model: preprocess, fitting, thresholds, guarantee
- estimator: detector, detector_input, detector_output, detector_generation
- rows that a model makes: making, gallery
- train: training, material, checkpoints, team
- calibrate: calibration, labels, admission, gates, comparison, evaluate
- made-up anomalies: synthetic, synthetic_pictures
- how good a model is: quality, review
- tune: tuning
- MLflow: mlflow_store, tracking, provenance, versions, registry, packaging, model_code
- a night: nights, scoring, ahead, staging, rescoring, tally, explain, finishing, recording
- looks at a whole night: decision, fdr, covariate_shift, drift
- shown to people: report, brief, made, verdict, sketches, templates, figures, heatmap, canvas
- in words: sentences, wording
- shown while it works: progress
- command line: cli
- health: checks, probe
"""

from typing import Any

__all__ = ["VAEDetector"]


def __getattr__(name: str) -> Any:
    # the estimator imports torch and scikit-learn: seconds that a command's --help need not wait
    if name == "VAEDetector":
        from pipeline.detector import VAEDetector

        return VAEDetector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
