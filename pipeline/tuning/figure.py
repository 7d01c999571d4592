"""The picture of a study: what was tried, and what it brought."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.canvas import ANOMALY, LINE, MUTED, NORMAL, canvas, describe
from pipeline.tuning.space import SPACE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pipeline.tuning.search import Trial
    from pipeline.tuning.study import TuneResult

TITLES = {"elbo": "held-out ELBO, nats (median row)", "detection": "AUROC, synthetic anomalies"}


def study_figure(result: TuneResult) -> Figure:
    """The objectives against each other, and each setting against the detection.

    Right and up is better. The config's own settings are a diamond, the best ones ringed.

    Args:
        result: with at least one finished trial.
    """
    finished = [trial for trial in result.trials if trial.failure is None]
    settings = list(finished[0].settings)
    panels = len(settings) + (len(result.objectives) > 1)
    figure, axes = canvas(1, panels, 1.2 + 3.0 * panels, 3.4)
    places = list(axes.flat) if panels > 1 else [axes]
    if len(result.objectives) > 1:
        values = [trial.metrics["elbo"] for trial in finished]
        _scatter(places[0], result, finished, values)
        describe(places[0], f"{len(finished)} trials", TITLES["elbo"], TITLES["detection"])
    for place, name in zip(places[-len(settings) :], settings, strict=True):
        _scatter(place, result, finished, [trial.settings[name] for trial in finished])
        if all(trial.settings[name] > 0 for trial in finished):
            _logarithmic(place)
        place.sharey(places[0])
        describe(place, "", SPACE[name].label, TITLES["detection"] if place is places[0] else "")
    places[0].legend(frameon=False, fontsize=8, loc="best")
    return figure


def _scatter(
    axes: Axes, result: TuneResult, finished: Sequence[Trial], values: Sequence[float]
) -> None:
    heights = [trial.metrics["detection"] for trial in finished]
    axes.plot(values, heights, "o", color=NORMAL, markersize=4, alpha=0.7, label="trial")
    marks: list[tuple[Trial, dict[str, Any]]] = [
        (result.own, {"marker": "D", "color": LINE, "markersize": 5, "label": "your settings"}),
        (
            result.best,
            {"marker": "o", "color": ANOMALY, "fillstyle": "none", "markersize": 11}
            | {"markeredgewidth": 1.6, "label": "best"},
        ),
    ]
    for trial, style in marks:
        if trial in finished:
            place = finished.index(trial)
            axes.plot([values[place]], [heights[place]], linestyle="none", **style)
    axes.grid(color=MUTED, alpha=0.2, linewidth=0.6)


def _logarithmic(axes: Axes) -> None:
    """A logarithmic x axis with ticks at 1, 2, 5, 10, … in plain figures."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
