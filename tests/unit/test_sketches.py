"""The drawings of the report: well-formed, placed where the numbers say, no figure lost."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sketches import ScoreAxis, marginal, nights_line, rate_strip, score_histogram

SCORES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60)


@settings(deadline=None)
@given(calibration=SCORES, night=SCORES, place=st.floats(0, 1))
def test_every_score_is_drawn_and_on_its_side_of_the_threshold(
    calibration: list[float], night: list[float], place: float
) -> None:
    table, scores = np.sort(calibration), np.array(night)
    threshold = float(np.quantile(table, place, method="lower"))
    axis = ScoreAxis(table, scores.min(), scores.max(), threshold)
    counts = axis.count(scores)
    assert counts.sum() == len(scores)
    above = counts[axis.positions[:-1] >= axis.threshold_at - 1e-9].sum()
    assert above == (scores > threshold).sum()
    assert np.all(np.diff(axis.positions) > 0)
    assert 0 <= axis.positions[0] < axis.positions[-1] <= 1 + 1e-9
    figure = score_histogram(
        axis.edges, counts, axis.count(table), threshold, axis.positions,
        axis.threshold_at, axis.ticks(),
    )  # fmt: skip
    ElementTree.fromstring(str(figure))


def test_the_threshold_beside_another_cut_off() -> None:
    axis = ScoreAxis(np.linspace(-100, 50, 500), -100, 60, 50.0)
    counts = axis.count(np.array([0.0, 45.0, 55.0]))
    figure = str(
        score_histogram(
            axis.edges, counts, counts, 50.0, axis.positions, axis.threshold_at, axis.ticks(),
            "weighted cut-off", (40.0, axis.at(40.0)),
        )
    )  # fmt: skip
    ElementTree.fromstring(figure)
    assert "1 above the weighted cut-off 50" in figure
    assert ">weighted cut-off 50</span>" in figure and ">own threshold 40</span>" in figure
    assert axis.at(50.0) == pytest.approx(axis.threshold_at)
    assert 0 < axis.at(40.0) < axis.threshold_at
    assert (axis.at(-1e9), axis.at(1e9)) == (0, 1)


def test_ticks_are_round_and_apart() -> None:
    axis = ScoreAxis(np.linspace(-100, 50, 500), -100, 80_000, 40.0)
    ticks = axis.ticks()
    places = [at for at, _ in ticks]
    assert min(np.diff(places)) >= 0.085
    assert "0" in [text for _, text in ticks]
    assert len(ticks) >= 5


@pytest.mark.parametrize(
    ("rate", "beyond"), [(0.0, False), (0.02, False), (0.0201, True), (1.0, True)]
)
def test_a_rate_beyond_its_limit_is_drawn_in_the_colour_of_alarm(rate: float, beyond: bool) -> None:
    figure = str(rate_strip(rate, 0.005, 0.01, 0.02))
    ElementTree.fromstring(figure)
    assert ('class="mark beyond"' in figure) is beyond


@given(rate=st.floats(0, 1), low=st.floats(0, 1), more=st.floats(0, 1), share=st.floats(0, 1))
def test_any_rate_can_be_drawn(rate: float, low: float, more: float, share: float) -> None:
    figure = ElementTree.fromstring(str(rate_strip(rate, low, low + more, low + more + share)))
    ticks = [span for span in figure.iter("span") if "tick" in span.get("class", "")]
    assert 3 <= len(ticks) <= 7


def test_a_rate_of_nothing() -> None:
    ElementTree.fromstring(str(rate_strip(0.0, 0.0, 0.0, 0.0)))


def test_nights_line() -> None:
    figure = str(nights_line([0.01, 0.02, 0.3], [0.02, 0.02, 0.02]))
    ElementTree.fromstring(figure)
    assert figure.count('class="dot beyond"') == 1
    assert len(re.findall(r'class="dot', figure)) == 3
    ElementTree.fromstring(str(nights_line([0.0], [0.0])))


@pytest.mark.parametrize(
    ("real", "drawn", "apart"),
    [([], [], "0 %"), ([0.0], [0.0], "0 %"), ([0.5, 0.5], [1.0, 0.0], "50 %")],
)
def test_a_column_beside_what_is_drawn_of_it(
    real: list[float], drawn: list[float], apart: str
) -> None:
    text = marginal(np.array(real), np.array(drawn), [(0.5, "<b>")])
    assert text.count('class="bar"') == len(real)
    assert f"differ from real ones in {apart} of them" in text
    assert "&lt;b&gt;" in text
