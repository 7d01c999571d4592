"""Runs of a benchmark: finished ones are lines of a CSV and are never run again.

Several processes may work on one CSV: each claims a run before it starts it.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits

from benchmarks.adbench import Split
from benchmarks.methods import Method

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"
IMAGES = DOCS / "images"
DATA = Path("../shared/data")
SEEDS = (0, 1, 2, 3, 4)

Key = Mapping[str, Any]  # the columns that name a run, in the order they are written
Line = Mapping[str, Any]  # what was measured


def parser(doc: str | None, data: Path, seeds: tuple[int, ...] = SEEDS) -> argparse.ArgumentParser:
    """The options that all benchmarks share."""
    it = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    it.add_argument("--data", type=Path, default=data, help="folder of the data sets")
    it.add_argument("--sets", nargs="+", help="only these data sets")
    it.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    it.add_argument("--results", type=Path, default=RESULTS, help="folder of the CSV files")
    it.add_argument("--fresh", action="store_true", help="forget what these options ran before")
    return it


def pending(results: Path, wanted: Iterable[Key], fresh: bool = False) -> Iterator[Key]:
    """The wanted runs that no line of `results` holds, one at a time, each claimed meanwhile.

    A run that another process works on is passed over; a claim ends with its process.

    Args:
        fresh: first forget the lines of all wanted runs.
    """
    wanted = list(wanted)
    if fresh:
        forget(results, wanted)
    done = read(results)
    columns = list(wanted[0]) if wanted else []
    known = set() if done.empty else set(done[columns].itertuples(index=False, name=None))
    for key in wanted:
        if tuple(key.values()) not in known:
            with _claim(results, key) as ours:
                if ours and not finished(results, key):  # by another process in the meantime
                    yield key


def complete(
    results: Path, wanted: Iterable[Key], run: Callable[[Key], Sequence[Line]], fresh: bool = False
) -> None:
    """Do the runs that are not finished, one thread each, and write the pages anew.

    Args:
        results: CSV of finished runs.
        wanted: keys of the runs.
        run: gives a run's lines without the key's columns; none where it cannot be made.
        fresh: forget what the wanted runs gave before.
    """
    with single_threaded():
        for key in pending(results, wanted, fresh):
            lines = run(key)
            if lines:
                append(results, [{**key, **line} for line in lines])
                say(key, lines)
    finish(results.parent)


def finished(results: Path, key: Key) -> bool:
    done = read(results)
    return not done.empty and bool(_lines_of(done, key).any())


def forget(results: Path, keys: Iterable[Key]) -> None:
    """Take the lines of some runs out of the file."""
    if not results.exists():
        return
    with results.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kept = pd.read_csv(file)
        for key in keys:
            kept = kept[~_lines_of(kept, key)]
        file.seek(0)
        file.truncate()
        kept.to_csv(file, index=False)


def append(results: Path, lines: Iterable[Line]) -> None:
    """Add lines, whole even when another process adds some at the same time."""
    table = pd.DataFrame([dict(line) for line in lines]).round(5)
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        table.to_csv(file, header=not os.fstat(file.fileno()).st_size, index=False)


def read(results: Path) -> pd.DataFrame:
    """All finished runs; empty where there are none yet."""
    if not results.exists() or not results.stat().st_size:
        return pd.DataFrame()
    return pd.read_csv(results)


def measure(split: Split, method: Method, seed: int) -> dict[str, float]:
    """Fit, score, and hold the scores against the labels; times are wall seconds."""
    started = time.perf_counter()
    scorer = method(split.train, seed)
    fitted = time.perf_counter()
    scores = scorer(split.test)
    scored = time.perf_counter()
    return {
        "auroc": roc_auc_score(split.labels, scores),
        "average_precision": average_precision_score(split.labels, scores),
        "fit_seconds": fitted - started,
        "score_seconds": scored - fitted,
    }


def finish(results: Path) -> None:
    """Write the pages anew."""
    from benchmarks import page  # it shows every benchmark, and they all import this module

    page.write(results)


def say(key: Key, lines: Sequence[Line]) -> None:
    """What a finished run gave, on the terminal."""
    for line in lines:
        shown = (f"{n} {v:.3f}" if isinstance(v, float) else str(v) for n, v in line.items())
        print(*key.values(), "  ".join(shown), flush=True)


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """One thread for everyone: small batches gain nothing from two, and times compare."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _lines_of(done: pd.DataFrame, key: Key) -> pd.Series:
    return (done[list(key)] == pd.Series(dict(key))).all(axis=1)


@contextlib.contextmanager
def _claim(results: Path, key: Key) -> Iterator[bool]:
    """Whether this process may work on the run."""
    name = hashlib.sha1(f"{results.resolve()} {dict(key)}".encode()).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"vae-anomaly-claims-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            (folder / name).unlink(missing_ok=True)
