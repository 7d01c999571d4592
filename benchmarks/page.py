"""docs/benchmarks.md, docs/generative.md and their pictures, from all finished runs.

python -m benchmarks.page
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import (
    ablation,
    bits,
    collapse,
    contamination,
    explanations,
    fit_time,
    generation,
    lecture,
    likelihood,
    markdown,
    missing,
    mixed,
    picture_anomalies,
    quality,
    runs,
    sprites,
)
from benchmarks.markdown import Section


class Page(NamedTuple):
    """What stands above the floors, and what gives the sections below."""

    title: str
    words: tuple[str, ...]
    sections: Sequence[Callable[[Path, Path], Section]]


PAGES = {
    "benchmarks.md": Page(
        "Benchmarks",
        (
            "Written by `make bench-quality` from `benchmarks/results/`; every number and every",
            "list below is computed. All methods run at their default settings, on the same rows,",
            "in one process of one thread. `VAEDetector` is this project's.",
        ),
        (
            quality.section,
            fit_time.section,
            mixed.section,
            contamination.section,
            missing.section,
            explanations.section,
            ablation.section,
        ),
    ),
    "generative.md": Page(
        "Generative benchmarks",
        (
            "Written by `make bench-generative` from `benchmarks/results/`; every number and every",
            "verdict below is computed. One thread of a processor, no accelerator.",
        ),
        (
            likelihood.section,
            generation.section,
            bits.section,
            sprites.section,
            collapse.section,
            picture_anomalies.section,
            lecture.section,
        ),
    ),
}


def write(results: Path = runs.RESULTS) -> Path:
    """The pages in docs/, or beside results that lie elsewhere; returns their folder."""
    folder = runs.DOCS if results.resolve() == runs.RESULTS.resolve() else results
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        sections = [section(results, folder / "images") for section in page.sections]
        (folder / name).write_text(_text(page, sections), encoding="utf-8")
    return folder


def _text(page: Page, sections: Sequence[Section]) -> str:
    lines = [f"# {page.title}", "", *markdown.paragraph(*page.words)]
    floors = [floor for section in sections for floor in section.floors]
    if floors:
        rows = [[f.what, f.floor, f.goal, f.measured, f.verdict] for f in floors]
        lines += ["## Floors and goals", ""]
        lines += ["A floor must hold; the goal is what is aimed at.", ""]
        lines += markdown.table(["what", "floor", "goal", "measured", "so"], rows)
    lacking = [
        f"`python -m {source.__module__}`"
        for source, section in zip(page.sections, sections, strict=True)
        if not section.lines
    ]
    if lacking:
        lines += markdown.paragraph(f"No runs yet: {markdown.listed(lacking)}.")
    for section in sections:
        lines += section.lines
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(write())
