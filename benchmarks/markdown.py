"""Pieces of the benchmark page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd


class Floor(NamedTuple):
    """What must be reached, what is aimed at, and what was measured."""

    what: str
    floor: str
    goal: str
    measured: str
    holds: bool
    met: bool

    @property
    def verdict(self) -> str:
        if self.holds:
            return "goal met" if self.met else "floor holds"
        return "**floor missed**"


class Section(NamedTuple):
    """One benchmark's part of the page."""

    lines: list[str]
    floors: list[Floor]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table with an empty line after it."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---|" * (len(header) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return [*lines, ""]


def best_bold(row: pd.Series, digits: int = 3) -> list[str]:
    """Numbers as text, the largest (as shown) in bold; – where there is none."""
    texts = ["–" if pd.isna(v) else f"{v:.{digits}f}" for v in row]
    best = f"{row.max():.{digits}f}"
    return [f"**{text}**" if text == best else text for text in texts]


def signed(value: float, digits: int = 3) -> str:
    """With a sign, and the typographic minus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def percent(value: float, digits: int = 0) -> str:
    return f"{100 * value:.{digits}f} %"


def listed(names: Iterable[object]) -> str:
    return ", ".join(str(n) for n in names) or "none"


def paragraph(*sentences: str) -> list[str]:
    """Sentences as lines of at most 100 characters, and an empty line."""
    return [*textwrap.wrap(" ".join(sentences), 100, break_on_hyphens=False), ""]
