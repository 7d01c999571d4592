"""What every flow shares: which errors are retried, readable failures, progress on the run."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException
from prefect.states import Failed

from pipeline.errors import ConflictError, StoreError, TableWriteError, UserError, describe
from pipeline.progress import Progress

PROGRESS_SECONDS = 2.0

Flow = TypeVar("Flow", bound=Callable[..., Any])


def worth_retrying(_task: object, _task_run: object, state: Any) -> bool:
    """False for errors that only a person can mend (a typo, a bad file); True for all others."""
    from pipeline.tracking import TrackingError

    try:
        state.result()
    except UserError as error:
        return isinstance(error, (ConflictError, StoreError, TableWriteError, TrackingError))
    except Exception:
        return True
    return False


def readable_failure(flow_function: Flow) -> Flow:
    """A flow whose `UserError` ends the run failed with its message and hint, not a traceback.

    Goes under `@flow`. The run's state keeps the error, so a caller in the same process still
    gets the exception itself.
    """

    @functools.wraps(flow_function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return flow_function(*args, **kwargs)
        except UserError as error:
            get_run_logger().error(describe(error))
            return Failed(message=describe(error), data=error)

    return wrapper  # type: ignore[return-value]


# Of tasks that may be run again: what they have done already, they find and leave alone.
RETRIED: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [10.0, 60.0, 300.0],
    "retry_condition_fn": worth_retrying,
}


@contextmanager
def progress_artifact(description: str) -> Iterator[Progress]:
    """Progress of long work, shown on the run's page as a progress artifact.

    It is a courtesy: an API that cannot be reached for a moment never stops the work.
    """
    artifact: Any = None
    last = -PROGRESS_SECONDS

    def update(done: int, total: int | None, message: str) -> None:
        nonlocal artifact, last
        now = time.monotonic()
        finished = total is not None and done >= total
        if now - last < PROGRESS_SECONDS and not finished:
            return
        last = now
        percent = 100.0 * done / total if total else 0.0
        try:
            if artifact is None:
                artifact = create_progress_artifact(percent, description=description)
            else:
                update_progress_artifact(artifact, percent, description=f"{description}: {message}")
        except (httpx.HTTPError, PrefectException):
            return

    yield update
