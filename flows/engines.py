"""Where the ranges of a night are scored, by the config's `engine`: one function for each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.home import Home

if TYPE_CHECKING:
    from pipeline.staging import Stage


@contextmanager
def local(home: Home, config: Config, run_id: str | None) -> Iterator[None]:
    """In the run's own process."""
    yield None


@contextmanager
def dask(home: Home, config: Config, run_id: str | None) -> Iterator[Stage]:
    """On Dask workers, by Prefect's task runner for it.

    Raises:
        UserError: the extra is not installed, or no scheduler answers.
    """
    try:
        import prefect_dask  # noqa: F401 (whether it is there)
    except ImportError as error:
        raise UserError(
            f"{config.path}: `engine.kind: dask` needs a package that is missing: {error.name}",
            hint="Install the extra: `pip install 'vae-anomaly[dask]'`; or leave `engine` out.",
        ) from error
    from flows.dask_engine import on_workers

    with on_workers(home, config, run_id) as stage:
        yield stage


ENGINES: dict[str, Callable[[Home, Config, str | None], AbstractContextManager[Stage | None]]] = {
    "local": local,
    "dask": dask,
}
