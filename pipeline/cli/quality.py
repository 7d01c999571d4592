"""The `vae-anomaly quality` command: how good a version's reconstructions, rows and latent are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import DEFAULT_CONFIG, ConfigPath, load_existing, terminal

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.review import ReviewResult

# what stands beside a figure, as the table says it
BESIDE = {
    "ceiling": "real rows",
    "nearest_row": "nearest row",
    "training_rows": "training rows",
    "bound": "at most",
}
GROUPS = ("reconstruction", "generation")


def quality(
    config: ConfigPath = DEFAULT_CONFIG,
    version: Annotated[
        int | None, typer.Option(help="Version to measure. Default: the champion.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Column that names the class of each picture, for better features."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the figures to this .json or .parquet file.")
    ] = None,
) -> None:
    """Measure how good a version's reconstructions, generated rows and latent are.

    Each figure stands beside what real rows reach in the same place: without it no figure says
    much. Training and validation rows are used, the calibration rows are left alone. Everything
    is logged to MLflow as well. What each figure means, and how it can be fooled, stands in
    docs/user-guide.md.

    Examples:

        vae-anomaly quality payments.yaml

        vae-anomaly quality digits.yaml --classes digit --output quality.json
    """
    from pipeline.progress import shown
    from pipeline.review import check_output, review, write

    if output is not None:
        check_output(output)
    loaded, home = load_existing(config)
    console = terminal()
    with shown(console, "quality") as progress:
        result = review(home, loaded, version, classes, progress)
    show(console, loaded.name, result)
    if output is not None:
        write(result, loaded.name, output)
        console.print(f"Written to {output}", markup=False, highlight=False, soft_wrap=True)


def show(console: Console, name: str, result: ReviewResult) -> None:
    """Print a table of all figures, grouped by the first word of their names."""
    from rich.markup import escape
    from rich.table import Table

    from pipeline.cli.output import heading

    heading(console, f"Quality of {name}, version {result.version}")
    table = Table(box=None)
    for column in ("figure", "model", "beside", "of", "better", "meaning"):
        number = column in ("model", "beside")
        whole = column != "meaning"
        table.add_column(column, justify="right" if number else "left", no_wrap=whole)
    group = ""
    for figure in result.quality.figures:
        first, _, rest = figure.name.partition("_")
        if first not in GROUPS:
            first, rest = "", figure.name
        if first and first != group:
            table.add_row(f"[bold]{first}_…[/bold]")
        group = first
        compared = figure.beside is not None
        table.add_row(
            escape(f"  {rest}" if first else rest),
            _short(figure.value),
            _short(figure.beside) if figure.beside is not None else "",
            BESIDE[figure.against] if compared else "",
            figure.guide.better,
            figure.guide.meaning,
        )
    console.print(table)
    basis = result.quality.basis
    said = f"{basis['held_out_rows']:,} held-out rows, {basis['training_rows']:,} training rows"
    if basis.get("extractor_accuracy") is not None:
        said += (
            f"; the classifier {basis['extractor']} knows {basis['extractor_accuracy']:.1%} of "
            "held-out classes"
        )
    console.print(said, markup=False, highlight=False)
    console.print(f"MLflow run {result.run_id}", markup=False, highlight=False, soft_wrap=True)


def _short(value: float) -> str:
    """Four significant digits."""
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
