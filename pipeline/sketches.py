"""The drawings of a night's report: small, drawn by hand as inline SVG, no plotting library.

Shapes stretch with the page (`preserveAspectRatio="none"`), labels are HTML placed in per cent
beside them: so the text keeps its size on a telephone and in print. Colours are CSS classes,
so that light and dark follow the reader. Only numbers written here enter the markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup

from pipeline.wording import number, percent

WIDTH, HEIGHT = 1000.0, 100.0


def rate_strip(
    rate: float, low: float, high: float, limit: float, what: str = "alert rate"
) -> Markup:
    """A rate beside the interval that chance allows it.

    Args:
        rate: measured share of rows, in [0, 1].
        low, high: what chance alone allows, shares.
        limit: high plus the expected share of anomalies; ≥ high.
        what: name of the rate, for readers who hear the page.

    Returns:
        A strip from 0: the chance band, the expected band up to `limit`, and a mark at `rate`.
    """
    top = _round_up(max(rate, limit, 1e-9) * 1.12)

    def at(share: float) -> float:
        return WIDTH * share / top

    shapes = [
        f'<rect class="axis" x="0" y="66" width="{WIDTH:.0f}" height="3"/>',
        _rect("expected", at(high), at(limit), 34, 66) if limit > high else "",
        _rect("chance", at(low), at(high), 34, 66),
        _line("limit", at(limit), 22, 78),
        _line("mark beyond" if rate > limit else "mark", at(rate), 10, 74),
    ]
    labels = [_label(at(tick), percent(tick), "tick") for tick in _linear_ticks(top)]
    said = (
        f"{what} {percent(rate)}; chance allows {percent(low)} to {percent(high)}, "
        f"with the expected anomalies up to {percent(limit)}"
    )
    side = " left" if rate > 0.7 * top else ""
    value = _label(at(rate), percent(rate), f"value{side}{' beyond' if rate > limit else ''}")
    return _figure("strip", said, shapes, [value, *labels])


def score_histogram(
    edges: np.ndarray,
    counts: np.ndarray,
    calibration: np.ndarray,
    threshold: float,
    positions: np.ndarray,
    threshold_at: float,
    ticks: Iterable[tuple[float, str]],
    name: str = "threshold",
    plain: tuple[float, float] | None = None,
) -> Markup:
    """How often each score occurred, on logarithmic counts, with the threshold.

    Args:
        edges: (B + 1,) bin edges in units of the score, for the spoken summary.
        counts: (B,) rows of the night in each bin.
        calibration: (B,) rows expected in each bin if the night were like the calibration rows.
        threshold: in units of the score.
        positions: (B + 1,) edges on the page, in [0, 1].
        threshold_at: the threshold on the page, in [0, 1].
        ticks: (position in [0, 1], label) along the axis of scores.
        name: of the threshold, as the page calls it.
        plain: the model's own threshold, and its place on the page in [0, 1], where another one
            chose the alerts.

    Returns:
        Bars (beyond the threshold in the colour of alarm), the calibration rows as an outline.
    """
    most = float(max(counts.max(initial=0), calibration.max(initial=0), 1.0))

    def height(count: float) -> float:
        return HEIGHT * float(np.log1p(count)) / float(np.log1p(most)) * 0.96

    shapes = []
    powers = [10**k for k in range(int(np.log10(most)) + 1)]
    for power in powers:
        y = HEIGHT - height(power)
        shapes.append(f'<path class="grid" d="M0 {y:.2f}H{WIDTH:.0f}"/>')
    for left, right, count in zip(positions[:-1], positions[1:], counts, strict=True):
        if count:
            kind = "bar beyond" if left >= threshold_at - 1e-9 else "bar"
            shapes.append(
                _rect(kind, left * WIDTH, right * WIDTH, HEIGHT - height(count), HEIGHT, gap=1.2)
            )
    outline = [f"M{positions[0] * WIDTH:.1f} {HEIGHT:.0f}"]
    for right, count in zip(positions[1:], calibration, strict=True):
        outline.append(f"V{HEIGHT - height(count):.2f}H{right * WIDTH:.1f}")
    shapes.append(f'<path class="outline" d="{"".join(outline)}V{HEIGHT:.0f}"/>')
    shapes.append(_line("limit", threshold_at * WIDTH, 0, HEIGHT))
    labels = [_label(x * WIDTH, text, "tick") for x, text in ticks]
    labels += [
        Markup('<span class="power" style="top:{:.2f}%">{}</span>').format(
            HEIGHT - height(power), f"{power:,}"
        )
        for power in powers
    ]
    side = " left" if threshold_at > 0.7 else ""
    labels.append(_label(threshold_at * WIDTH, f"{name} {number(threshold)}", f"value{side}"))
    if plain is not None:
        score, at = plain
        shapes.append(_line("limit plain", at * WIDTH, 0, HEIGHT))
        side = " left" if at > 0.7 else ""
        text = f"own threshold {number(score)}"
        labels.append(_label(at * WIDTH, text, f"value second{side}"))
    said = (
        f"{int(counts.sum()):,} scores from {number(edges[0])} to {number(edges[-1])}, "
        f"{int(counts[positions[:-1] >= threshold_at - 1e-9].sum()):,} above the {name} "
        f"{number(threshold)}"
    )
    return _figure("histogram", said, shapes, labels)


def nights_line(rates: Sequence[float], limits: Sequence[float]) -> Markup:
    """The alert rate of night after night, against what each night's promise explains.

    Args:
        rates: (T,) alert rates in time order, shares; the last one is this night's.
        limits: (T,) largest rates explained, shares.

    Returns:
        One mark a night, in the colour of alarm beyond its limit, joined by a line.
    """
    top = max([*rates, *limits, 1e-9]) * 1.1
    step = WIDTH / max(1, len(rates))
    points = [
        (step * (i + 0.5), HEIGHT * (1 - 0.92 * rate / top) - 2) for i, rate in enumerate(rates)
    ]
    shapes = [f'<path class="axis-line" d="M0 {HEIGHT - 1:.0f}H{WIDTH:.0f}"/>']
    for i, limit in enumerate(limits):
        y = HEIGHT * (1 - 0.92 * limit / top) - 2
        shapes.append(f'<path class="limit" d="M{step * i:.1f} {y:.2f}h{step:.1f}"/>')
    line = "L".join(f"{x:.1f} {y:.2f}" for x, y in points)
    shapes.append(f'<path class="trend" d="M{line}"/>')
    dots = [
        Markup('<span class="dot{}" style="left:{:.2f}%;top:{:.2f}%"></span>').format(
            " beyond" if rate > limit else "", 100 * x / WIDTH, 100 * y / HEIGHT
        )
        for (x, y), rate, limit in zip(points, rates, limits, strict=True)
    ]
    said = "alert rate of each night: " + ", ".join(percent(rate) for rate in rates)
    return _figure("nights", said, shapes, dots)


def marginal(real: np.ndarray, drawn: np.ndarray, labels: Iterable[tuple[float, str]]) -> Markup:
    """A column's values among real rows, as bars, and among drawn ones, as a line.

    Args:
        real, drawn: (B,) shares by bin; none where every cell is missing.
        labels: (position in [0, 1], text) along the axis of values.
    """
    most = max(float(real.max(initial=0.0)), float(drawn.max(initial=0.0)), 1e-9)
    edges = np.linspace(0.0, WIDTH, len(real) + 1)
    tops = [HEIGHT * (1 - 0.96 * shares / most) for shares in (real, drawn)]
    shapes = [
        _rect("bar", left, right, top, HEIGHT, gap=1.2)
        for left, right, top in zip(edges[:-1], edges[1:], tops[0], strict=True)
    ]
    steps = "".join(
        f"V{top:.2f}H{right:.1f}" for top, right in zip(tops[1], edges[1:], strict=True)
    )
    shapes.append(f'<path class="outline" d="M0 {HEIGHT:.0f}{steps}V{HEIGHT:.0f}"/>')
    apart = percent(0.5 * float(np.abs(real - drawn).sum()))
    said = f"shares of values; drawn rows differ from real ones in {apart} of them"
    return _figure("marginal", said, shapes, [_label(x * WIDTH, t, "tick") for x, t in labels])


class ScoreAxis:
    """Scores laid out so that the body and a tail of many decades are both seen.

    Positions run as asinh((score − center) / width): linear about the calibration rows,
    logarithmic away from them.

    Args:
        calibration: (n,) sorted calibration scores, finite.
        lowest, highest: smallest and largest score to be shown.
        threshold: always a bin edge, so that no bin is half alarm.
        bins: number of bins, about.
    """

    def __init__(
        self,
        calibration: np.ndarray,
        lowest: float,
        highest: float,
        threshold: float,
        bins: int = 72,
    ) -> None:
        quarters = np.quantile(calibration, [0.05, 0.5, 0.95])
        self.center = float(quarters[1])
        self.width = max(float(quarters[2] - quarters[0]), 1e-9 * max(1.0, abs(self.center)))
        self.threshold = threshold
        low = min(lowest, float(calibration[0]), threshold)
        high = max(highest, float(calibration[-1]), threshold)
        start, stop, cut = (float(v) for v in self._bend(np.array([low, high, threshold])))
        span = max(stop - start, 1e-9)
        start, stop = start - 0.015 * span, stop + 0.015 * span
        below = max(1, round(bins * (cut - start) / (stop - start)))
        bent = np.concatenate(
            [
                np.linspace(start, cut, below + 1),
                np.linspace(cut, stop, max(2, bins - below + 1))[1:],
            ]
        )
        self.edges = self.center + self.width * np.sinh(bent)
        self.edges[below] = threshold
        self.positions = (bent - start) / (stop - start)
        self.threshold_at = float(self.positions[below])
        self._start, self._span = start, stop - start

    def at(self, score: float) -> float:
        """Where a score lies on the page, in [0, 1]; one beyond the axis at its end."""
        place = (float(self._bend(np.array([score]))[0]) - self._start) / self._span
        return min(1.0, max(0.0, place))

    def count(self, scores: np.ndarray) -> np.ndarray:
        """(B,) int64 counts of `scores`; a score equal to the threshold counts below it."""
        inside = np.searchsorted(self.edges, scores, side="left") - 1
        return np.bincount(
            np.clip(inside, 0, len(self.edges) - 2), minlength=len(self.edges) - 1
        ).astype(np.int64)

    def ticks(self, apart: float = 0.085) -> list[tuple[float, str]]:
        """Round scores at least `apart` from each other on the page: (position, label)."""
        sizes = [m * 10.0**k for k in range(-3, 16) for m in (1, 2, 5)]
        candidates = sorted({0.0, *sizes, *(-s for s in sizes)}, key=_roundness)
        chosen: list[tuple[float, str]] = []
        for score in candidates:
            at = float((self._bend(np.array([score]))[0] - self._start) / self._span)
            if 0.01 <= at <= 0.985 and all(abs(at - other) >= apart for other, _ in chosen):
                chosen.append((at, number(score)))
        return sorted(chosen)

    def _bend(self, scores: np.ndarray) -> np.ndarray:
        return np.arcsinh((scores - self.center) / self.width)


def _roundness(score: float) -> tuple[int, float]:
    """0 first, then powers of ten, then 5s and 2s; larger sizes first."""
    if score == 0:
        return (0, 0.0)
    lead = f"{abs(score):e}"[0]
    return ({"1": 1, "5": 2, "2": 3}[lead], -abs(score))


def _round_up(x: float) -> float:
    size = 10.0 ** np.floor(np.log10(x))
    return float(min(1.0, next(m * size for m in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if m * size >= x)))


def _linear_ticks(top: float) -> list[float]:
    size = 10.0 ** np.floor(np.log10(top))
    step = next(s for s in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0) if top / (s * size) <= 5.01) * size
    return [float(t) for t in np.arange(0.0, top * 1.0001, step)]


def _rect(kind: str, left: float, right: float, top: float, bottom: float, gap: float = 0) -> str:
    width = max(right - left - gap, 0.8)
    return (
        f'<rect class="{kind}" x="{left + gap / 2:.2f}" y="{top:.2f}" '
        f'width="{width:.2f}" height="{max(bottom - top, 0):.2f}"/>'
    )


def _line(kind: str, x: float, top: float, bottom: float) -> str:
    return f'<path class="{kind}" d="M{x:.2f} {top:.0f}V{bottom:.0f}"/>'


def _label(x: float, text: str, kind: str) -> Markup:
    edge = " first" if x < 0.02 * WIDTH else (" last" if x > 0.98 * WIDTH else "")
    return Markup('<span class="{}" style="left:{:.2f}%">{}</span>').format(
        kind + edge, 100 * x / WIDTH, text
    )


def _figure(kind: str, said: str, shapes: Iterable[str], labels: Iterable[Markup]) -> Markup:
    svg = Markup("".join(shapes))
    return Markup(
        '<div class="plot {}" role="img" aria-label="{}">'
        '<svg viewBox="0 0 {:.0f} {:.0f}" preserveAspectRatio="none" aria-hidden="true">{}</svg>{}'
        "</div>"
    ).format(kind, said, WIDTH, HEIGHT, svg, Markup("").join(labels))
