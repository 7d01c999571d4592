"""Files and ranges of a night as tasks on Dask workers; imported where the config asks for it."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dask.config
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect_dask import DaskTaskRunner

from flows.runs import RETRIED
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.home import TRACKING_VARIABLE, Home
from pipeline.staged_files import StagedFile
from pipeline.staging import Range, Staged

if TYPE_CHECKING:
    from pipeline.staged_files import Read
    from pipeline.staging import Stage

AHEAD = 2  # pieces of work asked for by worker thread: one at work, one waiting
CONNECT_SECONDS = 30
GONE_SECONDS = 300
# Dask has workers give memory back at every 64 KiB that is free: scoring takes 1.7 times as long
MEMORY = {
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 128 << 20,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 32 << 20,
}


# A worker sleeps through a delay and other work waits: short ones, the whole night has longer.
ON_WORKER: dict[str, Any] = {
    **RETRIED,
    "retry_delay_seconds": [1.0, 5.0, 30.0],
    "cache_policy": NO_CACHE,  # what a task names is used up by the run that asked
}


@task(name="score rows", **ON_WORKER)
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


@task(name="check file", **ON_WORKER)
def check_file(config: dict[str, Any], path: str, home: str, name: str) -> StagedFile:
    """Check a file on a worker, its rows into files beside the table; safe to repeat.

    Args:
        config, path, home: as of `score_rows`.
        name: of the file.
    """
    from pipeline.staged_files import stage_file

    return stage_file(Home.resolve(home), Config.model_validate({**config, "path": path}), name)


@contextmanager
def on_workers(home: Home, config: Config, run_id: str | None) -> Iterator[tuple[Stage, Read]]:
    """What scores ranges and what checks files, on the workers that the config names.

    Raises:
        UserError: no scheduler answers at `engine.address`.
    """
    constant = {
        "config": config.model_dump(mode="json"),
        "path": str(config.path),
        "home": home.place,
    }
    with _runner(config) as runner:

        def stage(version: int, ranges: Iterable[Range]) -> Generator[Staged, None, None]:
            given = {**constant, "tracking": home.mlflow_uri, "run_id": run_id, "version": version}
            return _in_order(
                runner,
                lambda piece: runner.submit(
                    score_rows, {**given, "first": piece[0], "last": piece[1]}
                ),
                ranges,
            )

        def read(names: Iterable[str]) -> Generator[StagedFile, None, None]:
            return _in_order(
                runner, lambda name: runner.submit(check_file, {**constant, "name": name}), names
            )

        yield stage, read


def _in_order(
    runner: DaskTaskRunner, submit: Callable[[Any], Any], work: Iterable[Any]
) -> Generator[Any, None, None]:
    """Results in the order of the work, of which only some is under way at once."""
    waiting: deque[Any] = deque()
    left = iter(work)
    try:
        while True:
            while len(waiting) < _places(runner) and (piece := next(left, None)):
                waiting.append(submit(piece))
            if not waiting:
                return
            yield _result(runner, waiting.popleft())
    finally:
        for future in waiting:  # of what other runs were faster with
            future.wrapped_future.cancel()


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
    with dask.config.set(MEMORY), runner:
        try:
            runner.client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            raise UserError(
                f"{config.path}: no Dask workers at {engine.address or 'this machine'}: {error}",
                hint="Start `dask scheduler` and `dask worker`, or correct `engine.address`.",
            ) from error
        yield runner


def _result(runner: DaskTaskRunner, future: Any) -> Any:
    """What a task gives, however long it takes, as long as there are workers.

    Raises:
        UserError: all of them have been gone for some minutes.
    """
    missed = 0
    while not future.wrapped_future.done():
        if missed * CONNECT_SECONDS >= GONE_SECONDS:
            raise UserError(
                "all Dask workers have gone",
                hint="Start `dask worker` again, then run again: what is done stays done.",
            )
        future.wait(timeout=CONNECT_SECONDS)
        missed = 0 if runner.client.nthreads() else missed + 1
    return future.result()


def _places(runner: DaskTaskRunner) -> int:
    """Pieces of work to have under way: the workers come and go."""
    return max(1, AHEAD * sum(runner.client.nthreads().values()))
