"""Where files are checked and rows scored, by the config's `engine`: a function for each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.home import Home

if TYPE_CHECKING:
    from pipeline.staged_files import Read
    from pipeline.staging import Stage


@dataclass(frozen=True)
class Workers:
    """What an engine does elsewhere; None: in the run's own process.

    Attributes:
        stage: has ranges of rows scored.
        read: has files checked.
    """

    stage: Stage | None = None
    read: Read | None = None


@contextmanager
def local(home: Home, config: Config, run_id: str | None) -> Iterator[Workers]:
    """In the run's own process."""
    yield Workers()


@contextmanager
def dask(home: Home, config: Config, run_id: str | None) -> Iterator[Workers]:
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

    with on_workers(home, config, run_id) as (stage, read):
        yield Workers(stage, read)


ENGINES: dict[str, Callable[[Home, Config, str | None], AbstractContextManager[Workers]]] = {
    "local": local,
    "dask": dask,
}
