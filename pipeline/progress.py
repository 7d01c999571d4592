"""How long work tells where it is: one callable, shown as a bar, as plain lines, or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_SECONDS = 5.0


class Progress(Protocol):
    """Told by long work how far it is.

    Every long function takes `progress: Progress | None = None`.
    """

    def __call__(self, done: int, total: int | None, message: str) -> None:
        """Report.

        Args:
            done: units finished so far, 0 ≤ done ≤ total
            total: units in all; None where nobody knows
            message: what is being done now, a few words, no trailing period
        """


def report(progress: Progress | None, done: int, total: int | None, message: str) -> None:
    """Tell `progress`, if there is one."""
    if progress is not None:
        progress(done, total, message)


@contextmanager
def shown(console: Console, title: str) -> Iterator[Progress]:
    """A progress callable that draws on `console` while the block runs.

    On a terminal it is one bar that disappears when the work is done; elsewhere (a log file, a
    pipe) it is a plain line every few seconds, so that logs stay readable.
    """
    with _bar(console, title) if console.is_terminal else _lines(console, title) as progress:
        yield progress


@contextmanager
def _bar(console: Console, title: str) -> Iterator[Progress]:
    from rich import progress as rich_progress
    from rich.markup import escape

    columns = (
        rich_progress.SpinnerColumn(),
        rich_progress.TextColumn("[bold]{task.description}"),
        rich_progress.BarColumn(bar_width=28),
        rich_progress.TaskProgressColumn(),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TextColumn("[dim]{task.fields[message]}"),
    )
    with rich_progress.Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(escape(title), total=None, message="")

        def update(done: int, total: int | None, message: str) -> None:
            bars.update(task, completed=done, total=total, message=escape(message))

        yield update


@contextmanager
def _lines(console: Console, title: str) -> Iterator[Progress]:
    last = time.monotonic()

    def update(done: int, total: int | None, message: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < PLAIN_SECONDS:
            return
        last = now
        count = "" if total is None else f" ({done:,}/{total:,})"
        console.print(f"{title}: {message}{count}", markup=False, highlight=False)

    yield update
