"""What the flows share, without a server."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.servers import (
    Children,
    answers,
    claim_port,
    clean_environment,
    free_port,
    interruptible,
)
from pipeline.errors import ConflictError, SchemaError, UserError


def test_artifact_keys_are_what_prefect_allows() -> None:
    from flows.artifacts import key

    assert key("score", "my_Data 1", "table") == "score-my-data-1-table"


@pytest.mark.parametrize(
    ("error", "again"),
    [(OSError("disk"), True), (ConflictError("busy"), True), (SchemaError("column"), False)],
)
def test_only_what_may_pass_by_itself_is_retried(error: Exception, again: bool) -> None:
    from prefect.states import Failed

    from flows.runs import worth_retrying

    assert worth_retrying(None, None, Failed(message="", data=error)) is again


def test_training_is_never_retried_and_input_and_output_are() -> None:
    from flows.calibrate import calibrate_scorer
    from flows.ingest import ingest_files
    from flows.score import score_night
    from flows.train import train_scorer
    from flows.tune import tune_settings

    assert tune_settings.retries == 0
    assert train_scorer.retries == 0
    assert calibrate_scorer.retries == 0
    for task in (ingest_files, score_night):
        assert task.retries == 3
        assert task.retry_delay_seconds == [10.0, 60.0, 300.0]


def test_flow_parameters_are_paths_and_ids_only() -> None:
    from flows.calibrate import calibrate
    from flows.ingest import ingest
    from flows.retrain import retrain
    from flows.score import score
    from flows.train import train
    from flows.tune import tune

    for flow in (ingest, train, calibrate, retrain, score, tune):
        assert flow.name == flow.fn.__name__
        types = [p.get("type") for p in flow.parameters.properties.values()][:2]
        assert types == ["string", "string"]
        assert flow.parameters.required == ["config", "home"]


def test_the_environment_of_other_set_ups_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    monkeypatch.setenv("VAE_ANOMALY_HOME", "/elsewhere")
    kept = clean_environment()
    assert not [value for value in kept.values() if "elsewhere" in value]
    assert kept["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_a_taken_port_is_named() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} on 127.0.0.1 is taken"):
            claim_port(port, "127.0.0.1", "--port")
    assert claim_port(0, "127.0.0.1", "--port") > 0


def test_children_end_with_everything_they_have_started(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(99)"
    parent = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {stubborn!r}], start_new_session=True)\n"
        "time.sleep(99)"
    )
    with Children(grace=1.0) as children:
        process = children.start(
            "parent", [sys.executable, "-c", parent], clean_environment(), tmp_path / "log"
        )
        deadline = time.monotonic() + 10
        family: list[psutil.Process] = []
        while not family and time.monotonic() < deadline:
            family = psutil.Process(process.pid).children(recursive=True)
            time.sleep(0.05)
        time.sleep(0.5)
    assert family
    assert process.poll() is not None
    assert not any(child.is_running() for child in family)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("by_prefect", [False, True])
def test_a_signal_dropped_by_a_callback_comes_again(
    number: signal.Signals, by_prefect: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    from prefect.exceptions import TerminationSignal

    class Garbage:
        def __del__(self) -> None:
            signal.raise_signal(number)

    def terminate(number: int, frame: object) -> None:
        raise TerminationSignal(signal=number)

    expected = TerminationSignal if by_prefect else KeyboardInterrupt
    with interruptible(), pytest.raises(expected):
        if by_prefect:
            signal.signal(number, terminate)
        Garbage()
        time.sleep(5)
    assert capfd.readouterr().err == ""


def test_any_other_dropped_exception_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    class LateError(Exception):
        signal = "timeout"

    class Garbage:
        def __del__(self) -> None:
            raise LateError("the real trouble")

    before = sys.unraisablehook
    sys.unraisablehook = sys.__unraisablehook__  # pytest's own collects them
    try:
        with interruptible():
            Garbage()
    finally:
        sys.unraisablehook = before
    assert "the real trouble" in capfd.readouterr().err


def test_a_child_that_ends_by_itself_is_reported_with_its_last_words(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "import sys; sys.exit('no such database')"]
    with Children() as children, pytest.raises(UserError, match="exit code 1") as raised:
        children.start("the server", program, clean_environment(), tmp_path / "log")
        children.wait_until_healthy(f"http://127.0.0.1:{free_port()}/", seconds=20)
    assert "no such database" in str(raised.value.hint)


def test_nobody_answers_at_a_free_port() -> None:
    assert not answers(f"http://127.0.0.1:{free_port()}/")


def test_demo_refuses_a_folder_of_somebody_else(tmp_path: Path) -> None:
    from flows.demo import prepare

    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="no demo has made"):
        prepare(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_demo_starts_clean_each_time(tmp_path: Path) -> None:
    from flows.demo import prepare
    from pipeline.config import load_config

    place = prepare(tmp_path / "demo")
    (place.folder / "left-over").touch()
    place = prepare(tmp_path / "demo")
    assert not (place.folder / "left-over").exists()
    assert load_config(place.config).source_path == str(place.landing)


def test_flows_package_imports_nothing() -> None:
    program = "import sys, flows.servers, flows.demo; print('prefect' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False", "a program must be able to set Prefect's environment"
