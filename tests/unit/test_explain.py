"""Reasons in words, from hand-made contributions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from pipeline.explain import LATENT, number, percent, quoted, reasons, say


@dataclass
class Explained:
    contributions: np.ndarray
    latent: np.ndarray
    names: tuple[str, ...] = ("bytes", "service", "duration")


@dataclass
class Rows:
    """Three rows with known contributions (the part of a scorer that reasons need)."""

    contributions: np.ndarray
    latent: np.ndarray

    def explain(self, data: dict[str, np.ndarray]) -> Explained:
        return Explained(self.contributions, self.latent)

    def reconstruct(self, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            "bytes": np.array([10.0, 10.0, 10.0]),
            "service": np.array(["http"] * 3, dtype=object),
            "duration": np.array([2.5, 2.5, 2.5]),
        }

    def expected_probability(self, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"service": np.array([0.002, 0.9, 0.9])}


DATA = {
    "bytes": np.array([400.0, 10.0, 10.0]),
    "service": np.array(["ftp_data", "http", "http"], dtype=object),
    "duration": np.array([np.nan, 2.5, 2.5]),
}


def test_strongest_first_and_only_what_raises_the_score() -> None:
    rows = Rows(
        np.array([[50.0, 20.0, 5.0], [-1.0, 0.1, -2.0], [-1.0, -1.0, -1.0]]),
        np.array([1.0, 30.0, -1.0]),
    )
    first, second, third = reasons(rows, DATA)
    assert first == [
        "bytes 40× what this model expects here",
        "service = 'ftp_data': this model gives it 0.2 % here and expects 'http'",
        "duration missing, where this model expects about 2.5",
    ]
    assert second == [LATENT]
    assert third == []


def test_at_most_top_reasons() -> None:
    rows = Rows(np.ones((3, 3)), np.ones(3))
    assert [len(told) for told in reasons(rows, DATA, top=2)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("value", "expected", "probability", "text"),
    [
        (400.0, 10.0, None, "c 40× what this model expects here"),
        (24.0, 10.0, None, "c 2.4× what this model expects here"),
        (20.0, 10.0, None, "c 2× what this model expects here"),
        (12_345.0, 10.0, None, "c 1,200× what this model expects here"),
        (5.4e6, 0.01, None, "c = 5,400,000, where this model expects about 0.01"),
        (0.0, 230.0, None, "c = 0, where this model expects about 230"),
        (-12.0, 3.0, None, "c = −12, where this model expects about 3"),
        (1.0213, 1.0208, None, "c = 1.0213, where this model expects almost exactly 1.0208"),
        (3.0, np.nan, None, "c = 3, where this model expects none"),
        (np.nan, 3.0, None, "c missing, where this model expects about 3"),
        (None, "a", 0.1, "c missing, which is unusual here"),
        (None, None, 0.1, "c missing"),
        ("x", "y", 1e-5, "c = 'x': this model gives it less than 0.1 % here and expects 'y'"),
        ("x", "x", 0.4, "c = 'x': this model gives it 40 % here"),
        ("x", "x", 0.97, "c = 'x': this model gives it only 97 % here"),
    ],
)
def test_say(value: object, expected: object, probability: float | None, text: str) -> None:
    assert say("c", value, expected, probability) == text


def test_numbers_as_people_write_them() -> None:
    written = [number(v) for v in (12.0, -3.5, 1234.56, 0.0, -0.0, 1e20, 3e-7, np.inf, 201_421)]
    assert written == ["12", "−3.5", "1,235", "0", "0", "1.00e+20", "3.00e-07", "∞", "201,421"]
    assert percent(0.0) == "0 %"
    assert percent(1.0) == "100 %"
    assert quoted("x" * 80).endswith("…'")
