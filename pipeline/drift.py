"""Says when a night's rows stopped looking like the calibration rows: a conformal test martingale.

The promise of a conformal threshold holds for rows exchangeable with the calibration rows. Here
that is put to a bet, row after row in order of `_row_id`: somebody who starts with a capital of 1
stakes part of it on the next row's rank among the calibration rows *and all rows before it*. If
the rows are exchangeable, these ranks are independent and uniform, no strategy gains on average,
and the capital ever reaches 1/level with a probability of at most level (Ville's inequality). A
large capital is evidence of so many to one against exchangeability.

The p-values of `scores` would not do: they all refer to the same calibration rows, so they are
neither independent nor, given those rows, uniform, and a bet on them wins for certain in the end.

Three things keep it cheap and to the point:

- Rows above the conformal cut take no part. Anomalies are expected there, and too many of them
  break the promise by themselves (`guarantee.judge_night`); this test watches the other rows.
  Given the cut, calibration rows and new rows below it are as exchangeable as before.
- Rows are compared by where they lie among the calibration scores: between two of them, or equal
  to one. Between the same two the order is drawn by lot, which leaves the ranks independent and
  uniform, since rows of one gap arrive in random order. So a night of any size needs two counts
  for each of a few thousand calibration scores.
- The lot is a hash of `_row_id`: the same night always gives the same verdict.

Reference:
    Vovk, Gammerman, Shafer (2005), Algorithmic Learning in a Random World, sections 2.6, 7.1;
    Vovk, Petej, Nouretdinov, Ahlberg, Carlsson, Gammerman (2021), Retrain or not retrain:
    conformal test martingales for change-point detection (the jumping bettor).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from vae_core import conformal_rank

SHARE_LEFT_OUT = 0.05
"""The highest scores, at least; more where alpha is larger."""

MOST_CALIBRATION = 4096
BLOCK = 128
JUMP = 0.01

Piece = tuple[np.ndarray, np.ndarray]

# The capital is split over these bets: stake on a mean-zero function of a p-value in (0, 1), the
# Legendre polynomials that feel a shift (1) and a change of spread (2). Stake 0 bets nothing.
_STAKES = np.array([0.0, 0.5, -0.5, 0.15, -0.15, 0.05, -0.05, 0.5, -0.5, 0.15, -0.15, 0.05, -0.05])
_KINDS = np.array([1] + [1] * 6 + [2] * 6)


@dataclass(frozen=True)
class Drift:
    """What the bet against exchangeability came to.

    Attributes:
        log10_capital: of the largest capital reached; 6 is evidence of a million to one.
        row_id: at which it first reached 1/level; None where it never did.
        rows: that were bet on.
        level: probability of a false alarm, at most.
    """

    log10_capital: float
    row_id: int | None
    rows: int
    level: float


def watch(calibration: np.ndarray, pieces: Iterable[Piece], *, level: float, alpha: float) -> Drift:
    """Bet against the exchangeability of a stream of rows with the calibration rows.

    Args:
        calibration: (n,) calibration scores, n ≥ 1; of more than 4,096 a fixed random part serves.
        pieces: (row ids, scores), (m,) each, in order of row id; how they are cut does not matter.
        level: largest probability of a false alarm over the whole stream, in (0, 1).
        alpha: of the threshold; at least this share of the highest scores is left out.

    Returns:
        The evidence, and the row at which it sufficed.
    """
    bag, cut = _start(calibration, alpha)
    shares = np.full(len(_STAKES), 1.0 / len(_STAKES))
    log_capital, largest, row_id, rows = 0.0, 0.0, None, 0
    for ids, scores in _blocks(pieces, cut):
        log_gains = _log_gains(bag.p_values(scores, _lots(ids)))
        course = log_capital + np.log(shares @ np.exp(log_gains))
        if row_id is None and course.max() >= -math.log(level):
            row_id = int(ids[np.argmax(course >= -math.log(level))])
        largest, log_capital = max(largest, float(course.max())), float(course[-1])
        shares *= np.exp(log_gains[:, -1])
        shares = (1 - JUMP) * shares / shares.sum() + JUMP / len(shares)
        rows += len(ids)
    return Drift(largest / math.log(10), row_id, rows, level)


class _Bag:
    """Counts of all rows so far, by their place among the calibration scores.

    Place 2i + 1 is the i-th distinct calibration score itself, 2i the gap below it.
    """

    def __init__(self, calibration: np.ndarray) -> None:
        self.edges, repeats = np.unique(calibration, return_counts=True)
        self.counts = np.zeros(2 * len(self.edges) + 1, np.int64)
        self.counts[1::2] = repeats

    def p_values(self, scores: np.ndarray, lots: np.ndarray) -> np.ndarray:
        """(m,) each row's share of rows so far, itself included, that score higher.

        Rows in the same place count by lot. Afterwards the rows are in the bag.
        """
        place = np.searchsorted(self.edges, scores) + np.searchsorted(self.edges, scores, "right")
        higher = np.cumsum(self.counts[::-1])[::-1] - self.counts
        before = np.tri(len(place), k=-1, dtype=bool)
        higher_now = np.sum(before & (place > place[:, None]), axis=1)
        equal_now = np.sum(before & (place == place[:, None]), axis=1)
        above = higher[place] + higher_now
        beside = self.counts[place] + equal_now + 1
        p = (above + lots * beside) / (self.counts.sum() + 1 + np.arange(len(place)))
        np.add.at(self.counts, place, 1)
        return p


def _start(calibration: np.ndarray, alpha: float) -> tuple[_Bag, float]:
    """The bag of calibration rows below the cut, and the cut."""
    ordered = np.sort(calibration)
    if len(ordered) > MOST_CALIBRATION:
        part = np.random.default_rng(0).choice(len(ordered), MOST_CALIBRATION, replace=False)
        ordered = ordered[np.sort(part)]
    left_out = max(1, conformal_rank(len(ordered), max(alpha, SHARE_LEFT_OUT)))
    cut = float(ordered[len(ordered) - left_out])
    return _Bag(ordered[ordered < cut]), cut


def _blocks(pieces: Iterable[Piece], cut: float) -> Iterator[Piece]:
    """The rows below the cut in blocks of one size, the last one shorter."""
    ids, scores = np.empty(0, np.int64), np.empty(0)
    for more_ids, more_scores in pieces:
        kept = more_scores < cut
        ids = np.concatenate([ids, more_ids[kept]])
        scores = np.concatenate([scores, more_scores[kept]])
        whole = len(ids) - len(ids) % BLOCK
        for start in range(0, whole, BLOCK):
            yield ids[start : start + BLOCK], scores[start : start + BLOCK]
        ids, scores = ids[whole:], scores[whole:]
    if len(ids):
        yield ids, scores


def _log_gains(p: np.ndarray) -> np.ndarray:
    """(bets, m) logarithm of what each bet has made of 1 after each row of a block."""
    x = 1 - 2 * p
    legendre = np.stack([x, (3 * x * x - 1) / 2])
    return np.cumsum(np.log1p(_STAKES[:, None] * legendre[_KINDS - 1]), axis=1)


def _lots(row_ids: np.ndarray) -> np.ndarray:
    """(m,) in [0, 1): a fixed pseudo-random number for each row id.

    Reference: Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators.
    """
    z = row_ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
