"""Column encodings: round trips, Jacobians, unseen and missing cells, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.preprocess import MOST_CATEGORIES, fit_categorical
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
    most = np.finfo(float).max
    steep = NumericColumn("steep", 2.0, 0.5, "asinh", origin=-1e300, knee=1e-3)
    x, log_jacobian = Encoding([steep]).encode({"steep": np.array([-most, 0.0, most])})
    assert (np.diff(x[:, 0]) > 0).all()
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


def test_columns_of_unequal_length_are_refused() -> None:
    cells = data(logged_in=[1, 0, 1, 0])
    for short in (1, 3):
        with pytest.raises(ValueError, match=rf"'rate' has {short} row\(s\), 'service' has 4"):
            Encoding(COLUMNS).encode(cells | {"rate": cells["rate"][:short]})


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


def test_a_category_of_the_bucket_has_its_share_of_it_only() -> None:
    common = [f"c{i}" for i in range(MOST_CATEGORIES) for _ in range(9)]
    rare = [f"r{i}" for i in range(30) for _ in range(4)]
    column = fit_categorical("k", np.array(common + rare, dtype=object), nullable=True)
    assert column is not None
    assert len(column.categories) == MOST_CATEGORIES
    assert (len(column.rare), column.rare_kinds, column.rare_rows) == (30, 30, 120)
    encoding = Encoding([NumericColumn("x", 0.0, 1.0), column])
    cells = np.array(["c0", "r7", "never", None], dtype=object)
    x, left_out = encoding.encode({"x": np.zeros(4), "k": cells})
    assert x[1:3, encoding.layout.one_hots[0].start].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(left_out[:, 1], [0.0, -math.log(30), -math.log(121), 0.0])
    assert encoding.layout.closed == ()
    alone = Encoding([NumericColumn("x", 0.0, 1.0), CategoricalColumn("k", ("a",))])
    assert alone.encode({"x": np.zeros(1), "k": np.array(["b"], dtype=object)})[1].shape == (1, 1)
    assert alone.layout.closed == (0,)


def test_all_rows_speak_against_a_new_category_where_none_was_rare() -> None:
    column = fit_categorical("k", np.array(["a", "b"] * 50 + [None], dtype=object), nullable=True)
    assert column is not None
    encoding = Encoding([NumericColumn("x", 0.0, 1.0), column])
    assert encoding.layout.closed == (0,)
    cells = np.array(["a", "never", None], dtype=object)
    left_out = encoding.encode({"x": np.zeros(3), "k": cells})[1]
    np.testing.assert_allclose(left_out[:, 1], [0.0, -math.log(101), 0.0])
    assert encoding.encode({"x": np.zeros(1), "k": cells[:1]})[1].shape == (1, 1)


def test_cells_that_python_calls_equal_keep_their_own_category() -> None:
    encoding = Encoding([CategoricalColumn("k", ("1", "true"))])
    for cells in ([1, True, 1.0, "true"], [True, 1, "true", 1.0]):
        x, _ = encoding.encode({"k": np.array(cells, dtype=object)})
        found = [encoding.decode(x)["k"][i] for i in range(4)]
        assert found == [canonical(cell) for cell in cells]


def test_cells_without_a_hash_are_a_category_like_any_other() -> None:
    cells = np.empty(2, dtype=object)
    cells[:] = [[1, 2], {"a": 1}]
    encoding = Encoding([CategoricalColumn("k", ("[1, 2]",))])
    assert encoding.decode(encoding.encode({"k": cells})[0])["k"].tolist() == ["[1, 2]", "(other)"]
