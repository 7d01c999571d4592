"""VAEDetector: scikit-learn's contract, small samples, data frames, missing cells."""

import re
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from pipeline import VAEDetector

QUICK = VAEDetector(members=2, max_epochs=20, random_state=0)


LONG = {"check_estimators_dtypes", "check_classifier_data_not_an_array", "check_fit_idempotent"}


def checks() -> list:
    return [
        pytest.param(
            estimator,
            check,
            id=check.func.__name__,
            marks=[pytest.mark.slow] if check.func.__name__ in LONG else [],
        )
        for estimator, check in estimator_checks_generator(QUICK, mark=None)
        # runs only where SCIPY_ARRAY_API is set, for libraries that this estimator does not take
        if check.func.__name__ != "check_array_api_input"
    ]


@pytest.mark.parametrize(("estimator", "check"), checks())
def test_scikit_learn_contract(estimator: VAEDetector, check: object) -> None:
    assert check(estimator) is None  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_scikit_learn_contract_with_defaults() -> None:
    failed = []
    for estimator, check in estimator_checks_generator(VAEDetector(), mark=None):
        if check.func.__name__ == "check_array_api_input":
            continue
        try:
            check(estimator)
        except Exception as error:
            failed.append((check.func.__name__, error))
    assert not failed


def blobs(rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, 2))
    return z @ np.array([[1, 2, 0, -1], [0, 1, 3, 1.0]]) + 0.1 * rng.normal(size=(rows, 4))


@pytest.fixture(scope="module")
def detector() -> VAEDetector:
    return clone(QUICK).set_params(max_epochs=200).fit(blobs(1000))


def test_finds_what_breaks_the_pattern_and_keeps_its_promise(detector: VAEDetector) -> None:
    normal, odd = blobs(2000, seed=1), np.random.default_rng(2).normal(size=(200, 4)) * 3
    assert detector.guarantee_
    assert 0.02 < (detector.predict(normal) == -1).mean() < 0.09
    assert (detector.predict(odd) == -1).mean() > 0.8


def test_signs_and_offsets_agree(detector: VAEDetector) -> None:
    X = blobs(300, seed=3)
    frame = detector.score_frame(X)
    np.testing.assert_array_equal(detector.score_samples(X), -frame["anomaly_score"])
    np.testing.assert_array_equal(detector.predict(X) == -1, frame["is_anomaly"])
    np.testing.assert_array_equal(detector.decision_function(X) < 0, frame["p_value"] <= 0.05)
    total = detector.explain(X).sum(1) + frame["latent"] + detector.expected_
    np.testing.assert_allclose(total, frame["anomaly_score"], rtol=1e-9)


SLOW = [pytest.param(rows, marks=pytest.mark.slow) for rows in (3, 9, 10)]


@pytest.mark.parametrize("rows", [2, *SLOW, 40, 94, 95])
def test_any_size_fits(rows: int) -> None:
    X = blobs(rows)
    detector = clone(QUICK).fit(X)
    # alpha = 0.05 needs 19 calibration rows: a fifth of 95
    assert detector.guarantee_ == (rows >= 95)
    assert np.isfinite(detector.score_samples(X)).all()
    assert len(detector.scorer_.calibration["anomaly_score"]) == (19 if rows >= 95 else rows)


def test_data_frames_keep_their_kinds() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "amount": rng.normal(size=300),
            "kind": rng.choice(["a", "b"], size=300),
            "paid": rng.random(300) < 0.5,
            "same": 7,
        },
        index=range(1000, 1300),
    )
    frame.loc[1000:1050, "amount"] = np.nan
    detector = clone(QUICK).fit(frame)
    assert detector.dropped_columns_ == ("same",)
    assert list(detector.score_frame(frame).index) == list(frame.index)
    assert detector.explain(frame).shape == (300, 4)
    assert (detector.explain(frame)[:, 3] == 0).all()
    drawn = detector.generate(20)
    assert list(drawn.columns) == list(frame.columns)
    assert set(drawn["kind"]) <= {"a", "b"}
    assert (detector.reconstruct(frame)["same"] == 7).all()
    odd = frame.assign(kind="never seen")
    assert np.isfinite(detector.score_samples(odd)).all()


@pytest.mark.parametrize("kind", ["boolean", "bool[pyarrow]", object])
def test_truth_values_may_be_missing(kind: str | type) -> None:
    frame = pd.DataFrame(blobs(120)).add_prefix("x")
    frame["on"] = pd.Series([True, None, False] * 40, dtype=kind)
    detector = clone(QUICK).fit(frame)
    scores = detector.score_samples(frame)
    plain = frame.assign(on=frame.on.astype(object).where(frame.on.notna(), None))
    np.testing.assert_array_equal(scores, detector.score_samples(plain))
    for made in (detector.impute(frame), detector.reconstruct(frame)):
        assert made.on.dtype == frame.on.dtype
        assert set(made.on) == {True, False}
    drawn = detector.generate(99).on
    assert {None if pd.isna(cell) else cell for cell in drawn} == {True, False, None}
    known = frame.on.notna().to_numpy()
    assert (detector.impute(frame).on[known] == frame.on[known].astype(bool)).all()


def test_made_rows_come_with_the_index_and_types_of_the_frame() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "single": rng.normal(size=120).astype(np.float32),
            "whole": pd.array(rng.integers(0, 9, 120), dtype="Int64"),
            "grade": pd.Categorical(rng.choice([1, 2, 3], 120), ordered=True),
            "text": pd.array(rng.choice(["u", "v", "w"], 120), dtype="string"),
            "always": np.full(120, 7, dtype=np.int8),
        },
        index=pd.date_range("2026-01-01", periods=120),
    )
    gone = frame.copy()
    gone.loc[gone.index[:20], ["single", "grade", "text"]] = None
    detector = clone(QUICK).fit(gone)
    for made in (detector.impute(gone), *detector.impute(gone, draws=2)):
        pd.testing.assert_frame_equal(made.iloc[20:], frame.iloc[20:])
        assert not made.isna().any().any()
    for made in (detector.reconstruct(gone), detector.denoise(gone)):
        assert made.index.equals(frame.index)
        # means of whole numbers
        assert made.dtypes.drop("whole").equals(frame.dtypes.drop("whole"))
        assert made.dtypes["whole"] == np.float64
    assert detector.generate(9).dtypes.drop("whole").equals(frame.dtypes.drop("whole"))


@pytest.mark.parametrize("number", [float, Decimal])
def test_objects_that_are_numbers_are_numeric(number: type) -> None:
    frame = pd.DataFrame(blobs(200)).add_prefix("x")
    frame["x0"] = pd.Series([number(str(x)) for x in frame.x0], dtype=object)
    detector = clone(QUICK).fit(frame)
    odd = frame.head(5).copy()
    odd["x0"] = pd.Series([number("1e6")] * 5, dtype=object)
    assert (detector.predict(odd) == -1).all()


@pytest.mark.parametrize(
    "times",
    [
        pd.Series(pd.date_range("2024-01-01", periods=100)),
        pd.Series(pd.to_timedelta(np.arange(100), "s")),
        pd.Series(pd.period_range("2024-01-01", periods=100)),
        pd.Series([date(2024, 1, 1 + i % 28) for i in range(100)], dtype=object),
    ],
    ids=["dates", "durations", "periods", "objects"],
)
def test_dates_are_refused_with_their_column(times: pd.Series) -> None:
    frame = pd.DataFrame(blobs(100)).add_prefix("x").assign(when=times)
    with pytest.raises(ValueError, match="column 'when' holds dates, times or durations"):
        clone(QUICK).fit(frame)


def test_missing_cells_where_none_were_are_named() -> None:
    X = blobs(100)
    detector = clone(QUICK).fit(X)
    X[3:5, 2] = np.nan
    with pytest.raises(ValueError, match=r"column '2': 2 missing value\(s\) in a required column"):
        detector.predict(X)
    nullable = clone(QUICK).fit(X)
    assert np.isfinite(nullable.score_samples(X)).all()


def test_the_score_parameter_is_a_parameter() -> None:
    detector = VAEDetector(score="reconstruction_error")
    assert detector.get_params()["score"] == "reconstruction_error"
    assert not hasattr(detector, "score")
    X = blobs(200)
    frame = clone(QUICK).set_params(score="combined").fit(X).score_frame(X)
    assert not np.allclose(frame["anomaly_score"], frame["reconstruction_error"])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": 2}, "alpha must be a number above 0 and below 1, got 2"),
        ({"alpha": "0.05"}, "alpha must be a number above 0 and below 1, got '0.05'"),
        ({"alpha": np.nan}, "alpha must be a number above 0 and below 1, got nan"),
        ({"trim": 1.0}, "trim must be a number of at least 0 and below 1, got 1.0"),
        ({"members": 0}, "members must be a whole number of at least 1, got 0"),
        ({"members": 1.5}, "members must be a whole number of at least 1, got 1.5"),
        ({"latent_dim": 0}, "latent_dim must be a whole number of at least 1 or None, got 0"),
        ({"hidden": 64}, "hidden must be a sequence of whole numbers, got 64"),
        ({"hidden": (64, 7)}, "hidden: widths must be multiples of 8, [64, 7] are not"),
        ({"max_epochs": 0}, "max_epochs must be a whole number of at least 1, got 0"),
        ({"max_epochs": True}, "max_epochs must be a whole number of at least 1, got True"),
        ({"conditions": "c"}, "conditions must be a sequence of column names, got 'c'"),
        ({"conditions": None}, "conditions must be a sequence of column names, got None"),
        ({"variant": 5}, "variant must be text, got 5"),
        ({"model": "conv"}, "model must be a mapping of settings by name, got 'conv'"),
        ({"model": {"latent": 3}}, "model: unknown setting 'latent'; did you mean 'latent_dim'?"),
        ({"model": {"members": 0}}, "model: members must be a whole number of at least 1, got 0"),
        ({"members": 2, "model": {"denoisers": 2}}, "`denoisers` must be fewer than the 2 members"),
        ({"model": {"draws": 3}}, "model: draws: must be 1 or even"),
        ({"model": {"activation": "tanh"}}, "model: activation must be 'silu' or 'relu', got 'ta"),
        (
            {"model": {"temperature": (1,)}},
            "model: temperature must be a sequence of 2 numbers above",
        ),
        ({"training": {"beta": -1}}, "training: beta must be a number of at least 0, got -1"),
        ({"training": {"max_steps": 0}}, "training: max_steps must be a whole number of at least"),
        ({"training": {"drop": 2.0}}, "training: drop must be a number of at least 0 and below 1,"),
        ({"training": {"forget": 1.0}}, "training: forget must be a number of at least 0 and bel"),
        ({"training": {"batch_size": 0}}, "training: batch_size must be a whole number of at lea"),
        ({"training": {"learning_rate": "a"}}, "training: learning_rate must be a number above 0"),
        ({"training": {"binarise": 1}}, "training: binarise must be True or False, got 1"),
        ({"training": {"capacity": -1}}, "training: capacity must be a number of at least 0 or N"),
    ],
)
def test_parameters_keep_to_the_limits_of_the_config(
    parameters: dict[str, object], message: str
) -> None:
    detector = VAEDetector(**parameters)
    with pytest.raises(ValueError, match=re.escape(message)):
        detector.fit(blobs(50))


def test_parameters_may_be_numpys() -> None:
    given = {
        "members": np.int64(1),
        "hidden": np.array([8, 16]),
        "max_epochs": np.int32(1),
        "alpha": np.float32(0.1),
        "training": {"beta": 1, "noise": np.float64(0.1), "trim": 0.1},
        "model": {"latent_dim": np.int64(2)},
    }
    plain = {
        **given,
        "members": 1,
        "hidden": [8, 16],
        "max_epochs": 1,
        "alpha": float(np.float32(0.1)),
        "training": {"beta": 1.0, "noise": 0.1},
        "trim": 0.1,
        "model": {"latent_dim": 2},
    }
    scores = [
        VAEDetector(**parameters, random_state=0).fit(blobs(60)).score_samples(blobs(60))
        for parameters in (given, plain)
    ]
    np.testing.assert_array_equal(*scores)


def test_bad_parameters_are_named() -> None:
    with pytest.raises(ValueError, match="unknown score 'elbow'"):
        VAEDetector(score="elbow").fit(blobs(50))
    with pytest.raises(ValueError, match="every feature column is constant"):
        VAEDetector().fit(np.ones((50, 3)))


def test_a_cell_means_the_same_whatever_stands_beside_it() -> None:
    frame = pd.DataFrame(blobs(200)).add_prefix("x")
    frame["code"] = pd.Series([2**60 + 1, "x", Decimal("1.50"), True] * 50, dtype=object)
    detector = clone(QUICK).fit(frame)
    together = detector.score_samples(frame.head(8))
    alone = [detector.score_samples(frame.iloc[[row]])[0] for row in range(8)]
    np.testing.assert_array_equal(together, alone)


def test_text_among_numbers_is_told_by_its_column() -> None:
    frame = pd.DataFrame(blobs(100)).add_prefix("x")
    detector = clone(QUICK).fit(frame)
    with pytest.raises(ValueError, match="column 'x1' holds numbers, and a cell is none"):
        detector.predict(frame.head(3).assign(x1=["1", "n/a", "2"]))


def test_a_column_without_any_value_is_watched_for_values_of_every_kind() -> None:
    frame = pd.DataFrame(blobs(200)).add_prefix("x").assign(never=np.nan)
    detector = clone(QUICK).fit(frame)
    assert detector.dropped_columns_ == ("never",)
    for value in (5.0, "boo", True):
        assert (detector.predict(frame.head(4).assign(never=value)) == -1).all()


def test_dates_may_be_conditions() -> None:
    frame = pd.DataFrame(blobs(120)).add_prefix("x")
    frame["day"] = pd.to_datetime(["2024-01-01", "2024-01-02"] * 60)
    detector = clone(QUICK).set_params(conditions=["day"]).fit(frame)
    assert np.isfinite(detector.score_samples(frame)).all()
