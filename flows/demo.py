"""The whole main job on the data that ships, on this machine: `make demo`.

Its own folder, ports and servers; whatever Prefect or MLflow the shell knows is left alone, and
nothing is left running.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from flows.servers import (
    Children,
    clean_environment,
    free_port,
    interruptible,
    prefect_server,
    stop_descendants,
    stop_tree,
    tool,
    uninterruptible,
)
from pipeline.errors import UserError, describe

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data" / "network"
CONFIG = ROOT / "configs" / "network.yaml"
NAME = "network"
MARKER = ".made-by-demo"
HOST = "127.0.0.1"
THROUGH_THE_WORKER = (1, 2, 6)
POLL_SECONDS = "2"
WATCH_SECONDS = "120"
STOP_SECONDS = 20.0
INTERRUPTED = 130
CONSOLE_LEVEL = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"


@dataclass(frozen=True)
class Place:
    """Where one demo keeps its things, all under one folder."""

    folder: Path

    @property
    def landing(self) -> Path:
        """Where data files arrive."""
        return self.folder / "landing"

    @property
    def config(self) -> Path:
        """The data set's YAML, pointing to the landing folder."""
        return self.folder / f"{NAME}.yaml"

    @property
    def home(self) -> Path:
        """Tables, MLflow's store and reports."""
        return self.folder / "home"

    @property
    def logs(self) -> Path:
        """What the servers and the worker say."""
        return self.folder / "logs"


def run(console: Console, folder: Path) -> None:
    """Run the demo in `folder`, which is emptied first if an earlier demo made it.

    Raises:
        UserError: the data is missing, the folder is somebody else's, or a step failed
    """
    started = time.monotonic()
    place = prepare(folder)
    port = free_port(HOST)
    environment = _enter_environment(place, port)
    with Children() as children, interruptible():
        with _step(console, "Prefect server on a new SQLite database"):
            api = prefect_server(children, environment, HOST, port, place.logs / "server.log")
            warm = threading.Thread(target=_import_ahead, daemon=True)
            warm.start()
            children.wait_until_healthy(f"{api}/health")
            warm.join()
        with _step(console, "Five deployments and a worker"):
            _deploy_and_start_worker(children, environment, place)
        _spine(console, place, children, environment)
    from flows.demo_summary import show

    show(console, place.config, place.home, place.folder)
    console.print(f"\nDone in {time.monotonic() - started:.0f} s.", highlight=False)


def prepare(folder: Path) -> Place:
    """An empty demo folder with the config and an empty landing folder."""
    import yaml

    for needed in (DATA / "history.parquet", CONFIG):
        if not needed.exists():
            raise UserError(
                f"the demo needs {needed}, which is not there",
                hint="Run it from a clone of the repository: `make demo`.",
            )
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise UserError(
            f"{folder} holds something that no demo has made, and it would be emptied",
            hint="Move it away, or name another folder: `python -m flows.demo FOLDER`.",
        )
    shutil.rmtree(folder, ignore_errors=True)
    place = Place(folder)
    place.landing.mkdir(parents=True)
    (folder / MARKER).touch()
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["source"]["path"] = "landing"
    place.config.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return place


def _enter_environment(place: Place, port: int) -> dict[str, str]:
    """Make this process, and what it starts, live in the demo's own set-up.

    Prefect reads its environment when first imported, which is later than this.
    """
    environment = clean_environment() | {
        "VAE_ANOMALY_HOME": str(place.home),
        "PREFECT_HOME": str(place.folder / "prefect"),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_WORKER_QUERY_SECONDS": POLL_SECONDS,
        CONSOLE_LEVEL: "CRITICAL",  # run logs are in Prefect's pages
        "MLFLOW_LOGGING_LEVEL": "WARNING",
    }
    os.environ.clear()
    os.environ.update(environment)
    return environment


def _import_ahead() -> None:
    """Load what the flows need while the server makes its database."""
    import mlflow
    import prefect
    import torch

    _ = mlflow, prefect, torch


def _deploy_and_start_worker(
    children: Children, environment: Mapping[str, str], place: Place
) -> None:
    from flows.deploy import deploy

    # The schedules stay off: a demo at one in the morning should not ingest twice at once.
    deploy([place.config], active=False)
    command = [*tool("prefect"), "worker", "start", "--pool", "vae-anomaly", "--type", "process"]
    talkative = {**environment, CONSOLE_LEVEL: "INFO"}
    children.start("the worker", command, talkative, place.logs / "worker.log")


def _spine(
    console: Console, place: Place, children: Children, environment: Mapping[str, str]
) -> None:
    from flows.calibrate import calibrate
    from flows.ingest import ingest
    from flows.score import score
    from flows.train import train

    config, home = str(place.config), str(place.home)
    shutil.copy(DATA / "history.parquet", place.landing)
    with _step(console, "Ingest the history"):
        ingest(config, home)
    with _step(console, "Train"):
        run_id = train(config, home)
    with _step(console, "Calibrate, register, run the gates"):
        calibrate(config, home, run_id=run_id)
    for night, file in enumerate(sorted(DATA.glob("night*.parquet")), start=1):
        shutil.copy(file, place.landing)
        by_worker = night in THROUGH_THE_WORKER
        how = "prefect deployment run score/nightly" if by_worker else "in this process"
        with _step(console, f"Night {night}: ingest, then score ({how})"):
            ingest(config, home)
            if by_worker:
                children.check()
                _run_deployment(environment, place, night)
            else:
                score(config, home)


def _run_deployment(environment: Mapping[str, str], place: Place, night: int) -> None:
    command = [*tool("prefect"), "deployment", "run", "score/nightly"]
    command += ["--watch", "--watch-interval", "1", "--watch-timeout", WATCH_SECONDS]
    log = place.logs / f"night-{night}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            code = process.wait()
        finally:
            stop_tree(process)
    if code != 0:
        raise UserError(
            f"`prefect deployment run score/nightly` ended with exit code {code} in night {night}",
            hint=f"See {log} and {place.logs / 'worker.log'}.",
        )


@contextmanager
def _step(console: Console, title: str) -> Iterator[None]:
    """Show that a step is under way, and how long it took once it is done."""
    started = time.monotonic()
    if console.is_terminal:
        with console.status(title):
            yield
    else:
        console.print(f"… {title}", highlight=False)
        yield
    console.print(
        f"[green]✓[/] {title} [dim]{time.monotonic() - started:.0f} s[/]", highlight=False
    )


def _run_here(folder: Path) -> int:
    """The demo itself, in the process that `main` watches over."""
    console = Console()
    try:
        run(console, folder)
    except KeyboardInterrupt:
        return INTERRUPTED
    except UserError as error:
        console.print(describe(error), markup=False, highlight=False, style="red")
        return error.exit_code
    finally:
        stop_descendants()
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Command line: `python -m flows.demo [FOLDER]`, by default `.demo` in the repository.

    The demo runs in a child, so that an interrupt ends it wherever it is: in the middle of a flow
    it would be Prefect's to handle.
    """
    parser = argparse.ArgumentParser(prog="python -m flows.demo")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / ".demo")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    folder = given.folder.resolve()
    if given.here:
        return _run_here(folder)
    command = [*tool("flows.demo"), "--here", str(folder)]
    with interruptible():
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            return process.wait()
        except KeyboardInterrupt:
            with uninterruptible():
                Console().print("\nInterrupted; stopping everything that was started.")
                stop_tree(process, grace=STOP_SECONDS)
            return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
