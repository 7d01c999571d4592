"""The whole detector as a scikit-learn estimator.

Legend: N rows, D columns.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from pipeline.detector_generation import GenerationMixin
from pipeline.detector_input import (
    ColumnKind,
    Form,
    are_pictures,
    form_of,
    frame_columns,
    is_frame,
    picture_columns,
)
from pipeline.detector_output import written
from pipeline.fitting import FitResult, calibrate_scorer, calibration_tables, fit_scorer
from pipeline.limits import within_limits
from pipeline.preprocess import FittedEncoding, fit_encoding
from pipeline.settings import ModelSettings, Section, ThresholdSettings, TrainSettings
from pipeline.thresholds import fit_conformal
from vae_core import ModelConfig, Scorer, TrainConfig

__all__ = ["ColumnKind", "VAEDetector", "frame_columns"]

if TYPE_CHECKING:
    import pandas as pd

Data = Mapping[str, np.ndarray]

VALIDATION_SHARE = 0.1
CALIBRATION_SHARE = 0.2
FOLDS = 5
LEAVE_ONE_OUT_BELOW = 10


class VAEDetector(GenerationMixin, OutlierMixin, BaseEstimator):
    """Anomaly detection with an ensemble of variational autoencoders and conformal p-values.

    What it does beside detecting, such as `generate` and `impute`, is in `GenerationMixin`.

    `X` is an (N, D) array, a data frame, or pictures (N, H, W) or (N, H, W, C) of whole numbers
    from 0 to 255. Columns of text, categories or booleans are modelled as what they are, and a
    column with missing cells in `fit` may have them later. A column of a data frame whose cells
    are pictures (arrays, nested lists, or the bytes of PNG or JPEG files) must be the only one,
    but for `conditions`.

    Args:
        alpha: false-positive rate of `predict` for rows like the training rows, in (0, 1).
        score: primary score: elbo, reconstruction_error, latent_distance, row_distance, either,
            both, combined or importance_weighted; for pictures likelihood_ratio, too.
        members: networks in the ensemble; None takes the tuned default, as below.
        latent_dim: latent size; None chooses from the number of columns.
        hidden: widths of the hidden layers, multiples of 8.
        max_epochs: passes over the training rows at most.
        trim: share of X's rows that may be anomalies themselves, in [0, 1): that many of the worst
            are not learned from. It does not move the threshold, as `contamination` does elsewhere.
        variant: which model, key of `vae_core.MODELS`; None: vae, or conditional with `conditions`.
        conditions: columns of a data frame that rows are judged by what is normal for; they are
            never judged themselves, and may be missing.
        model, training: further settings by name, as in the sections of a config: fields of
            `vae_core.ModelConfig` and `TrainConfig`, such as `{"network": "conv"}` for pictures,
            `{"prior": "vamp"}`, `{"beta": 4}`.
        device: auto, cpu or cuda.
        random_state: seed of the split, weights and batches; None draws a fresh one.

    Attributes:
        scorer_: `vae_core.Scorer`, calibrated.
        offset_: −threshold; `decision_function` is `score_samples` − `offset_`.
        guarantee_: whether P(predict = −1) ≤ alpha holds for rows exchangeable with X. False
            where X was too small for a calibration part of its own.
        expected_: scalar rest of `explain`.
        dropped_columns_: constant columns: not modelled, but a change of one counts.
        history_: training history, see `vae_core.TrainResult`.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.05,
        score: str = "combined",
        members: int | None = None,
        latent_dim: int | None = None,
        hidden: Sequence[int] | None = None,
        max_epochs: int | None = None,
        trim: float = 0.0,
        variant: str | None = None,
        conditions: Sequence[str] = (),
        model: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.alpha = alpha
        self.score = score
        self.members = members
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.max_epochs = max_epochs
        self.trim = trim
        self.variant = variant
        self.conditions = conditions
        self.model = model
        self.training = training
        self.device = device
        self.random_state = random_state
        self._form: Form  # set by `fit`

    @property
    def score(self) -> str:
        """A parameter, not a method: scikit-learn would call an attribute of this name, so it is
        hidden from `getattr` and read with `get_params()["score"]`."""
        raise AttributeError("`score` is a parameter; read it with get_params()")

    @score.setter
    def score(self, kind: str) -> None:
        self.__dict__["score"] = kind

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name."""
        return {name: vars(self)[name] for name in self._get_param_names()}

    def fit(self, X: Any, y: Any = None) -> VAEDetector:
        """Train, calibrate, set the threshold; `y` is not used.

        Args:
            X: (N, D), or (N, H, W[, C]) pictures; N ≥ 2.

        Returns:
            self.

        Raises:
            ValueError: X is not a table of finite numbers, categories and missing cells, all of
                its columns are constant, or a parameter is out of its range, which is that of the
                same setting of a config.
        """
        self._check_parameters()
        data = self._read(X, reset=True)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        order = np.random.default_rng(seed).permutation(_rows(data))
        calibration = int(CALIBRATION_SHARE * len(order))
        if calibration >= math.ceil(1 / self.alpha - 1e-9) - 1:
            fitted = self._fit_part(_take(data, order[calibration:]), seed)
            scorer = calibrate_scorer(
                fitted.scorer, _take(data, order[:calibration]), alpha=self.alpha
            )
        else:
            fitted = self._fit_part(_take(data, order), seed)
            scorer = self._cross_calibrate(data, order, fitted.scorer, seed)
        self.scorer_ = scorer
        self.guarantee_ = scorer.thresholds["anomaly_score"].guarantee
        self.offset_ = -scorer.thresholds["anomaly_score"].value
        self.dropped_columns_ = fitted.dropped
        self.history_ = fitted.training.history
        self.expected_ = scorer.explain(_take(data, order[:1])).expected
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """(N,) −anomaly_score: lower is more abnormal."""
        return -self._scorer().raw_scores(self._read(X)).anomaly_score

    def decision_function(self, X: Any) -> np.ndarray:
        """(N,) `score_samples` − `offset_`: below 0 is an outlier."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """(N,) −1 for outliers, +1 for inliers."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: Any) -> np.ndarray:
        """(N,) conformal p-values of the primary score; small is anomalous."""
        return self._scorer().score(self._read(X))["p_value"]

    def explain(self, X: Any) -> np.ndarray:
        """(N, D) each column's share of the anomaly score; positive = more anomalous. Of pictures
        (N, H, W), each pixel's share above its own mean over validation pictures.

        The sum over all but the rows, and `latent` from `score_frame`, and `expected_`, is the
        anomaly score.
        """
        scorer = self._scorer()
        if self._form.image is not None:
            return scorer.explain_pixels(self._read(X))
        explanation = scorer.explain(self._read(X))
        out = np.zeros((len(explanation.contributions), self.n_features_in_))
        position = {name: i for i, name in enumerate(self._form.kinds)}
        out[:, [position[name] for name in scorer.names]] = explanation.contributions
        return out

    def heat(self, X: Any) -> np.ndarray:
        """(N, H, W) squared error of each pixel of pictures, values in [0, 1], summed over
        channels; its sum over H·W·C is the reconstruction error.

        Raises:
            ValueError: the detector was fitted to columns.
        """
        return self._scorer().heat(self._read(X)).error.numpy()

    def likelihood_regret(self, X: Any) -> np.ndarray:
        """(N,) nats, higher is more anomalous: what a posterior fitted to each row alone would
        gain on the encoder's (Xiao et al. 2020). Some hundred times the work of a score."""
        return self._scorer().likelihood_regret(self._read(X))

    def columns_of(self, X: Any) -> Data:
        """X by column, as `scorer_` takes it."""
        self._scorer()
        return self._read(X)

    def score_frame(self, X: Any) -> pd.DataFrame:
        """Data frame: anomaly_score, reconstruction_error, elbo, latent, p_value,
        p_value_reconstruction_error, p_value_elbo, is_anomaly; the index of X is kept."""
        import pandas as pd

        index = X.index if isinstance(X, pd.DataFrame) else None
        return pd.DataFrame(self._scorer().score(self._read(X)), index=index)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _scorer(self) -> Scorer:
        check_is_fitted(self, "scorer_")
        return self.scorer_

    def _check_parameters(self) -> None:
        """Those that a config has too; scikit-learn wants `__init__` to take everything.

        Raises:
            ValueError: one is out of its range.
        """
        within_limits(ThresholdSettings, {"alpha": self.alpha})
        if isinstance(self.conditions, (str, bytes)) or not isinstance(self.conditions, Collection):
            raise ValueError(
                f"conditions must be a sequence of column names, got {self.conditions!r}"
            )
        self._model()
        self._training()

    def _model(self) -> ModelConfig:
        chosen = self.variant or ("conditional" if len(self.conditions) else "vae")
        own = _given(latent_dim=self.latent_dim, members=self.members, hidden=self.hidden)
        own["variant"] = chosen
        return ModelConfig(**_joined("model", self.model, own, ModelConfig, ModelSettings))

    def _training(self) -> TrainConfig:
        own = _given(max_epochs=self.max_epochs, trim=self.trim if self.trim != 0 else None)
        return TrainConfig(**_joined("training", self.training, own, TrainConfig, TrainSettings))

    def _fit_part(self, data: Data, seed: int, fitted: FittedEncoding | None = None) -> FitResult:
        """Train on rows in random order; the first eighth is for validation."""
        rows = np.arange(_rows(data))
        held_out = max(1, round(VALIDATION_SHARE * len(rows) / (1 - CALIBRATION_SHARE)))
        trained = rows[held_out:] if len(rows) > 1 else rows
        return fit_scorer(
            _take(data, trained),
            _take(data, rows[:held_out]),
            self._form.kinds,
            model=self._model(),
            training=self._training(),
            score=self.get_params()["score"],
            device=self.device,
            seed=seed,
            fitted=fitted or fit_encoding(data, self._form.kinds),
        )

    def _cross_calibrate(self, data: Data, order: np.ndarray, scorer: Scorer, seed: int) -> Scorer:
        """Calibration scores of each fold by a model that did not see it; approximate.

        The encodings are those of all rows, so that one row left out cannot make a column
        constant.
        """
        folds = len(order) if len(order) < LEAVE_ONE_OUT_BELOW else FOLDS
        fitted = FittedEncoding(scorer.encoding, ())
        tables: list[dict[str, np.ndarray]] = []
        for part in np.array_split(order, folds):
            rest = np.setdiff1d(order, part, assume_unique=True)
            model = self._fit_part(_take(data, rest), seed, fitted).scorer
            tables.append(calibration_tables(model, _take(data, part)))
        merged = {name: np.sort(np.concatenate([t[name] for t in tables])) for name in tables[0]}
        thresholds = {
            name: fit_conformal(table, self.alpha, exact=False) for name, table in merged.items()
        }
        return replace(scorer, calibration=merged, thresholds=thresholds)

    def _read(self, X: Any, reset: bool = False, holes: bool = False) -> Data:
        """X as columns; remembers its form when `reset`. `holes`: pixels may be missing."""
        form: Form | None = None if reset else self._form
        if are_pictures(X) if form is None else form.image is not None and not form.frame:
            data = picture_columns(X, form, holes)
        elif is_frame(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if len(X) < 1 + reset:
                raise ValueError(f"Found array with {len(X)} sample(s) while more are required.")
            data = frame_columns(X, form, self.conditions)
        else:
            array = validate_data(
                self,
                X,
                reset=reset,
                dtype=np.float64,
                ensure_all_finite="allow-nan",
                ensure_min_samples=1 + reset,
            )
            data = {str(i): array[:, i] for i in range(array.shape[1])}
        if reset:
            if _rows(data) < 2:
                raise ValueError(f"Found array with {_rows(data)} sample(s) while 2 are required.")
            self._form = form_of(X, data, self.conditions)
            if self._form.image is not None and not self._form.frame:
                self.n_features_in_ = math.prod(self._form.shape)
        return data

    def _write(self, data: Data, like: Any = None) -> Any:
        """Columns in the form of the X that was fitted, with the index of the rows `like`."""
        return written(data, self._form, like.index if is_frame(like) else None)


def known_fields(parameter: str, given: Mapping[str, Any] | None, config: Any) -> dict[str, Any]:
    """Settings that a config class has.

    Raises:
        ValueError: these are no settings by name, or one is unknown, with the nearest known one.
    """
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f"{parameter} must be a mapping of settings by name, got {given!r}")
    known = [field.name for field in fields(config)]
    for name in given or {}:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ValueError(f"{parameter}: unknown setting {name!r}; {advice}")
    return dict(given or {})


def _joined(
    parameter: str,
    given: Mapping[str, Any] | None,
    own: Mapping[str, Any],
    config: Any,
    section: type[Section],
) -> dict[str, Any]:
    """Settings of a mapping and those that are parameters themselves, which go first.

    Raises:
        ValueError: one is unknown, or out of its range.
    """
    known = known_fields(parameter, given, config)
    spelled = {name: f"{parameter}: {name}" for name in known if name not in own}
    return within_limits(section, {**known, **own}, spelled)


def _given(**parameters: Any) -> dict[str, Any]:
    """Those that are not None, which stands for the default."""
    return {name: value for name, value in parameters.items() if value is not None}


def _rows(data: Data) -> int:
    return len(next(iter(data.values())))


def _take(data: Data, rows: np.ndarray) -> Data:
    return {name: values[rows] for name, values in data.items()}
