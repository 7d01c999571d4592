"""docs/benchmarks.md and its pictures, from all finished runs.

python -m benchmarks.page
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import (
    ablation,
    contamination,
    explanations,
    fit_time,
    markdown,
    missing,
    mixed,
    quality,
    runs,
)

DOCS = Path(__file__).parents[1] / "docs"
SECTIONS = (
    quality.section,
    fit_time.section,
    mixed.section,
    contamination.section,
    missing.section,
    explanations.section,
    ablation.section,
)


def write(results: Path = runs.RESULTS) -> Path:
    """The page in docs/, or beside results that lie elsewhere; returns its path."""
    folder = DOCS if results.resolve() == runs.RESULTS.resolve() else results
    sections = [section(results, folder / "images") for section in SECTIONS]
    lines = [
        "# Benchmarks",
        "",
        *markdown.paragraph(
            "Written by `make bench-quality` from `benchmarks/results/`; every number and every",
            "list below is computed. All methods run at their default settings, on the same rows,",
            "in one process of one thread. `VAEDetector` is this project's.",
        ),
    ]
    floors = [floor for section in sections for floor in section.floors]
    if floors:
        rows = [[f.what, f.floor, f.goal, f.measured, f.verdict] for f in floors]
        lines += ["## Floors and goals", ""]
        lines += ["A floor must hold; the goal is what is aimed at.", ""]
        lines += markdown.table(["what", "floor", "goal", "measured", "so"], rows)
    for section in sections:
        lines += section.lines
    path = folder / "benchmarks.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    print(write())
