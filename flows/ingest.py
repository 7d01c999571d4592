"""The `ingest` flow: take what arrived at the source into the data set's tables."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

from prefect import flow, get_run_logger, task

from flows.artifacts import publish
from flows.engines import ENGINES
from flows.runs import RETRIED, progress_artifact, readable_failure
from pipeline.config import load_config
from pipeline.home import Home

if TYPE_CHECKING:
    from pipeline.ingest import IngestResult
    from pipeline.staged_files import StagedFile


@task(name="ingest files", **RETRIED)
def ingest_files(config: str, home: str) -> IngestResult:
    """Validate each new file and commit it, once."""
    from pipeline.ingest import ingest as run

    loaded, place = load_config(config), Home.resolve(home)

    def read(names: Iterable[str]) -> Generator[StagedFile, None, None]:
        # entered when a file asks for it: many a data set has none that is large
        with ENGINES[loaded.engine.kind](place, loaded, None) as workers:
            assert workers.read is not None
            yield from workers.read(names)

    elsewhere = read if loaded.engine.kind != "local" else None
    with progress_artifact("Ingesting") as progress:
        return run(place, loaded, progress=progress, read=elsewhere)


@flow(name="ingest", description="Take new files into the data set's tables, each exactly once.")
@readable_failure
def ingest(config: str, home: str) -> None:
    """Ingest what is new, then fail if a file had to be refused.

    Args:
        config: absolute path of the data set's YAML
        home: absolute path of the folder that holds tables, runs and reports
    """
    result = ingest_files(config, home)
    name = load_config(config).name
    logger = get_run_logger()
    logger.info(
        "%d rows in: %d ingested, %d quarantined; %d files refused",
        result.rows_in,
        result.ingested,
        result.quarantined,
        len(result.refused_files),
    )
    for note in [*result.notes, *(note for file in result.files for note in file.notes)]:
        logger.info(note)
    publish(
        "ingest",
        name,
        [
            {
                "file": file.path,
                "status": file.status,
                "rows in": file.rows_in,
                "ingested": file.ingested,
                "quarantined": file.quarantined,
                "reason": file.reason or "",
            }
            for file in result.files
            if file.status != "skipped"
        ],
        f"Ingest of {name}",
        {
            "rows in": result.rows_in,
            "ingested": result.ingested,
            "quarantined": result.quarantined,
            "files refused": len(result.refused_files),
            "files skipped": sum(file.status == "skipped" for file in result.files),
            "first row id": result.first_row_id,
            "last row id": result.last_row_id,
        },
    )
    result.raise_if_refused()
