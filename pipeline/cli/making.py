"""The commands that make rows with a registered version, into Parquet or a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.app import DEFAULT_CONFIG, ConfigPath, load_existing, terminal

if TYPE_CHECKING:
    from pipeline.making import Made, Source

Output = Annotated[Path, typer.Option(help="File to write: .parquet for rows, .png for a figure.")]
VersionNumber = Annotated[int | None, typer.Option(help="Version. Default: the champion.")]
RowIds = Annotated[
    str | None,
    typer.Option(
        callback=lambda named: _named(named),
        help="Row ids such as 1-24 or 3,9,40. Default: the first calibration rows.",
    ),
]
Steps = Annotated[int, typer.Option(min=2, help="Steps, both ends included.")]
Given = Annotated[
    list[str] | None, typer.Option(help="CONDITION=CATEGORY, for conditional models.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed makes the same rows.")]


def generate(
    config: ConfigPath = DEFAULT_CONFIG,
    output: Output = Path("generated.parquet"),
    count: Annotated[int, typer.Option(min=1, help="Rows to draw.")] = 100,
    how: Annotated[
        Literal["prior", "mixture"], typer.Option(help="The mixture is fitted to training codes.")
    ] = "prior",
    given: Given = None,
    version: VersionNumber = None,
    seed: Seed = 0,
) -> None:
    """Draw rows from a version.

    Examples:

        vae-anomaly generate payments.yaml --count 10000 --output synthetic.parquet

        vae-anomaly generate digits.yaml --given digit=3 --output threes.png
    """
    from pipeline import making

    pairs = dict(_pair(one) for one in given or [])
    _make(
        config, version, output,
        lambda source: making.generate(source, count, how=how, given=pairs, seed=seed),
    )  # fmt: skip


def reconstruct(
    config: ConfigPath = DEFAULT_CONFIG,
    output: Output = Path("reconstructed.parquet"),
    rows: RowIds = None,
    version: VersionNumber = None,
) -> None:
    """Say what a version expects in each cell of rows.

    Example:

        vae-anomaly reconstruct payments.yaml --rows 1-1000 --output expected.parquet
    """
    from pipeline import making

    _make(config, version, output, lambda source: making.reconstruct(source, rows))


def traverse(
    config: ConfigPath = DEFAULT_CONFIG,
    output: Output = Path("traversed.png"),
    row: Annotated[int | None, typer.Option(help="Row to start from. Default: the mean.")] = None,
    latents: Annotated[int, typer.Option(min=1, help="So many, those with most to say.")] = 8,
    steps: Steps = 9,
    reach: Annotated[float, typer.Option(min=0, help="Standard deviations to both sides.")] = 3.0,
    given: Given = None,
    version: VersionNumber = None,
) -> None:
    """Move one latent at a time and see which cells follow.

    Examples:

        vae-anomaly traverse payments.yaml --row 17 --output latents.png

        vae-anomaly traverse digits.yaml --given digit=3 --output threes.png
    """
    from pipeline import making

    pairs = dict(_pair(one) for one in given or [])
    _make(
        config, version, output,
        lambda source: making.traverse(
            source, row, latents=latents, steps=steps, reach=reach, given=pairs
        ),
    )  # fmt: skip


def interpolate(
    start: Annotated[int, typer.Option(help="Row to start from.")],
    end: Annotated[int, typer.Option(help="Row to arrive at.")],
    config: ConfigPath = DEFAULT_CONFIG,
    output: Output = Path("interpolated.png"),
    steps: Steps = 9,
    path: Annotated[Literal["linear", "spherical"], typer.Option(help="Kind of way.")] = "linear",
    version: VersionNumber = None,
) -> None:
    """Walk from one row to another through the latent space.

    Example:

        vae-anomaly interpolate payments.yaml --start 17 --end 42 --output way.png
    """
    from pipeline import making

    _make(
        config, version, output,
        lambda source: making.interpolate(source, start, end, steps=steps, path=path),
    )  # fmt: skip


def denoise(
    config: ConfigPath = DEFAULT_CONFIG,
    output: Output = Path("denoised.parquet"),
    rows: RowIds = None,
    noise: Annotated[float, typer.Option(min=0, help="Noise to add first, to see it go.")] = 0.0,
    version: VersionNumber = None,
    seed: Seed = 0,
) -> None:
    """Take noise out of rows.

    Example:

        vae-anomaly denoise digits.yaml --noise 0.3 --output denoised.png
    """
    from pipeline import making

    _make(config, version, output, lambda source: making.denoise(source, rows, noise, seed))


def impute(
    config: ConfigPath = DEFAULT_CONFIG,
    output: Output = Path("imputed.parquet"),
    rows: RowIds = None,
    blank: Annotated[
        float, typer.Option(min=0, max=1, help="Share of cells to empty first, as a trial.")
    ] = 0.0,
    version: VersionNumber = None,
    seed: Seed = 0,
) -> None:
    """Fill in missing cells with what the version expects given the others.

    Example:

        vae-anomaly impute payments.yaml --rows 1-1000 --output filled.parquet
    """
    from pipeline import making

    _make(config, version, output, lambda source: making.impute(source, rows, blank, seed))


def compress(
    config: ConfigPath = DEFAULT_CONFIG,
    output: Output = Path("compressed.parquet"),
    rows: RowIds = None,
    step: Annotated[float, typer.Option(min=1e-6, help="Step of the quantiser.")] = 0.5,
    version: VersionNumber = None,
) -> None:
    """Turn rows into whole numbers; say how many bits they take and what is lost.

    Example:

        vae-anomaly compress payments.yaml --step 0.25 --output rate.png
    """
    from pipeline import making

    _make(config, version, output, lambda source: making.compress(source, rows, step))


def _make(config: Path, version: int | None, output: Path, work: Callable[[Source], Made]) -> None:
    """Check the output, open the version, do the work, write, and say what was made."""
    from pipeline.cli.output import facts
    from pipeline.making import check_output, open_version, write

    check_output(output)
    loaded, home = load_existing(config)
    source = open_version(home, loaded, version)
    made = work(source)
    write(made, output)
    console = terminal()
    facts(console, f"{loaded.name}, version {source.version}", made.facts)
    console.print(f"Written to {output}", markup=False, highlight=False, soft_wrap=True)


def _named(rows: str | None) -> str | None:
    """The same; what names no rows is refused before anything is loaded.

    Raises:
        MakingError: it does not.
    """
    if rows is not None:
        from pipeline.making import row_ids

        row_ids(rows)
    return rows


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not CONDITION=CATEGORY")
    return name, value
