"""Ranges of a night as Prefect tasks on Dask workers; imported where the config asks for it."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect_dask import DaskTaskRunner

from flows.runs import RETRIED
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.home import TRACKING_VARIABLE, Home
from pipeline.staging import Range, Staged

if TYPE_CHECKING:
    from pipeline.staging import Stage

AHEAD = 2  # ranges asked for by worker thread: one at work, one waiting
CONNECT_SECONDS = 30


# A worker sleeps through a delay and other ranges wait: short ones, the whole night has longer.
@task(name="score rows", **{**RETRIED, "retry_delay_seconds": [1.0, 5.0, 30.0]})
def score_rows(
    config: dict[str, Any], path: str, home: str, tracking: str,
    version: int, first: int, last: int, run_id: str | None,
) -> Staged:  # fmt: skip
    """Score a range on a worker, into a file beside the table; safe to repeat.

    Args:
        config: the run's own, since a worker on another machine may not have the file.
        path: of that file, for messages.
        home: absolute path or URI.
        tracking: MLflow's address.
        version, first, last, run_id: of the range.
    """
    from pipeline.staging import stage

    os.environ[TRACKING_VARIABLE] = tracking
    loaded = Config.model_validate({**config, "path": path})
    return stage(Home.resolve(home), loaded, version, first, last, run_id)


@contextmanager
def on_workers(home: Home, config: Config, run_id: str | None) -> Iterator[Stage]:
    """What `pipeline.staging.commit_staged` asks for ranges, on the workers that the config names.

    Raises:
        UserError: no scheduler answers at `engine.address`.
    """
    constant = {
        "config": config.model_dump(mode="json"),
        "path": str(config.path),
        "home": home.place,
        "tracking": home.mlflow_uri,
        "run_id": run_id,
    }
    with _runner(config) as runner:

        def stage(version: int, ranges: Iterable[Range]) -> Generator[Staged, None, None]:
            waiting: deque[Any] = deque()
            left = iter(ranges)
            try:
                while True:
                    while len(waiting) < _places(runner) and (piece := next(left, None)):
                        given = {**constant, "version": version, "first": piece[0]}
                        waiting.append(runner.submit(score_rows, {**given, "last": piece[1]}))
                    if not waiting:
                        return
                    yield waiting.popleft().result()
            finally:
                for future in waiting:  # of ranges that other runs were faster with
                    future.wrapped_future.cancel()

        yield stage


@contextmanager
def _runner(config: Config) -> Iterator[DaskTaskRunner]:
    engine = config.engine
    logging.getLogger("distributed").setLevel(logging.ERROR)
    if engine.address is None:
        # one thread each: a scorer's threads are counted by the cores that it has
        own = {
            "n_workers": engine.workers,
            "threads_per_worker": 1,
            "dashboard_address": "127.0.0.1:0",
        }
        runner = DaskTaskRunner(cluster_kwargs=own)
    else:
        runner = DaskTaskRunner(address=engine.address, client_kwargs={"timeout": CONNECT_SECONDS})
    with runner:
        try:
            runner.client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            raise UserError(
                f"{config.path}: no Dask workers at {engine.address or 'this machine'}: {error}",
                hint="Start `dask scheduler` and `dask worker`, or correct `engine.address`.",
            ) from error
        yield runner


def _places(runner: DaskTaskRunner) -> int:
    """Ranges to have under way: the workers come and go."""
    return max(1, AHEAD * sum(runner.client.nthreads().values()))
