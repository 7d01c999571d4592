"""Child processes of a program: servers and workers that are gone when the program is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple

import psutil

from pipeline.errors import UserError

GRACE_SECONDS = 10.0
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
# By default a Prefect server keeps its concurrency leases in memory: restarted in the middle of a
# run it forgets them, the slot stays taken, and every later run is cancelled.
_LEASES = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"
LEASES = {_LEASES: "prefect.server.concurrency.lease_storage.filesystem"}
# Jobs are MLflow's own online evaluations: eight processes that nothing here asks for.
NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class _Child(NamedTuple):
    name: str
    process: subprocess.Popen[bytes]
    log: Path | None
    stop_signal: signal.Signals


class Children:
    """Started processes, stopped in reverse order when the `with` block ends, however it ends.

    Each child leads a session of its own: a Ctrl-C in the terminal reaches the program alone,
    which then stops them one after the other. What a child has started goes with it.
    """

    def __init__(self, grace: float = GRACE_SECONDS) -> None:
        self.grace = grace
        self._running: list[_Child] = []

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path | None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> subprocess.Popen[bytes]:
        """Start `command`; `stop_signal` asks it to end.

        What it says goes to `log`, or to where this process's output goes.
        """
        with ExitStack() as stack:
            output = None
            if log is not None:
                log.parent.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(log.open("ab"))
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(environment),
                start_new_session=True,
            )
        self._running.append(_Child(name, process, log, stop_signal))
        return process

    def check(self) -> None:
        """Raise where a child has ended by itself."""
        for name, process, log, _ in self._running:
            if process.poll() is not None:
                raise UserError(
                    f"{name} stopped with exit code {process.returncode}",
                    hint=f"Its last words: {_tail(log)}\nThe whole log is {log}." if log else None,
                )

    def wait_until_healthy(self, url: str, seconds: float = 180.0) -> None:
        """Wait until `url` answers 200, failing as soon as a child has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            if answers(url):
                return
            time.sleep(0.25)
        raise UserError(
            f"nothing answered at {url} within {seconds:.0f} s",
            hint="The machine may be overloaded: try again, and see the logs "
            + ", ".join(str(child.log) for child in self._running if child.log)
            + ".",
        )

    def stop(self) -> None:
        """End every child and everything it has started, the last one first."""
        while self._running:
            child = self._running.pop()
            stop_tree(child.process, child.stop_signal, self.grace)


def stop_tree(
    process: subprocess.Popen[bytes],
    stop_signal: signal.Signals = signal.SIGTERM,
    grace: float = GRACE_SECONDS,
) -> None:
    """End a process and all its descendants.

    The process itself gets `stop_signal` and `grace` seconds to stop its own children. What is
    left then, in whatever session, gets SIGTERM, by which a flow run reports that it was aborted
    and gives its place free, and at last SIGKILL.
    """
    tree: set[psutil.Process] = set()
    _collect(process.pid, tree)
    if process.poll() is None:
        process.send_signal(stop_signal)
    deadline = time.monotonic() + grace
    while process.poll() is None and time.monotonic() < deadline:
        _collect(process.pid, tree)
        time.sleep(0.05)
    _end({member for member in tree if member.pid != process.pid}, grace)
    if process.poll() is None:
        process.kill()
    process.wait()


def stop_descendants() -> None:
    """End every process that this one has started and that is still there."""
    _end(set(psutil.Process().children(recursive=True)), grace=1.0)


def _end(processes: set[psutil.Process], grace: float) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=grace)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=5)


def _collect(pid: int, tree: set[psutil.Process]) -> None:
    try:
        parent = psutil.Process(pid)
        tree.update([parent, *parent.children(recursive=True)])
    except psutil.NoSuchProcess:
        return


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block like Ctrl-C does, so that `finally` runs for all.

    A signal that arrives while Python is in a callback, which drops what is raised in it, comes
    again a moment later, also where a flow's run has put Prefect's handler in place of this one.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handlers(stop), _undropped():
        yield


@contextmanager
def uninterruptible() -> Iterator[None]:
    """Let an impatient second Ctrl-C not spoil the stopping."""
    with _handlers(signal.SIG_IGN):
        yield


@contextmanager
def _handlers(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def _undropped() -> Iterator[None]:
    before = sys.unraisablehook
    again: list[threading.Timer] = []

    def send_again(dropped: sys.UnraisableHookArgs) -> None:
        ask = signal.SIGINT if dropped.exc_type is KeyboardInterrupt else None
        number = getattr(dropped.exc_value, "signal", ask)  # Prefect's TerminationSignal names it
        if number not in SIGNALS:
            before(dropped)
            return
        again.append(threading.Timer(0.05, os.kill, (os.getpid(), number)))
        again[-1].start()

    sys.unraisablehook = send_again
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in again:
            timer.cancel()


def answers(url: str) -> bool:
    """True where `url` answers 200 within a second or two."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def claim_port(port: int, host: str, option: str) -> int:
    """`port` where it is free (0: any free one).

    Raises:
        UserError: somebody listens there already
    """
    if port == 0:
        return free_port(host)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"port {port} on {host} is taken ({error.strerror})",
                hint=f"Choose another with {option}; 0 takes any free one.",
            ) from error
    return port


def tool(name: str) -> list[str]:
    """Command line that runs a Python tool of this very environment."""
    return [sys.executable, "-m", name]


def prefect_server(
    children: Children, environment: Mapping[str, str], host: str, port: int, log: Path
) -> str:
    """Start a Prefect server; returns its API URL. It is up when `…/health` answers."""
    children.start(
        "the Prefect server",
        [*tool("prefect"), "server", "start", "--host", host, "--port", str(port)],
        {**environment, **LEASES},
        log,
    )
    return f"http://{host}:{port}/api"


def mlflow_server(
    children: Children,
    environment: Mapping[str, str],
    host: str,
    port: int,
    store: str,
    artifacts: str,
    log: Path,
) -> str:
    """Start an MLflow server with its pages on the given store; returns its URL."""
    command = [*tool("mlflow"), "server", "--host", host, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store, "--default-artifact-root", artifacts]
    children.start("the MLflow server", command, {**environment, **NO_JOBS}, log)
    return f"http://{host}:{port}"


def clean_environment() -> dict[str, str]:
    """This process's environment without what other Prefect and MLflow set-ups left in it."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PREFECT_", "MLFLOW_")) and key != "VAE_ANOMALY_HOME"
    } | QUIET


def _tail(log: Path, lines: int = 5) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(text.strip().splitlines()[-lines:]) or "(none)"
