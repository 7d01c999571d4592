"""Column encodings: round trips, Jacobians, unseen and missing cells, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_core import BinaryColumn, CategoricalColumn, Encoding, NumericColumn, canonical

COLUMNS = [
    CategoricalColumn("service", ("ftp", "http"), nullable=True),
    NumericColumn("bytes", 2.0, 0.5, "asinh", origin=10.0, knee=3.0, nullable=True),
    BinaryColumn("logged_in", ("0", "1")),
    NumericColumn("rate", 5.0, 2.0),
]


def data(**changes: list) -> dict[str, np.ndarray]:
    cells = {
        "service": ["http", "ftp", "telnet", None],
        "bytes": [10.0, 1e9, np.nan, -4.0],
        "logged_in": [1, 0.0, "1", False],
        "rate": [5, 7, 9, 1],
    } | changes
    numeric = ("bytes", "rate")
    return {k: np.array(v, dtype=float if k in numeric else object) for k, v in cells.items()}


def test_round_trip_keeps_every_cell() -> None:
    cells = data(logged_in=[1, 0.0, "1", "0"])
    encoding = Encoding(COLUMNS)
    x, _ = encoding.encode(cells)
    back = encoding.decode(x)
    assert list(back) == [c.name for c in COLUMNS]
    assert back["service"].tolist() == ["http", "ftp", "(other)", None]
    assert back["logged_in"].tolist() == ["1", "0", "1", "0"]
    np.testing.assert_allclose(back["bytes"], cells["bytes"], rtol=1e-5)
    np.testing.assert_allclose(back["rate"], cells["rate"])


def test_width_is_padded_and_mask_says_what_was_observed() -> None:
    encoding = Encoding(COLUMNS)
    x, _ = encoding.encode(data(logged_in=[1, 0, 1, 0]))
    assert x.shape == (4, encoding.layout.width)
    assert encoding.layout.width % 8 == 0
    # grouped order: bytes, rate, logged_in, service
    assert encoding.layout.nullable == (0, 3)
    assert x[:, encoding.layout.mask].tolist() == [[1, 1], [1, 1], [0, 1], [1, 0]]


def test_log_jacobian_is_the_derivative_of_the_map() -> None:
    encoding = Encoding([COLUMNS[1], COLUMNS[3]])
    at = np.array([-50.0, 9.9, 10.0, 200.0, 1e6])
    step = 1e-6 * np.maximum(1, np.abs(at))

    def encode(values: np.ndarray) -> np.ndarray:
        ratio = (values - 10.0) / 3.0
        return (np.arcsinh(ratio) - 2.0) / 0.5

    slope = (encode(at + step) - encode(at - step)) / (2 * step)
    _, log_jacobian = encoding.encode({"bytes": at, "rate": at})
    np.testing.assert_allclose(log_jacobian[:, 0], np.log(slope), atol=1e-4)
    np.testing.assert_allclose(log_jacobian[:, 1], np.log(1 / 2.0))


@given(st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=20, unique=True))
def test_encoding_keeps_order(values: list[float]) -> None:
    encoding = Encoding([COLUMNS[1]])
    ordered = np.sort(np.array(values))
    x, _ = encoding.encode({"bytes": ordered})
    assert (np.diff(x[:, 0]) >= 0).all()


def test_absurd_numbers_stay_finite() -> None:
    x, log_jacobian = Encoding([COLUMNS[3], COLUMNS[1]]).encode(
        {"rate": np.array([1.7e308, -1.7e308]), "bytes": np.array([1.7e308, -1.7e308])}
    )
    assert np.isfinite(x).all()
    assert np.isfinite(x**2).all()
    assert np.isfinite(log_jacobian).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": [5, np.nan, np.nan, 1]}, r"'rate': 2 missing value\(s\) in a required column"),
        ({"rate": [5, np.inf, 9, 1]}, r"'rate': 1 infinite value\(s\)"),
        ({"logged_in": [1, 0, "maybe", 1]}, r"'logged_in': 1 row\(s\) with a value other than"),
    ],
)
def test_refusals_name_column_and_count(changes: dict, message: str) -> None:
    cells = data(logged_in=[1, 0, 1, 0])
    cells |= {k: data(**{k: v})[k] for k, v in changes.items()}
    with pytest.raises(ValueError, match=message):
        Encoding(COLUMNS).encode(cells)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match=r"missing column.*rate"):
        Encoding(COLUMNS).encode({k: v for k, v in data().items() if k != "rate"})


def test_saved_form_is_plain_and_complete() -> None:
    encoding = Encoding(COLUMNS)
    assert Encoding.from_dict(encoding.to_dict()).columns == encoding.columns


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "5"), (5.0, "5"), ("5", "5"), (5.5, "5.5"), (True, "true"), (np.bool_(False), "false"),
     (None, None), (float("nan"), None), (np.float64(3), "3"), ("", "")],
)  # fmt: skip
def test_one_spelling_per_category(value: object, text: str | None) -> None:
    assert canonical(value) == text
